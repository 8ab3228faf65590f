"""The worker processes of a relay: started with their sockets, restarted when they die, replaced one by one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from hudhud import log
from hudhud.clock import SYSTEM
from hudhud.settings import Settings, split_address
from mail.envelope import Listener

BACKLOG: Final = 1024
BACKOFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # before a worker that died is started again
STEADY_S: Final = 60.0  # a worker that lived so long begins anew with the first pause
READY_S: Final = 60.0  # seconds a worker has to say that it is ready
STOP_S: Final = 16.0  # seconds a worker has to end by itself
# What a password's hash or a large message took goes back to the system, and threads share two arenas (glibc's words).
MEMORY: Final = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}

Key = tuple[Listener, str, int]  # listener, "host:port", worker

_log = log.get(__name__)


class Sockets:
    """The listening sockets, one a worker and address. They live as long as the supervisor."""

    def __init__(self) -> None:
        self._open: dict[Key, socket.socket] = {}

    def prepare(self, settings: Settings) -> Mapping[Key, socket.socket]:
        """Open what these settings need and is not open yet; OSError, and nothing opened, where one cannot be."""
        relay = settings.relay
        addresses: tuple[tuple[Listener, Sequence[str]], ...] = (
            ("mx", relay.mx),
            ("submission", relay.submission),
            ("submissions", relay.submissions),
        )
        wanted = [(kind, one, n) for kind, many in addresses for one in many for n in range(relay.workers)]
        fresh: dict[Key, socket.socket] = {}
        try:
            for key in wanted:
                if key not in self._open:
                    fresh[key] = listen(key[1])
        except OSError:
            for one in fresh.values():
                one.close()
            raise
        return {key: fresh.get(key) or self._open[key] for key in wanted}

    def use(self, sockets: Mapping[Key, socket.socket]) -> None:
        """From now on these; others are closed."""
        for key, one in self._open.items():
            if key not in sockets:
                one.close()
        self._open = dict(sockets)

    def descriptors(self) -> Mapping[Key, int]:
        """All of them: a worker has its own, and those of the others to cover them while they are replaced."""
        return {key: one.fileno() for key, one in self._open.items()}

    def close(self) -> None:
        self.use({})


class Child:
    """One worker process that is kept running. `changed` is called when its pid or readiness changes."""

    def __init__(self, number: int, config: Path, sockets: Sockets, changed: Callable[[], None]) -> None:
        self.number = number
        self.restarts = 0
        self.covered = False  # another one takes its connections meanwhile
        self._config, self._sockets, self._changed = config, sockets, changed
        self._process: asyncio.subprocess.Process | None = None
        self._life: socket.socket | None = None
        self._ready = asyncio.Event()
        self._ending = False
        self._replaced = False  # it ends because it was asked to: no fault, no restart that anybody should wake for
        self._keeper = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    async def replace(self, cover: Child | None, patience_s: float) -> None:
        """Let its sessions come to their end, and wait until the next one is ready. TimeoutError: that took too long.

        `cover` takes its connections meanwhile; without one they wait in the sockets.
        """
        if cover is not None:
            cover.say(f"cover {self.number}")
            self.covered = True
        self._replaced = True
        try:
            await self._drain(patience_s)
            self._ready.clear()
            await self.started()
        finally:
            self.covered = self._replaced = False
            if cover is not None:
                cover.say(f"leave {self.number}")

    def say(self, words: str) -> None:
        """Tell the worker something by its life line (mail/worker.py); a worker that is gone does not hear it."""
        if self._life is not None:
            with contextlib.suppress(OSError):
                self._life.send(words.encode() + b"\n")

    async def _drain(self, patience_s: float) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        self.say("drain")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience_s + STOP_S)
        if process is self._process:
            await self._terminate()

    async def started(self) -> None:
        """Wait until it is ready. TimeoutError where that takes too long."""
        async with asyncio.timeout(READY_S):
            await self._ready.wait()

    async def end(self) -> None:
        """Let it finish, for good."""
        self._ending = True
        await self._terminate()
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        if self._life is not None:
            self._life.close()

    async def _keep(self) -> None:
        young = 0
        while not self._ending:
            began = SYSTEM.monotonic()
            process = await self._start()
            told = asyncio.create_task(self._listen(process))
            code = await process.wait()
            told.cancel()
            self._ready.clear()
            self._changed()
            if self._ending:
                return
            lived = SYSTEM.monotonic() - began
            young = 0 if code == 0 or lived > STEADY_S else young + 1
            pause = BACKOFF_S[min(young, len(BACKOFF_S) - 1)]
            if self._replaced and code == 0:
                _log.info("worker is replaced", number=self.number)
            else:
                self.restarts += 1
                _log.warning("worker ended", number=self.number, code=code, lived_s=round(lived, 1), again_in_s=pause)
            await asyncio.sleep(pause)

    async def _start(self) -> asyncio.subprocess.Process:
        if self._life is not None:
            self._life.close()
        self._life, theirs = socket.socketpair()
        self._life.setblocking(False)
        sockets = self._sockets.descriptors()
        words = (
            *("--config", str(self._config), "--number", str(self.number), "--life", str(theirs.fileno())),
            *("--sockets", ",".join(f"{number}/{kind}:{fd}" for (kind, _, number), fd in sockets.items())),
        )
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "mail.worker", *words),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(*sockets.values(), theirs.fileno()),
                env={**MEMORY, **os.environ},
            )
        return self._process

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Until the worker says that it is ready; one that does not is killed."""
        assert self._life is not None
        try:
            async with asyncio.timeout(READY_S):
                said = await asyncio.get_running_loop().sock_recv(self._life, 16)
        except (OSError, TimeoutError):
            said = b""
        if said:
            _log.info("worker ready", number=self.number, pid=process.pid)
            self._ready.set()
            self._changed()
        elif process.returncode is None:
            _log.error("worker did not become ready", number=self.number, pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def _terminate(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            _log.error("worker did not end by itself", number=self.number, pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def listen(address: str) -> socket.socket:
    """A listening socket on "host:port" that others may share (SO_REUSEPORT); OSError names the address."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{address} cannot be opened: {error.strerror}") from None
    return listening
