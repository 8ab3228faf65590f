"""The unpacking child from outside: kept running, one job at a time, killed when it takes too long, started anew."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass

import msgspec

from hudhud import log
from hudhud.settings import Content
from mail.content.opened import Job, Opened

MAX_JOBS = 500  # jobs of one child before it makes room for a fresh one
START_S = 5.0  # seconds more for the first job of a child, which loads libraries

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Child:
    """The process and our end of the socket that is its standard input and output.

    Not the event loop's own way to start one: uvloop forks, and lets Python tidy up in the copy before the new program
    begins; where another thread was inside SQLite at that moment, copy and loop wait for ever. `subprocess` uses vfork.
    """

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, memory: int) -> Child:
        """`memory`: octets it may use."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220 - a millisecond, once in MAX_JOBS jobs
                [sys.executable, "-E", "-s", "-m", "mail.content.child", str(memory)],
                stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0"},
            )  # fmt: skip
        reader, writer = await asyncio.open_connection(sock=ours, limit=1024 * 1024)
        return cls(process, reader, writer)

    async def ask(self, content: bytes) -> bytes:
        """Its answer to one frame. OSError or EOFError where it is gone."""
        self.writer.write(struct.pack(">I", len(content)) + content)
        await self.writer.drain()
        (size,) = struct.unpack(">I", await self.reader.readexactly(4))
        return await self.reader.readexactly(size)

    async def kill(self) -> None:
        """End it and wait until it is gone."""
        self.writer.close()
        self.process.kill()
        await asyncio.to_thread(self.process.wait)


class Sandbox:
    """One child, started when it is first needed. `started` and `killed` count."""

    def __init__(self, settings: Content) -> None:
        self._settings = settings
        self._child: Child | None = None
        self._lock = asyncio.Lock()
        self._jobs = 0
        self.started = self.killed = 0

    async def open(self, job: Job) -> Opened:
        """What is in the file; a child that dies or is too slow is a value with a limit, never an exception."""
        async with self._lock:
            child = await self._running()
            fresh = self._jobs == 0
            self._jobs += 1
            try:
                seconds = job.seconds + (START_S if fresh else 0.0)
                frame = await asyncio.wait_for(child.ask(msgspec.msgpack.encode(job)), seconds)
                return msgspec.msgpack.decode(frame, type=Opened)
            except TimeoutError:
                await self._kill("timeout")
                return Opened(limits=("unpack_timeout_s",), problem="timeout")
            except (OSError, EOFError, msgspec.DecodeError) as error:
                await self._kill(type(error).__name__)
                return Opened(limits=("unpack_child",), problem="crashed")
            except asyncio.CancelledError:
                await self._kill("cancelled")
                raise

    async def close(self) -> None:
        """Ends the child."""
        if self._child is not None:
            await self._kill("")

    async def _running(self) -> Child:
        if self._child is not None and (self._jobs >= MAX_JOBS or self._child.process.poll() is not None):
            await self._kill("")
        if self._child is None:
            self._child = await Child.start(self._settings.unpack_memory_bytes)
            self._jobs = 0
            self.started += 1
        return self._child

    async def _kill(self, why: str) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if why:
            self.killed += 1
            _log.warning("unpacking child ended", why=why, jobs=self._jobs)
        await child.kill()
