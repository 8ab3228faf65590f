"""A program of the house as a child process: started, waited for until it is ready, kept running, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from hudhud import log
from hudhud.cli import Exit, Problem

MAX_LOG = 20 * 1024 * 1024  # octets; a longer log is set aside at the next start
STOP_S = 20.0  # seconds a program has to end by itself
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)  # between restarts of a program that dies

_log = log.get(__name__)


def alive(pid: int) -> bool:
    """Whether a process with that id runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def state(path: Path) -> dict[str, object]:
    """What a program wrote of itself into run/<program>.json; {} where there is nothing to read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def running(path: Path) -> int | None:
    """The process id in run/<program>.json if that process runs, else None."""
    pid = state(path).get("pid")
    return pid if isinstance(pid, int) and alive(pid) else None


@dataclass(slots=True)
class Program:
    """One child: `words` are the command behind `hudhud`, or behind `python` where `module` is set."""

    name: str
    words: tuple[str, ...]
    data: Path
    ready_s: float = 90.0
    module: bool = False
    restarts: int = 0
    _child: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def run_file(self) -> Path:
        return self.data / "run" / f"{self.name}.json"

    @property
    def log_file(self) -> Path:
        return self.data / "log" / f"{self.name}.log"

    @property
    def hold_file(self) -> Path:
        """While it stands, a program that ended is not started again: the tour breaks things with it."""
        return self.data / "run" / f"{self.name}.hold"

    async def start(self, stop: asyncio.Event) -> None:
        """Start it and wait until it says that it is ready; Problem with the end of its log where it does not."""
        self.run_file.unlink(missing_ok=True)
        await self._spawn()
        if not await self._ready(stop) and not stop.is_set():
            raise Problem(f"{self.name} did not start; the end of {self.log_file}:\n{self._tail()}", Exit.UNAVAILABLE)

    async def _spawn(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > MAX_LOG:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        words = self.words if self.module else ("-m", "deploy.main", *self.words)
        with self.log_file.open("ab") as file:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    async def _ready(self, stop: asyncio.Event) -> bool:
        deadline = asyncio.get_running_loop().time() + self.ready_s
        while asyncio.get_running_loop().time() < deadline and not stop.is_set():
            if self._child is not None and self._child.returncode is not None:
                return False
            if running(self.run_file) is not None and state(self.run_file).get("ready"):
                return True
            await asyncio.sleep(0.05)
        return False

    async def keep(self) -> None:
        """Start it again whenever it ends, with growing pauses, until cancelled."""
        while self._child is not None:
            code = await self._child.wait()
            pause = BACKOFF_S[min(self.restarts, len(BACKOFF_S) - 1)]
            self.restarts += 1
            _log.warning("program ended", program=self.name, code=code, restart_in_s=pause)
            await asyncio.sleep(pause)
            while self.hold_file.exists():
                await asyncio.sleep(0.2)
            await self._spawn()

    async def stop(self) -> None:
        """Ask it to end, then insist."""
        self.hold_file.unlink(missing_ok=True)
        if self._child is None or self._child.returncode is not None:
            return
        self._child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._child.wait(), STOP_S)
        except TimeoutError:
            _log.warning("program did not end by itself", program=self.name)
            os.killpg(self._child.pid, signal.SIGKILL)
            await self._child.wait()

    def _tail(self, lines: int = 15) -> str:
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return str(error)
        return "\n".join(text.splitlines()[-lines:])
