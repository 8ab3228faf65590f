"""A mail system under test: how a load reaches it, where its mail arrives, which processes are its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.bench import load
from hudhud.cli import Exit, Problem

PATHS = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
READY_S = 60.0
STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class System:
    """`order` is one message's, to be changed, and so is `submission`, over TLS with AUTH, where that is measured too.

    `counters` are its sink's, `pids` the roots of its processes, below ours.
    """

    name: str
    order: load.Order
    counters: Path
    pids: Callable[[], Sequence[int]]
    signs: bool = True
    submission: load.Order | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer lives, with what it signs, and where its mail goes."""

    folder: Path
    key: Path  # DKIM, RSA-2048
    domain: str
    selector: str
    sink: int  # port
    nameserver: str  # host:port


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that runs: the port on which it takes mail in clear, and its processes' roots."""

    port: int
    pids: tuple[int, ...]


def found(command: str) -> str | None:
    """The path of an installed program, administrators' folders included."""
    return shutil.which(command, path=PATHS)


@contextlib.asynccontextmanager
async def child(log: Path, *words: str, user: str | None = None, cwd: Path | None = None) -> AsyncIterator[int]:
    """A program in the foreground until the end of the block; its pid."""
    with log.open("ab") as file:
        started = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            user=user,
            cwd=cwd,
        )
    try:
        yield started.pid
    finally:
        if started.returncode is None:
            started.terminate()
        try:
            await asyncio.wait_for(started.wait(), STOP_S)
        except TimeoutError:
            os.killpg(started.pid, signal.SIGKILL)


async def answering(port: int, log: Path) -> None:
    """Wait until somebody listens on that loopback port; Problem with the end of the log where nobody comes."""
    loop = asyncio.get_running_loop()
    until = loop.time() + READY_S
    while loop.time() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else ""
    raise Problem(f"nobody listens on port {port}; the end of {log}:\n{tail}", Exit.UNAVAILABLE)
