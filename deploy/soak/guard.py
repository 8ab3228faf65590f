"""Runs a soak so that nothing of it outlives it: a signal ends it, and whatever it started ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from deploy.bench.process import PROC

VARIABLE = "HUDHUD_SOAK"  # in the environment of everything that a soak starts
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

T = TypeVar("T")


def guarded(work: Coroutine[Any, Any, T]) -> T:
    """Run it; KeyboardInterrupt where a signal came. Its temporary folders and processes are gone afterwards."""
    os.environ[VARIABLE] = secrets.token_hex(8)
    mark = f"{VARIABLE}={os.environ[VARIABLE]}"
    told: list[int] = []
    try:
        with asyncio.Runner() as runner:
            return runner.run(_cancellable(work, mark, told))
    except (Exception, asyncio.CancelledError):
        if told:  # whatever else went wrong, went wrong because of it
            raise KeyboardInterrupt from None
        raise
    finally:
        kill(mark)
        del os.environ[VARIABLE]


async def _cancellable(work: Coroutine[Any, Any, T], mark: str, told: list[int]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)

    def end(number: int) -> None:
        told.append(number)
        task.cancel()
        kill(mark)  # at once: what a soak is doing to them is of no interest any more

    for number in SIGNALS:
        loop.add_signal_handler(number, end, number)
    return await task


def kill(mark: str) -> None:
    """End every other process whose environment holds "NAME=value", also those whose parent is gone."""
    while found := marked(mark):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def marked(mark: str) -> list[int]:
    """The living processes, without this one, that were started with "NAME=value" in their environment."""
    found = []
    for folder in PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
                if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found
