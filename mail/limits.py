"""Limits that count per node: token buckets and session counts in one file that every worker maps and locks.

The file outlives a restart, so a flood that was slowed stays slowed. Keys (addresses, accounts) are kept as keyed
hashes only. Each limit has a name, a unit, a default in hudhud/settings.py, and a counter of how often it was hit.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import mmap
import os
import secrets
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from hudhud.clock import SYSTEM, Clock
from hudhud.settings import Relay as Settings

MAGIC: Final = b"hudhud limits 1\0"
SALT: Final = 16  # octets
COUNTERS: Final = 32
BUCKETS: Final = 65_536  # keys remembered at once; past it the one that was longest quiet is forgotten
WINDOW: Final = 16  # slots in which a key may lie
WORKERS: Final = 64  # per node
SESSION_SLOTS: Final = 2048  # different addresses that one worker can count at once

_COUNTER = struct.Struct("<Q")
_BUCKET = struct.Struct("<16sdd")  # key, tokens, when (seconds since 1970)
_SESSION = struct.Struct("<8sQ")  # key, how many
_COUNTERS_AT = len(MAGIC) + SALT
_BUCKETS_AT = _COUNTERS_AT + COUNTERS * _COUNTER.size
_SESSIONS_AT = _BUCKETS_AT + BUCKETS * _BUCKET.size
_REGION = (SESSION_SLOTS + 1) * _SESSION.size  # of one worker; slot 0 is its sum
_SIZE = _SESSIONS_AT + WORKERS * _REGION
_NOBODY = bytes(8)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `amount` at once, and as many again every `seconds`."""

    name: str
    amount: float
    seconds: float


MESSAGES_ACCOUNT: Final = "messages_per_minute_per_account"
MESSAGES_ADDRESS: Final = "messages_per_minute_per_address"
RECIPIENTS_ACCOUNT: Final = "recipients_per_minute_per_account"
AUTH_ACCOUNT: Final = "auth_failures_per_hour_account"
AUTH_ADDRESS: Final = "auth_failures_per_hour_address"
NOTICES: Final = "notices_per_hour_per_account"
FAULTS: Final = "faults_per_message"
SESSIONS: Final = "max_sessions"
SESSIONS_ADDRESS: Final = "max_sessions_per_address"
RECIPIENTS: Final = "max_recipients"
COMMANDS: Final = "max_commands"
JUNK: Final = "max_junk_commands"
SIZE: Final = "max_message_bytes"
TIMEOUT: Final = "command_timeout_s"
DATA_TIMEOUT: Final = "data_timeout_s"
NAMES: Final = (
    *(MESSAGES_ACCOUNT, MESSAGES_ADDRESS, RECIPIENTS_ACCOUNT, AUTH_ACCOUNT, AUTH_ADDRESS, SESSIONS, SESSIONS_ADDRESS),
    *(RECIPIENTS, COMMANDS, JUNK, SIZE, TIMEOUT, DATA_TIMEOUT, NOTICES, FAULTS),
)
"""Every limit of the sessions, in the order of its counter in the file (new ones go to the end)."""


MAX_FAULTS: Final = 2  # times a day that one message may fail by our fault; the next time it is held (invariant 2)
KNOWN_DAYS: Final = 30
_KNOWN: Final = Rate("known", 1, KNOWN_DAYS * 86_400)  # a bucket that is emptied by a log-in and fills again


def rates(settings: Settings) -> Mapping[str, Rate]:
    """The token buckets by name, as the settings have them."""
    found = (
        Rate(MESSAGES_ACCOUNT, settings.messages_per_minute_per_account, 60),
        Rate(MESSAGES_ADDRESS, settings.messages_per_minute_per_address, 60),
        Rate(RECIPIENTS_ACCOUNT, settings.recipients_per_minute_per_account, 60),
        Rate(AUTH_ACCOUNT, settings.auth_failures_per_hour, 3600),
        Rate(AUTH_ADDRESS, settings.auth_failures_per_hour, 3600),
        Rate(NOTICES, settings.notices_per_hour_per_account, 3600),
        Rate(FAULTS, MAX_FAULTS, 86_400),
    )
    return {rate.name: rate for rate in found}


