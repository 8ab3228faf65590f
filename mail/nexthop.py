"""What next hops offered when they were last spoken to: filled by deliveries, asked at MAIL and RCPT.

One small file that every worker of a node maps. An entry is worth nothing after `ttl_s` seconds: with an empty cache,
or the next hop down, a message is accepted, and a DSN tells of what could not be delivered.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hudhud.clock import SYSTEM, Clock
from hudhud.entity import Registry
from mail.route import Hop, Routes

MAGIC: Final = b"hudhud offers 1\0"
SLOTS: Final = 4096  # next hops remembered; past it the oldest near it is forgotten
WINDOW: Final = 8  # slots in which a next hop may lie
FRESH: Final = 8  # an entry that says the same is written again after this part of its life

_ENTRY = struct.Struct("<16sdQB3xI")  # key, when (seconds since 1970), size, flags, checksum of what is before it
_SEEN: Final = struct.Struct("<16sdQB3x")
_SIZE = len(MAGIC) + SLOTS * _ENTRY.size
_EIGHT_BIT, _UTF8, _LIMITED = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Offer:
    """What a next hop takes. `size` in octets, None where it named no limit."""

    size: int | None = None
    eight_bit: bool = True
    utf8: bool = True


class Offers:
    """The node's file at `path`. Whoever reads does not lock: a half-written entry does not fit its checksum."""

    def __init__(self, path: Path, *, ttl_s: float, clock: Clock = SYSTEM) -> None:
        self._ttl_s, self._clock = ttl_s, clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            if os.fstat(self._file).st_size != _SIZE or os.pread(self._file, len(MAGIC), 0) != MAGIC:
                os.ftruncate(self._file, 0)
                os.ftruncate(self._file, _SIZE)
                os.pwrite(self._file, MAGIC, 0)
            self._map = mmap.mmap(self._file, _SIZE)
        except BaseException:
            os.close(self._file)
            raise
        fcntl.lockf(self._file, fcntl.LOCK_UN)

    def learn(self, key: str, offer: Offer) -> None:
        """The next hop of that key (Hop.key) has just offered this."""
        digest, now = _digest(key), self._clock.now().timestamp()
        found = self._look(digest)
        if found is not None and found[1] == offer and 0 <= now - found[0] < self._ttl_s / FRESH:
            return
        flags = offer.eight_bit * _EIGHT_BIT | offer.utf8 * _UTF8 | (offer.size is not None) * _LIMITED
        seen = _SEEN.pack(digest, now, min(offer.size or 0, (1 << 64) - 1), flags)
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            at = self._place(digest)
            self._map[at : at + _ENTRY.size] = seen + zlib.crc32(seen).to_bytes(4, "little")
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def find(self, key: str) -> Offer | None:
        """What it offered last, None where that is not known or too long ago."""
        found = self._look(_digest(key))
        if found is None or not 0 <= self._clock.now().timestamp() - found[0] < self._ttl_s:
            return None
        return found[1]

    def close(self) -> None:
        """Let go of the file; a second close does nothing."""
        if self._file >= 0:
            self._map.close()
            os.close(self._file)
            self._file = -1

    def _look(self, digest: bytes) -> tuple[float, Offer] | None:
        for at in _window(digest):
            entry = self._map[at : at + _ENTRY.size]
            key, when, size, flags, checksum = _ENTRY.unpack(entry)
            if key == digest and checksum == zlib.crc32(entry[: _SEEN.size]):
                return when, Offer(size if flags & _LIMITED else None, bool(flags & _EIGHT_BIT), bool(flags & _UTF8))
        return None

    def _place(self, digest: bytes) -> int:
        oldest, since = 0, float("inf")
        for at in _window(digest):
            key, when, *_ = _ENTRY.unpack_from(self._map, at)
            if key == digest:
                return at
            if when < since:
                oldest, since = at, when
        return oldest


class Ahead:
    """Looks from an address at RCPT to what its next hop offered. `registry` gives the live one."""

    def __init__(self, routes: Routes, registry: Callable[[], Registry], offers: Offers) -> None:
        self._routes, self._registry, self._offers = routes, registry, offers

    async def of(self, domain: str) -> Offer | None:
        """None where nothing is known. Names are asked for a body's own next hop only: the rest is not worth a wait."""
        way = self._routes.known(domain)
        if way is None and self._registry().by_domain(domain) is not None:
            way = await self._routes.find(domain)
        return self._offers.find(way.key) if isinstance(way, Hop) else None


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _window(digest: bytes) -> range:
    first = int.from_bytes(digest[:4], "little") % (SLOTS - WINDOW)
    start = len(MAGIC) + first * _ENTRY.size
    return range(start, start + WINDOW * _ENTRY.size, _ENTRY.size)
