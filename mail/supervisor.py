"""`hudhud relay`: opens and keeps every listening socket, runs the workers, answers the control API.

Each worker has a socket of its own on each address (SO_REUSEPORT); they stay open here, so that connections which wait
at a dead worker's socket are taken by the next one.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from hudhud import codec, durable, log, tls
from hudhud import config as configuration
from hudhud.audit import Audit, AuditError
from hudhud.cli import Exit, Problem
from hudhud.clock import SYSTEM
from hudhud.keys import KeyProblem, SigningKey
from hudhud.settings import Settings
from mail import accounts
from mail.limits import Limits
from mail.node.crew import Child, Sockets, listen
from mail.node.estate import Estate
from mail.node.granting import Granting
from mail.node.office import Office, Server
from mail.node.pulse import Pulse
from mail.node.stopping import Stops
from mail.proof import apps
from mail.setup.served import Setup, live_registry
from mail.tally import WORKERS

RUN_FILE: Final = "relay.json"
FIXED: Final = (
    "node.name",
    "node.data",
    "relay.control",
    "relay.observe",
    "relay.setup",
    "spool.folder",
)  # only with a restart

_log = log.get(__name__)


def relay(*, config: Path = Path(configuration.DEFAULT)) -> int:
    """Run the mail relay: supervisor and workers.

    Parameters
    ----------
    config
        The hudhud.toml to read. SIGHUP reads it again (whole or not at all), SIGTERM ends it cleanly.
    """
    settings = configuration.load(config, files=True).settings
    log.configure(settings.node.log_level, program="relay")
    try:
        return asyncio.run(Supervisor(config.resolve(), settings).run())
    except (OSError, KeyProblem, AuditError, ValueError) as error:
        raise Problem(f"the relay cannot start: {error}", Exit.UNAVAILABLE) from None


class Supervisor:
    """One node's. What it holds is little: sockets, the workers' life lines, the door of the control API."""

    def __init__(self, config: Path, settings: Settings) -> None:
        self._config, self._settings = config, settings
        self._folder = settings.path(settings.spool.folder)
        self._sockets, self._estate = Sockets(), Estate(settings)
        self._crew: list[Child] = []
        self._setup: Setup | None = None
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit code."""
        settings, loop = self._settings, asyncio.get_running_loop()
        async with AsyncExitStack() as closing:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            check(settings)
            closing.callback(self._sockets.close)
            self._sockets.use(self._sockets.prepare(settings))
            key = SigningKey.load(settings.path("keys", "node.key"))
            self._audit = Audit(settings.path("audit", "relay.chain"), key, "relay")
            closing.callback(self._audit.close)
            self._stops = Stops(self._folder)
            self._limits = Limits(self._folder / "limits.bin", settings.relay, worker=None)
            closing.callback(self._limits.close)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop.set)
            loop.add_signal_handler(signal.SIGHUP, self._reload.set)
            office = Office(
                self._folder,
                settings.relay.control_clients,
                status=self._status,
                unstop=self._unstop,
                granting=Granting(settings),
            )
            doors = [(office.config(settings), listen(settings.relay.control))]
            closing.callback(doors[0][1].close)
            if settings.relay.observe:
                doors.append((Pulse(office.status, settings).config(), listen(settings.relay.observe)))
                closing.callback(doors[1][1].close)
            if settings.relay.setup:
                self._setup = Setup(live_registry(settings), settings)
                doors.append((self._setup.config(), listen(settings.relay.setup)))
                closing.callback(doors[-1][1].close)
            servers = [Server(config) for config, _ in doors]
            closing.callback(settings.path("run", RUN_FILE).unlink, missing_ok=True)
            self._crew = [self._child(number) for number in range(settings.relay.workers)]
            serving = [
                asyncio.create_task(server.serve(sockets=[opened]))
                for server, (_, opened) in zip(servers, doors, strict=True)
            ]
            reloading = asyncio.create_task(self._reloads())
            stopped = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait({stopped, *serving, reloading}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reloading.cancel()
                await asyncio.gather(*(child.end() for child in self._crew))
                for server in servers:
                    server.should_exit = True
                await asyncio.gather(*serving, return_exceptions=True)
            if not stopped.done():
                raise OSError(f"the control API on {settings.relay.control} ended by itself")
        return Exit.DONE

    def _child(self, number: int) -> Child:
        return Child(number, self._config, self._sockets, self._write_run_file)

    def _write_run_file(self) -> None:
        if self._stop.is_set():
            return
        path = self._settings.path("run", RUN_FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        pids = [child.pid for child in self._crew if child.pid is not None]
        durable.replace(path, codec.encode({"pid": os.getpid(), "workers": pids, "ready": self._ready}))

    @property
    def _ready(self) -> bool:
        return bool(self._crew) and all(child.ready or child.covered for child in self._crew)

    # reload

    async def _reloads(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                await self._apply(configuration.load(self._config, files=True).settings)
            except TimeoutError:
                _log.error("reloaded, but a worker is not ready yet", file=str(self._config))
            except (OSError, ValueError, KeyProblem) as error:  # PlaceError is a ValueError
                _log.error("not reloaded, everything stays as it was", problem=str(error))

    async def _apply(self, fresh: Settings) -> None:
        """Everything is checked and opened first; then the workers are replaced one by one."""
        for name in FIXED:
            section, _, field = name.partition(".")
            if getattr(getattr(fresh, section), field) != getattr(getattr(self._settings, section), field):
                raise ValueError(f"{name} changes only with a restart")
        check(fresh)
        sockets = self._sockets.prepare(fresh)
        self._settings = fresh
        surplus = self._crew[fresh.relay.workers :]
        self._crew = self._crew[: fresh.relay.workers]
        old = list(self._crew)
        self._sockets.use(sockets)
        for child in old:
            cover = next((one for one in old if one is not child and one.ready), None)
            await child.replace(cover, fresh.relay.drain_s)
        await asyncio.gather(*(child.end() for child in surplus))
        more = [self._child(number) for number in range(len(self._crew), fresh.relay.workers)]
        self._crew += more
        await asyncio.gather(*(child.started() for child in more))
        self._limits.configure(fresh.relay)
        self._write_run_file()
        _log.info("reloaded", file=str(self._config))

    # for people

    def _status(self) -> Mapping[str, object]:
        self._stops.refresh()
        stopped = [
            {"rule": rule, "version": s.version, "at": s.at, "held": s.held} for rule, s in self._stops.stopped.items()
        ]
        return {
            "node": self._settings.node.name,
            "ready": self._ready,
            "sessions": self._limits.sessions(),
            "limits": self._limits.counters(),
            "stopped": stopped,
            "restarts": sum(child.restarts for child in self._crew),
            "setup": dict(self._setup.counts) if self._setup is not None else {},
            **self._estate.look(),
        }

    async def _unstop(self, rule: str, actor: str) -> bool:
        """A person lets a stopped rule run again."""
        self._stops.refresh()
        if rule not in self._stops.stopped:
            return False
        now = SYSTEM.now()
        await asyncio.to_thread(lambda: self._audit.record(actor, "rule.unstop", rule, now=now))
        return self._stops.let_run(rule, now)


def check(settings: Settings) -> None:
    """What a start or a reload needs beyond hudhud.toml; ValueError or OSError says what is wrong."""
    if settings.relay.workers > WORKERS:
        raise ValueError(f"relay.workers is at most {WORKERS}")
    accounts.load(settings.path("accounts.toml"))
    apps.login_secret(settings.path("keys"))
    tls.server_context(settings.path("tls", "relay.pem"), settings.path("tls", "relay.key"))