def network_of(ip: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one (RFC 4291: one site has at least that)."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if address.version == 6:
        return (
            address.ipv4_mapped.compressed if address.ipv4_mapped else str(ipaddress.ip_network((address, 64), False))
        )
    return ip


class Limits:
    """The node's file at `path`, made when it is not there or not ours. `worker` is below WORKERS, and its own.

    Opening it as a worker forgets the sessions that the last worker of that number left behind; `worker` None only
    reads counters. Any thread; a call costs two system calls.
    """

    def __init__(self, path: Path, settings: Settings, *, worker: int | None, clock: Clock = SYSTEM) -> None:
        if worker is not None and not 0 <= worker < WORKERS:
            raise ValueError(f"worker {worker} is not below {WORKERS}")
        self._rates, self._settings, self._clock = rates(settings), settings, clock
        self._worker = worker
        self._gate = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._map = self._open()
        except BaseException:
            os.close(self._file)
            raise

    def take(self, name: str, key: str, cost: float = 1.0) -> bool:
        """Take from the bucket of `name` and `key`; False, counted, and nothing taken where it holds less."""
        rate = self._rates[name]
        with self._locked():
            now = self._clock.now().timestamp()
            at, tokens = self._bucket(rate, key, now)
            if tokens < cost:
                self._count(name)
                return False
            _BUCKET.pack_into(self._map, at, self._key(f"{name}\0{key}"), tokens - cost, now)
        return True

    def holds(self, name: str, key: str, cost: float = 1.0) -> bool:
        """Whether `take` would succeed; a no is counted."""
        with self._locked():
            held = self._bucket(self._rates[name], key, self._clock.now().timestamp())[1] >= cost
            if not held:
                self._count(name)
        return held

    def peek(self, name: str, key: str) -> float:
        """How many tokens the bucket holds. Without the lock: another worker may be writing it in this moment."""
        return self._bucket(self._rates[name], key, self._clock.now().timestamp())[1]

    def know(self, key: str) -> None:
        """Remember that `key` (an account at an address) has logged in."""
        with self._locked():
            now = self._clock.now().timestamp()
            at, _ = self._bucket(_KNOWN, key, now)
            _BUCKET.pack_into(self._map, at, self._key(f"{_KNOWN.name}\0{key}"), 0.0, now)

    def known(self, key: str) -> bool:
        """Whether it did so within KNOWN_DAYS: failures of others elsewhere then do not lock it out."""
        with self._locked():
            return self._bucket(_KNOWN, key, self._clock.now().timestamp())[1] < 1

    def enter(self, ip: str) -> str | None:
        """A session begins: None, or the name of the limit that forbids it (then it was not counted in)."""
        assert self._worker is not None
        key = self._key(network_of(ip))[:8]
        with self._locked():
            everyone, mine = self._sessions(key)
            if everyone >= self._settings.max_sessions:
                return self._hit(SESSIONS)
            if mine >= self._settings.max_sessions_per_address:
                return self._hit(SESSIONS_ADDRESS)
            self._add(key, 1)
        return None

    def leave(self, ip: str) -> None:
        """A session that entered ends."""
        with self._locked():
            self._add(self._key(network_of(ip))[:8], -1)

    def hit(self, name: str) -> None:
        """Count that a limit of another kind was hit."""
        with self._locked():
            self._count(name)

    def configure(self, settings: Settings) -> None:
        """From now on these amounts count."""
        self._rates, self._settings = rates(settings), settings

    def counters(self) -> dict[str, int]:
        """How often each limit was hit since the file was made."""
        with self._locked():
            return {
                name: int(_COUNTER.unpack_from(self._map, _COUNTERS_AT + place * _COUNTER.size)[0])
                for place, name in enumerate(NAMES)
            }

    def sessions(self) -> int:
        """Open on the node now."""
        with self._locked():
            return self._sessions(_NOBODY)[0]

    def close(self) -> None:
        """Let go of the file; a second close does nothing."""
        if self._file >= 0:
            self._map.close()
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Limits:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.close()

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

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._gate:  # the lock of a file is the process's, not the thread's
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _key(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16, key=self._salt).digest()

    def _bucket(self, rate: Rate, key: str, now: float) -> tuple[int, float]:
        """Where the bucket lies or may lie, and how many tokens it holds now."""
        digest = self._key(f"{rate.name}\0{key}")
        first = int.from_bytes(digest[:4], "little") % (BUCKETS - WINDOW)
        quiet, quiet_since = first, float("inf")
        for slot in range(first, first + WINDOW):
            found, tokens, when = _BUCKET.unpack_from(self._map, _BUCKETS_AT + slot * _BUCKET.size)
            if found == digest:
                passed = max(0.0, now - when)  # a clock that went back gives nothing
                level = min(rate.amount, tokens + passed * rate.amount / rate.seconds)
                return _BUCKETS_AT + slot * _BUCKET.size, level
            if when < quiet_since:
                quiet, quiet_since = slot, when
        return _BUCKETS_AT + quiet * _BUCKET.size, rate.amount

    def _sessions(self, key: bytes) -> tuple[int, int]:
        """(of everyone, of `key`) over all workers."""
        everyone = mine = 0
        for worker in range(min(self._settings.workers, WORKERS)):
            region = _SESSIONS_AT + worker * _REGION
            here = int(_SESSION.unpack_from(self._map, region)[1])
            everyone += here
            if here and key != _NOBODY:
                mine += next((count for _, found, count in self._window(region, key) if found == key), 0)
        return everyone, mine

    def _window(self, region: int, key: bytes) -> Iterator[tuple[int, bytes, int]]:
        first = int.from_bytes(key[:4], "little") % (SESSION_SLOTS - WINDOW)
        for slot in range(first, first + WINDOW):
            at = region + (slot + 1) * _SESSION.size
            yield (at, *_SESSION.unpack_from(self._map, at))

    def _add(self, key: bytes, step: int) -> None:
        assert self._worker is not None
        region = _SESSIONS_AT + self._worker * _REGION
        everyone = int(_SESSION.unpack_from(self._map, region)[1])
        _SESSION.pack_into(self._map, region, _NOBODY, max(0, everyone + step))
        slots = list(self._window(region, key))
        at, _, count = next(
            (s for s in slots if s[1] == key and s[2]), next((s for s in slots if not s[2]), (0, _NOBODY, 0))
        )
        if at and count + step >= 0:  # a full window counts for everyone only
            _SESSION.pack_into(self._map, at, key, count + step)

    def _hit(self, name: str) -> str:
        self._count(name)
        return name

    def _count(self, name: str) -> None:
        at = _COUNTERS_AT + NAMES.index(name) * _COUNTER.size
        _COUNTER.pack_into(self._map, at, (_COUNTER.unpack_from(self._map, at)[0] + 1) & (1 << 64) - 1)
