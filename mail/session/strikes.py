"""Counts how often judging a message failed by our fault, crashes of the worker included (invariant 2).

While a message is judged its hash stands in the worker's own file. What still stands there when the worker starts
again was being judged when it died: that counts as a failure of each.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mail.limits import FAULTS, Limits

SLOTS: Final = 256  # messages judged at once that are written down; more are judged all the same
_HASH: Final = 32  # octets


class Strikes:
    """One worker's. The counts are the node's and outlive restarts; they fade within a day."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size != SLOTS * _HASH:
            os.ftruncate(self._file, SLOTS * _HASH)
        self._map = mmap.mmap(self._file, SLOTS * _HASH)
        for place in range(SLOTS):
            left = self._map[place * _HASH : (place + 1) * _HASH]
            if any(left):
                self.failed(left.hex())
        self._map[:] = bytes(SLOTS * _HASH)
        self._free = list(range(SLOTS))

    def given_up(self, sha256: str) -> bool:
        """Whether the message failed so often that it is not judged again."""
        return self._limits.peek(FAULTS, sha256) < 1

    def failed(self, sha256: str) -> bool:
        """It failed once more; True when that was once too often."""
        return not self._limits.take(FAULTS, sha256)

    @contextmanager
    def judging(self, sha256: str) -> Iterator[None]:
        """Around a judgement, for the case that the process does not survive it."""
        place = self._free.pop() if self._free else None
        if place is not None:
            self._map[place * _HASH : (place + 1) * _HASH] = bytes.fromhex(sha256)
        try:
            yield
        finally:
            if place is not None:
                self._map[place * _HASH : (place + 1) * _HASH] = bytes(_HASH)
                self._free.append(place)

    def close(self) -> None:
        self._map.close()
        os.close(self._file)
