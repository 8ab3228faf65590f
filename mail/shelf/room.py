"""Whether the disk has room for one more message: refused before it is full, so that outcomes can still be recorded."""

from __future__ import annotations

import os
from pathlib import Path

from hudhud.clock import Clock
from hudhud.settings import Spool as Limits

LOOK_SECONDS = 1.0  # how long a look at the disk counts
MiB = 1024 * 1024


class SpoolFull(Exception):  # noqa: N818 - a state of the world; the relay answers 452
    """There is no room for the message; nothing of it was stored. The text says what is full."""


class Room:
    """Looks at the disk under `folder` at most once a second. `refused` counts messages that found no room."""

    def __init__(self, folder: Path, limits: Limits, clock: Clock) -> None:
        self._folder, self._limits, self._clock = folder, limits, clock
        self._until, self._problem = 0.0, ""
        self.refused = 0

    def check(self, size: int) -> None:
        """SpoolFull where a message of `size` octets is one too many."""
        now = self._clock.monotonic()
        if now >= self._until:
            self._until, self._problem = now + LOOK_SECONDS, self._look(size)
        if self._problem:
            self.refused += 1
            raise SpoolFull(self._problem)

    def look_again(self) -> None:
        """The disk proved to be full: the last look no longer counts."""
        self._until = 0.0

    def _look(self, size: int) -> str:
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free - size < self._limits.min_free_bytes:
            return f"{free // MiB} MiB are free, {self._limits.min_free_bytes // MiB} MiB are kept"
        used = sum(map(_size, (*_entries(self._folder), *_entries(self._folder / "bodies"))))
        if used + size > self._limits.max_bytes:
            return f"the spool has {used // MiB} MiB, {self._limits.max_bytes // MiB} MiB are allowed"
        return ""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    return list(os.scandir(folder)) if folder.is_dir() else []


def _size(entry: os.DirEntry[str]) -> int:
    """Octets of a file; 0 of anything else, and of one that went away since it was listed (a cursor being replaced)."""
    try:
        return entry.stat().st_size if entry.is_file() else 0
    except FileNotFoundError:
        return 0
