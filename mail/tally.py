"""One file that every worker of a node maps and locks: counters, token buckets, and who is connected how often.

It outlives a restart, so a flood that was slowed stays slowed. Keys (addresses, accounts) are kept as keyed hashes
only. What is counted, and how much is too much, is in mail/limits.py.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import mmap
import os
import secrets
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

MAGIC: Final = b"hudhud limits 2\0"
SALT: Final = 16  # octets
COUNTERS: Final = 64
BUCKETS: Final = 65_536  # keys remembered at once; past it the one that was longest quiet is forgotten
WINDOW: Final = 16  # slots in which a key may lie
WORKERS: Final = 64  # per node
KEYS: Final = 4096  # texts whose hash a worker remembers
SESSION_SLOTS: Final = 2048  # different keys that one worker can count sessions of at once

_COUNTER = struct.Struct("<Q")
_BUCKET = struct.Struct("<16sdd")  # key, tokens, when (seconds since 1970)
_SESSION = struct.Struct("<8sQ")  # key, how many
_COUNTERS_AT = len(MAGIC) + SALT
_BUCKETS_AT = _COUNTERS_AT + COUNTERS * _COUNTER.size
_SESSIONS_AT = _BUCKETS_AT + BUCKETS * _BUCKET.size
_REGION = (SESSION_SLOTS + 1) * _SESSION.size  # of one worker; slot 0 is its sum
_SIZE = _SESSIONS_AT + WORKERS * _REGION
_SUM = bytes(8)


class Tally:
    """The file at `path`, made when it is not there or not ours. `worker` is below WORKERS and its own; None reads.

    Opening it as a worker forgets the sessions that the last worker of that number left behind. Whoever changes
    something but its sessions does so in a `with` of it. Any thread; sessions are for one thread of the worker.
    """

    def __init__(self, path: Path, worker: int | None) -> None:
        if worker is not None and not 0 <= worker < WORKERS:
            raise ValueError(f"worker {worker} is not below {WORKERS}")
        self._worker = worker
        self._gate = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._map = self._open()
        except BaseException:
            os.close(self._file)
            raise
        self.key: Callable[[str], bytes] = functools.lru_cache(KEYS)(self._digest)
        """What stands in the file for a text."""

    def __enter__(self) -> None:
        """Nobody else on the node changes buckets and counters meanwhile."""
        self._gate.acquire()  # the lock of a file is the process's, not the thread's
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        except BaseException:
            self._gate.release()
            raise

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        finally:
            self._gate.release()

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16, key=self._salt).digest()

    def close(self) -> None:
        """Let go of the file; a second close does nothing."""
        if self._file >= 0:
            self._map.close()
            os.close(self._file)
            self._file = -1

    # counters

    def count(self, place: int) -> None:
        """One more."""
        at = _COUNTERS_AT + place * _COUNTER.size
        _COUNTER.pack_into(self._map, at, (_COUNTER.unpack_from(self._map, at)[0] + 1) & (1 << 64) - 1)

    def counted(self, place: int) -> int:
        """How often since the file was made."""
        return int(_COUNTER.unpack_from(self._map, _COUNTERS_AT + place * _COUNTER.size)[0])

    # token buckets

    def bucket(self, key: bytes, amount: float, seconds: float, now: float) -> tuple[int, float]:
        """Where the bucket lies or may lie, and how many tokens it holds now: full where it was never used."""
        first = _BUCKETS_AT + int.from_bytes(key[:4], "little") % (BUCKETS - WINDOW) * _BUCKET.size
        at = _found(self._map, key, first, _BUCKET.size)
        if at < 0:
            window = self._map[first : first + WINDOW * _BUCKET.size]
            times = [when for _, _, when in _BUCKET.iter_unpack(window)]
            return first + times.index(min(times)) * _BUCKET.size, amount
        _, tokens, when = _BUCKET.unpack_from(self._map, at)
        if when > now:  # the clock went back: nothing is given for that, and it fills from now on
            _BUCKET.pack_into(self._map, at, key, tokens, now)
            return at, min(amount, tokens)
        return at, min(amount, tokens + (now - when) * amount / seconds)

    def fill(self, at: int, key: bytes, tokens: float, now: float) -> None:
        """The bucket at `at` is this key's and holds so many tokens."""
        _BUCKET.pack_into(self._map, at, key, tokens, now)

    # sessions

    def sessions(self, keys: Sequence[bytes], workers: int) -> list[int]:
        """How many are open on the node: of everyone, then of each key. A worker's part is written by itself alone."""
        found = [0] * (len(keys) + 1)
        for worker in range(min(workers, WORKERS)):
            region = _SESSIONS_AT + worker * _REGION
            here = int(_SESSION.unpack_from(self._map, region)[1])
            if here:
                found[0] += here
                for place, key in enumerate(keys, 1):
                    at = _found(self._map, key[:8], _first(region, key), _SESSION.size)
                    found[place] += _SESSION.unpack_from(self._map, at)[1] if at >= 0 else 0
        return found

    def add(self, keys: Sequence[bytes], step: int) -> None:
        """One session more or less of this worker, for everyone and for each key."""
        assert self._worker is not None
        region = _SESSIONS_AT + self._worker * _REGION
        everyone = int(_SESSION.unpack_from(self._map, region)[1])
        _SESSION.pack_into(self._map, region, _SUM, max(0, everyone + step))
        for key in keys:
            first = _first(region, key)
            at = _found(self._map, key[:8], first, _SESSION.size)
            count = int(_SESSION.unpack_from(self._map, at)[1]) if at >= 0 else 0
            if not count:  # a key stays in its slot until another needs the place
                window = _SESSION.iter_unpack(self._map[first : first + WINDOW * _SESSION.size])
                at = next((first + n * _SESSION.size for n, (_, used) in enumerate(window) if not used), -1)
            if at >= 0 and count + step >= 0:  # a full window counts for everyone only
                _SESSION.pack_into(self._map, at, key[:8] if count + step else _SUM, count + step)

    def _open(self) -> mmap.mmap:
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            if os.fstat(self._file).st_size != _SIZE or os.pread(self._file, len(MAGIC), 0) != MAGIC:
                os.ftruncate(self._file, 0)
                os.ftruncate(self._file, _SIZE)  # all zero
                os.pwrite(self._file, MAGIC + secrets.token_bytes(SALT), 0)
            mapped = mmap.mmap(self._file, _SIZE)
            self._salt = mapped[len(MAGIC) : len(MAGIC) + SALT]
            if self._worker is not None:
                start = _SESSIONS_AT + self._worker * _REGION
                mapped[start : start + _REGION] = bytes(_REGION)
            return mapped
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


def _first(region: int, key: bytes) -> int:
    """Where the window of a session's key begins."""
    return region + (1 + int.from_bytes(key[:4], "little") % (SESSION_SLOTS - WINDOW)) * _SESSION.size


def _found(mapped: mmap.mmap, key: bytes, first: int, size: int) -> int:
    """Where in the window that begins at `first` a slot of that size begins with the key; -1 for nowhere."""
    end, at = first + WINDOW * size, first
    while (at := mapped.find(key, at, end)) >= 0 and (at - first) % size:
        at += 1
    return at
