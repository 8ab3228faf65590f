"""What goes to the unpacking child and what comes back: plain values for both sides."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["archive", "office", "rtf"]


class Job(msgspec.Struct, frozen=True):
    """One file to open, and how far: files, octets of all together, unpacked to packed, seconds."""

    kind: Kind
    name: str
    data: bytes
    max_files: int
    max_bytes: int
    max_ratio: int
    seconds: float


class Entry(msgspec.Struct, frozen=True):
    """A file in it; an encrypted one has no data."""

    name: str
    data: bytes = b""
    encrypted: bool = False
    media_type: str = ""


class Opened(msgspec.Struct, frozen=True):
    """What was in it. `limits` are names of caps that were hit, `problem` why it could not be read to its end."""

    entries: tuple[Entry, ...] = ()
    encrypted: bool = False
    limits: tuple[str, ...] = ()
    problem: str = ""


class Budget:
    """How much may still be unpacked of one message; `take` says whether a file still fits and names the cap else."""

    def __init__(self, files: int, octets: int, ratio: int, packed: int) -> None:
        self.files, self.octets = files, octets
        self.by_ratio = max(packed * ratio, MIN_BY_RATIO)
        self.limits: set[str] = set()

    def room(self) -> int:
        """Octets that may still be unpacked; 0 when a cap is hit."""
        return max(0, min(self.octets, self.by_ratio)) if self.files > 0 else 0

    def take(self, octets: int) -> bool:
        """Counts one file of so many octets."""
        self.files -= 1
        self.octets -= octets
        self.by_ratio -= octets
        for name, left in (
            ("max_files", self.files),
            ("max_unpacked_bytes", self.octets),
            ("max_ratio", self.by_ratio),
        ):
            if left < 0:
                self.limits.add(name)
        return not self.limits


MIN_BY_RATIO = 1024 * 1024  # octets; below it a high ratio harms nobody
