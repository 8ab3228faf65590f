"""The unpacking child from outside: kept running, one job at a time, killed when it takes too long, started anew."""

from __future__ import annotations

import asyncio
import os
import struct
import sys

import msgspec

from hudhud import log
from hudhud.settings import Content
from mail.content.opened import Job, Opened

MAX_JOBS = 500  # jobs of one child before it makes room for a fresh one
START_S = 5.0  # seconds more for the first job of a child, which loads libraries

_log = log.get(__name__)


class Sandbox:
    """One child, started when it is first needed. `started` and `killed` count."""

    def __init__(self, settings: Content) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._jobs = 0
        self.started = self.killed = 0

    async def open(self, job: Job) -> Opened:
        """What is in the file; a child that dies or is too slow is a value with a limit, never an exception."""
        async with self._lock:
            process = await self._running()
            fresh = self._jobs == 0
            self._jobs += 1
            try:
                seconds = job.seconds + (START_S if fresh else 0.0)
                frame = await asyncio.wait_for(_ask(process, msgspec.msgpack.encode(job)), seconds)
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
        if self._process is not None:
            await self._kill("")

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and (self._jobs >= MAX_JOBS or self._process.returncode is not None):
            await self._kill("")
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-E", "-s", "-m", "mail.content.child", str(self._settings.unpack_memory_bytes),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0"}, limit=1024 * 1024,
            )  # fmt: skip
            self._jobs = 0
            self.started += 1
        return self._process

    async def _kill(self, why: str) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if why:
            self.killed += 1
            _log.warning("unpacking child ended", why=why, jobs=self._jobs)
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ask(process: asyncio.subprocess.Process, content: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(struct.pack(">I", len(content)) + content)
    await process.stdin.drain()
    (size,) = struct.unpack(">I", await process.stdout.readexactly(4))
    return await process.stdout.readexactly(size)
