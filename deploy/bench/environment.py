"""The line that every figure needs beside it: which machine, how many cores, what else ran on it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from deploy.bench import process


def machine() -> str:
    """Cores, CPU model, memory, kernel and Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{process.CORES} cores, {_model()}, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


class Others:
    """How much of the machine others used while we measured: all that was busy, less what is ours."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._busy = process.busy_s()
        self._mine = process.cpu_s([os.getpid()])

    def share(self) -> float:
        """Between 0 and 1: the share of all cores that was somebody else's since the start."""
        wall = max(time.monotonic() - self._begun, 0.01)
        busy = process.busy_s() - self._busy
        ours = process.cpu_s([os.getpid()]) - self._mine
        return min(max((busy - ours) / (wall * (os.cpu_count() or 1)), 0.0), 1.0)
