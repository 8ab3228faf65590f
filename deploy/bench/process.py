"""What processes cost: CPU seconds and memory of whole process trees, read from /proc; how busy the machine is.

A tree's CPU is its living processes' own time and that of their children which ended: nothing that a program starts
goes uncounted.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")  # of utime and its like, per second
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of /proc/<pid>/stat: its parent, and CPU seconds of itself and of its children that were waited for."""

    parent: int
    cpu_s: float


def stats() -> dict[int, Stat]:
    """Every process of the machine by its id."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "stat").read_text().rpartition(")")[2].split()
            except (OSError, ValueError):  # it ended meanwhile
                continue
            found[int(folder.name)] = Stat(int(words[1]), sum(map(int, words[11:15])) / TICK)
    return found


def tree(roots: Iterable[int], known: dict[int, Stat] | None = None) -> list[int]:
    """The ids of the roots that live and of all that descends from them."""
    known = stats() if known is None else known
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, stat in known.items():
        children[stat.parent].append(pid)
    found: list[int] = []
    waiting = [pid for pid in roots if pid in known]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children[pid]
    return list(dict.fromkeys(found))


def cpu_s(roots: Iterable[int]) -> float:
    """CPU seconds, user and system, that the trees below the roots have used so far."""
    known = stats()
    return sum(known[pid].cpu_s for pid in tree(roots, known))


def rss_bytes(pid: int) -> int:
    """Resident memory of one process, shared pages included; 0 where it is gone."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def busy_s() -> float:
    """CPU seconds that all cores have worked since the machine started (idle, waiting and stolen apart)."""
    words = (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = map(int, words)
    return (user + nice + system + irq + softirq) / TICK
