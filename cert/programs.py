"""The two programs, intake and desk: settings in, signals, ready file, clean stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cert import deadletter
from cert.deadletter import State
from cert.match import Matching
from cert.opening import open_store
from cert.pipeline import Pipeline
from cert.store import Store, StoreDown
from hudhud import codec, config, durable, log
from hudhud.cli import Exit, Problem
from hudhud.clock import SYSTEM
from hudhud.database import Database, DatabaseError
from hudhud.entity import Registry
from hudhud.journal import Cursor, open_readonly
from hudhud.live import Live
from hudhud.registry import parse_registry
from hudhud.release import Release, ReleaseError, Trust
from hudhud.settings import Settings
from rules.ruleset import compile_ruleset

STATE_S: Final = 2.0  # seconds between writes of run/desk.json
RETENTION_S: Final = 3600.0  # seconds between looks for days that may go

_log = log.get(__name__)


class LiveKnowledge:
    """Rules and registry as they are live; `refresh` in a thread."""

    def __init__(self, settings: Settings) -> None:
        folder, trust = settings.path(settings.releases.folder), Trust.of(settings.releases)
        self._rules = Live(folder, "rules", trust, _matching)
        self._registry = Live(folder, "registry", trust, lambda one: parse_registry(one.files, version=one.digest))

    @property
    def matching(self) -> Matching:
        return self._rules.value

    @property
    def registry(self) -> Registry:
        return self._registry.value

    def refresh(self) -> None:
        self._rules.refresh()
        self._registry.refresh()

    def problems(self) -> dict[str, str]:
        """Why the newest release of a kind is not live."""
        found = {"rules": self._rules.problem, "registry": self._registry.problem}
        return {kind: problem for kind, problem in found.items() if problem}


def _matching(release: Release) -> Matching:
    return Matching(compile_ruleset(release.files, release.digest))


def run_intake(path: Path) -> int:
    """Serve until SIGTERM or SIGINT."""
    settings = _begin(path, "intake")
    return asyncio.run(_intake(settings))


def run_desk(path: Path) -> int:
    """Work until SIGTERM or SIGINT."""
    settings = _begin(path, "desk")
    try:
        return asyncio.run(_desk(settings))
    except ReleaseError as error:
        raise Problem(f"no release that is good: {error}; publish one: hudhud rules publish") from None


def _begin(path: Path, program: str) -> Settings:
    settings = config.load(path).settings
    log.configure(settings.node.log_level, program=program)
    return settings


async def _intake(settings: Settings) -> int:
    from cert.https import Peers, server
    from cert.intake import Intake

    stop, peers = _stopping(), Peers()
    intake = Intake(settings, peers)
    serving = server(intake.app, settings.intake.listen, settings, "intake", peers)
    tasks = [asyncio.create_task(serving.serve()), asyncio.create_task(intake.housekeeping(stop))]
    try:
        while not serving.started and not tasks[0].done():
            await asyncio.sleep(0.02)
        if tasks[0].done():
            raise Problem(f"the intake cannot listen on {settings.intake.listen}", Exit.UNAVAILABLE)
        _write_state(settings, "intake", {})
        await _until(stop, tasks[0])
    finally:
        serving.should_exit = True
        stop.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        intake.close()
        _state_path(settings, "intake").unlink(missing_ok=True)
    return Exit.DONE


async def _desk(settings: Settings) -> int:
    stop = _stopping()
    live = LiveKnowledge(settings)
    store = open_store(settings)
    dead = Database(settings.path("desk", "deadletters.db"), deadletter.SCHEMA)
    sender = f"cert@{settings.relay.hostname}"
    pipeline = Pipeline(store, live, dead, settings.path("desk", "outbox"), SYSTEM, sender=sender)
    journal = open_readonly(settings.path("intake", "journal.db"), "intake")
    cursor = Cursor(settings.path("desk", "intake.cursor"))
    work = asyncio.create_task(
        pipeline.run(journal, cursor, stop, batch=settings.desk.batch_events, poll_s=settings.desk.poll_s)
    )
    helpers = [
        asyncio.create_task(_every(stop, settings.releases.refresh_s, lambda: _refresh(live))),
        asyncio.create_task(_every(stop, STATE_S, lambda: _tell(settings, pipeline, live, cursor))),
        asyncio.create_task(_every(stop, STATE_S, lambda: _replay(settings, pipeline, dead))),
        asyncio.create_task(_every(stop, RETENTION_S, lambda: _retain(settings, store))),
    ]
    try:
        await _tell(settings, pipeline, live, cursor)
        await _until(stop, work)
    finally:
        stop.set()
        await asyncio.gather(work, *helpers, return_exceptions=True)
        journal.close()
        await store.close()
        dead.close()
        _state_path(settings, "desk").unlink(missing_ok=True)
    work.result()
    return Exit.DONE


async def _refresh(live: LiveKnowledge) -> None:
    await asyncio.to_thread(live.refresh)


async def _tell(settings: Settings, pipeline: Pipeline, live: LiveKnowledge, cursor: Cursor) -> None:
    """run/desk.json: ready, how far, and what is wrong."""
    done = pipeline.progress
    told = {
        "position": cursor.position, "events": done.events, "known": done.known, "dead_letters": done.dead,
        "alerts": done.alerts, "problem": done.problem, "rules": live.matching.version, "releases": live.problems(),
    }  # fmt: skip
    await asyncio.to_thread(_write_state, settings, "desk", told)


async def _replay(settings: Settings, pipeline: Pipeline, dead: Database) -> None:
    """Dead letters that a person asked to be tried again."""
    for path, database in (
        (settings.path("intake", "journal.db"), None),
        (settings.path("desk", "deadletters.db"), dead),
    ):
        letters = await asyncio.to_thread(deadletter.listed, path, ("replay",), settings.desk.batch_events)
        for letter in letters:
            state: State = "done" if await pipeline.again(letter, settings.intake) else "dead"
            await asyncio.to_thread(_mark, path, database, letter.id, state)


def _mark(path: Path, database: Database | None, identity: int, state: State) -> None:
    opened = database or Database(path, deadletter.SCHEMA)
    try:
        deadletter.mark(opened, [identity], state)
    finally:
        if database is None:
            opened.close()


async def _retain(settings: Settings, store: Store) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    gone = await store.drop_before(midnight - timedelta(days=settings.store.retention_days))
    if gone:
        _log.info("retention", partitions_dropped=gone)


async def _every(stop: asyncio.Event, seconds: float, work: object) -> None:
    """Do `work` now and then until `stop`; what goes wrong is logged, and tried again next time."""
    assert callable(work)
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), max(seconds, 0.1))
        except TimeoutError:
            try:
                await work()
            except (StoreDown, DatabaseError, OSError) as error:
                _log.warning("later", problem=str(error))


async def _until(stop: asyncio.Event, work: asyncio.Task[None]) -> None:
    """Wait for the stop, or for `work` to end by itself; its error is raised."""
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({stopped, work}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if work in done:
        work.result()


def _stopping() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _state_path(settings: Settings, program: str) -> Path:
    return settings.path("run", f"{program}.json")


def _write_state(settings: Settings, program: str, more: Mapping[str, object]) -> None:
    path = _state_path(settings, program)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.replace(path, codec.encode({"pid": os.getpid(), "workers": [], "ready": True, **more}))
