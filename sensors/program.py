"""`hudhud sensor run`: watches an interface and a folder of captures, journals what may leave, ships it, tells of its
health.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from hudhud import codec, durable, log, tls
from hudhud.clock import SYSTEM, Clock
from hudhud.database import Database
from hudhud.entity import Registry
from hudhud.event import Value
from hudhud.journal import Cursor, Journal
from hudhud.live import Live
from hudhud.registry import parse_registry
from hudhud.release import Trust
from hudhud.settings import Settings
from hudhud.ship import Shipper
from sensors import replay
from sensors.live import LiveCapture
from sensors.observation import document, event_fields
from sensors.watch import Watch

LOOK_S = 0.5  # how often the folder of captures is looked at
WRITE_S = 1.0  # live: observations wait so long at most for their transaction
TRIM_S = 10.0
MAX_JOURNAL_BYTES = 4 << 30  # past it live observations are counted and not kept; alerts and health still are
FINISHED = "done"  # folder below the captures where replayed ones go, with `keep_captures`; else they are deleted
DAMAGED = "damaged"  # where those go that could not be read at all: they wait for a person

_log = log.get(__name__)


def live_registry(settings: Settings) -> Live[Registry]:
    """The registry release that the sensor follows; raises where there is none that is signed and good."""
    folder = settings.path(settings.releases.folder)
    return Live(
        folder, "registry", Trust.of(settings.releases), lambda found: parse_registry(found.files, version=found.digest)
    )


class Program:
    """One sensor process. `run` returns after SIGTERM or SIGINT, with everything that was read in the journal."""

    def __init__(self, settings: Settings, clock: Clock = SYSTEM) -> None:
        self._settings, self._clock = settings, clock
        self._registry = live_registry(settings)
        home = settings.path("sensor")
        home.mkdir(parents=True, exist_ok=True)
        self._captures = settings.path(settings.sensor.captures)
        self._captures.mkdir(parents=True, exist_ok=True)
        self._database = Database(home / "journal.db", replay.SCHEMA)
        self._journal = Journal(self._database, settings.sensor.name)
        self._cursor = Cursor(home / "shipped.cursor")
        self._stop = asyncio.Event()
        self._sizes: dict[Path, int] = {}
        self._health: dict[str, int] = {"replayed": 0, "dropped_events": 0, "packets": 0, "ring_drops": 0}

    async def run(self) -> None:
        """Until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        shipper = self._shipper()
        tasks = [
            asyncio.create_task(work)
            for work in (
                shipper.run(self._stop),
                self._every(LOOK_S, self._look),
                self._every(TRIM_S, self._trim),
                self._beat(),
            )
        ]
        if self._settings.sensor.interface:
            tasks.append(asyncio.create_task(asyncio.to_thread(self._watch_interface)))
        ready = self._ready()
        try:
            stopped = asyncio.create_task(self._stop.wait())
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in done - {stopped}:
                task.result()  # a part that failed ends the program with its reason
        finally:
            ready.unlink(missing_ok=True)
            self._database.close()

    def _shipper(self) -> Shipper:
        folder, settings = self._settings.path("tls"), self._settings
        context = None
        if settings.intake.url.startswith("https"):
            context = tls.client_context(folder / "ca.pem", cert=folder / "sensor.pem", key=folder / "sensor.key")
        return Shipper([self._journal], [self._cursor], settings.intake.url, context, None, self._clock)

    def _ready(self) -> Path:
        path = self._settings.path("run", "sensor.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(codec.encode({"pid": os.getpid(), "workers": [], "ready": True}))
        return path

    async def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            await asyncio.to_thread(work)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)

    def _look(self) -> None:
        """Replay the captures that lie in the folder and have stopped growing."""
        self._registry.refresh()
        there = [
            one
            for one in sorted(self._captures.iterdir())
            if one.is_file() and one.suffix not in (".part", ".tmp") and one.name[0] != "."
        ]
        sizes = {path: path.stat().st_size for path in there}
        for path, size in sizes.items():
            if self._sizes.get(path) == size and not self._stop.is_set():
                self._replay(path)
        self._sizes = sizes

    def _replay(self, path: Path) -> None:
        try:
            key = replay.key_of(path)
            done = replay.replay(
                path, self._database, self._registry.value, self._settings.sensor, self._clock.now().timestamp()
            )
        except OSError as error:
            _log.error("capture unreadable", capture=path.name, problem=str(error))
            return
        self._health["replayed"] += 1
        self._health["packets"] += done.packets
        damaged = bool(done.problem) and not done.packets and not done.events
        if damaged or self._settings.sensor.keep_captures:
            self._put_away(path, DAMAGED if damaged else FINISHED)
        else:
            path.unlink()  # what is not needed is never kept: a capture holds people's traffic whole
        replay.forget(self._database, key)

    def _put_away(self, path: Path, name: str) -> None:
        folder = self._captures / name
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        with contextlib.suppress(PermissionError):  # laid by another user: the folder's mode closes it
            path.chmod(durable.PRIVATE)
        path.replace(folder / path.name)

    def _trim(self) -> None:
        self._journal.trim(self._cursor.position)

    def _watch_interface(self) -> None:
        """The live line, in a thread of its own: ring > watch > journal."""
        settings = self._settings.sensor
        capture = LiveCapture(settings.interface)
        pending: list[tuple[bool, bytes]] = []
        always: dict[str, Value] = {
            "observer.name": settings.name, "observer.type": "sensor",
            "observer.ingress.interface.name": settings.interface,
        }  # fmt: skip

        def leave(when: float, fields: dict[str, Value]) -> None:
            pending.append((fields["event.kind"] == "event", document(when, fields)))

        watch = Watch(
            leave,
            self._registry.value,
            limits=replay.limits_of(settings),
            webmail_min_hosts=settings.webmail_min_hosts,
            always=always,
        )
        release, written = self._registry.release.digest, time.monotonic()
        _log.info("watching", interface=settings.interface)
        while not self._stop.is_set():
            quiet = True
            for block in capture.blocks():
                watch.take(block)
                quiet = False
            if quiet:
                watch.idle(self._clock.now().timestamp())
            if self._registry.release.digest != release:
                release = self._registry.release.digest
                watch.use(self._registry.value)
            if len(pending) >= replay.BATCH or time.monotonic() - written > WRITE_S:
                self._write(pending)
                written = time.monotonic()
                capture.count()
                self._health["packets"], self._health["ring_drops"] = capture.packets, capture.drops
        watch.finish()
        self._write(pending)
        capture.close()

    def _write(self, pending: list[tuple[bool, bytes]]) -> None:
        """Journal what waits. With a full journal plain observations go first, and are counted."""
        if not pending:
            return
        full = self._journal.size()[1] > MAX_JOURNAL_BYTES
        kept = [found for plain, found in pending if not (plain and full)]
        self._health["dropped_events"] += len(pending) - len(kept)
        self._journal.write_now(kept)
        pending.clear()

    async def _beat(self) -> None:
        """A heartbeat now and every `heartbeat_s`: a silent sensor is noticed by its absence."""
        while not self._stop.is_set():
            await self._journal.write([self.health(self._clock.now())])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._settings.sensor.heartbeat_s)

    def health(self, now: datetime) -> bytes:
        """The heartbeat's document: counters since the start, what is not shipped yet, CPU and memory."""
        use = resource.getrusage(resource.RUSAGE_SELF)
        records, size = self._journal.size()
        fields = event_fields("health", {
            "observer.name": self._settings.sensor.name, "observer.type": "sensor",
            **{f"hudhud.health.{name}": value for name, value in self._health.items()},
            "hudhud.health.journal_records": records, "hudhud.health.journal_bytes": size,
            "hudhud.health.cpu_s": round(use.ru_utime + use.ru_stime, 3), "hudhud.health.rss_kib": use.ru_maxrss,
            "hudhud.health.threads": threading.active_count(),
            "hudhud.health.heartbeat_s": self._settings.sensor.heartbeat_s,
            "hudhud.health.registry": self._registry.release.digest,
        })  # fmt: skip
        return document(now.timestamp(), fields)
