"""How much is too much, per node: token buckets, open sessions, and a counter of how often each limit was hit.

Each limit has a name, a unit, a default in hudhud/settings.py, and a counter. The counting itself is one file that all
workers share (mail/tally.py).
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from hudhud.clock import SYSTEM, Clock
from hudhud.settings import Relay as Settings
from mail.tally import Tally


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `amount` at once, and as many again every `seconds`."""

    name: str
    amount: float
    seconds: float


MESSAGES_ACCOUNT: Final = "messages_per_minute_per_account"
MESSAGES_ADDRESS: Final = "messages_per_minute_per_address"
MESSAGES_NETWORK: Final = "messages_per_minute_per_network"
MESSAGES_RECIPIENT: Final = "messages_per_minute_per_recipient"
RECIPIENTS_ACCOUNT: Final = "recipients_per_minute_per_account"
MESSAGES_SERVER: Final = "messages_per_minute_per_server"
RECIPIENTS_SERVER: Final = "recipients_per_minute_per_server"
CONNECTIONS_ADDRESS: Final = "connections_per_minute_per_address"
CONNECTIONS_NETWORK: Final = "connections_per_minute_per_network"
AUTH_ACCOUNT: Final = "auth_failures_per_hour_account"
AUTH_ADDRESS: Final = "auth_failures_per_hour_address"
AUTH_PAIR: Final = "auth_failures_per_hour_pair"  # an account at an address where it has logged in before
LOGINS_WAITING: Final = "auth.max_waiting"
NOTICES: Final = "notices_per_hour_per_account"
FAULTS: Final = "faults_per_message"
SESSIONS: Final = "max_sessions"
SESSIONS_ADDRESS: Final = "max_sessions_per_address"
SESSIONS_NETWORK: Final = "max_sessions_per_network"
RECIPIENTS: Final = "max_recipients"
COMMANDS: Final = "max_commands"
JUNK: Final = "max_junk_commands"
LINE: Final = "max_line_bytes"
HEADER: Final = "max_header_bytes"
LINES: Final = "max_message_lines"
SIZE: Final = "max_message_bytes"
TIMEOUT: Final = "command_timeout_s"
DATA_TIMEOUT: Final = "data_timeout_s"
JUDGING: Final = "judge_timeout_s"
SIZE_NOTICES: Final = "size_notices_per_hour"
DSNS: Final = "dsns_per_hour_per_sender"
DESTINATION: Final = "messages_per_minute_per_destination"
NAMES: Final = (
    *(MESSAGES_ACCOUNT, MESSAGES_ADDRESS, RECIPIENTS_ACCOUNT, AUTH_ACCOUNT, AUTH_ADDRESS, SESSIONS, SESSIONS_ADDRESS),
    *(RECIPIENTS, COMMANDS, JUNK, SIZE, TIMEOUT, DATA_TIMEOUT, NOTICES, FAULTS),
    *(MESSAGES_NETWORK, MESSAGES_RECIPIENT, CONNECTIONS_ADDRESS, CONNECTIONS_NETWORK, SESSIONS_NETWORK),
    *(LINE, HEADER, JUDGING, SIZE_NOTICES, DSNS, DESTINATION),
    *(AUTH_PAIR, LOGINS_WAITING),
    *(MESSAGES_SERVER, RECIPIENTS_SERVER),
    *(LINES,),
)
"""Every limit of the sessions, in the order of its counter in the file. Append only: a name's place is in files that
workers of another version read too."""


MAX_FAULTS: Final = 2  # times a day that one message may fail by our fault; the next time it is held (invariant 2)
KNOWN_DAYS: Final = 30
_KNOWN: Final = Rate("known", 1, KNOWN_DAYS * 86_400)  # a bucket that is emptied by a log-in and fills again


def rates(settings: Settings) -> Mapping[str, Rate]:
    """The token buckets by name, as the settings have them."""
    found = (
        Rate(MESSAGES_ACCOUNT, settings.messages_per_minute_per_account, 60),
        Rate(MESSAGES_ADDRESS, settings.messages_per_minute_per_address, 60),
        Rate(MESSAGES_NETWORK, settings.messages_per_minute_per_network, 60),
        Rate(MESSAGES_RECIPIENT, settings.messages_per_minute_per_recipient, 60),
        Rate(RECIPIENTS_ACCOUNT, settings.recipients_per_minute_per_account, 60),
        Rate(MESSAGES_SERVER, settings.messages_per_minute_per_server, 60),
        Rate(RECIPIENTS_SERVER, settings.recipients_per_minute_per_server, 60),
        Rate(CONNECTIONS_ADDRESS, settings.connections_per_minute_per_address, 60),
        Rate(CONNECTIONS_NETWORK, settings.connections_per_minute_per_network, 60),
        Rate(AUTH_ACCOUNT, settings.auth_failures_per_hour, 3600),
        Rate(AUTH_ADDRESS, settings.auth_failures_per_hour, 3600),
        Rate(AUTH_PAIR, settings.auth_failures_per_hour, 3600),
        Rate(NOTICES, settings.notices_per_hour_per_account, 3600),
        Rate(SIZE_NOTICES, 1, 3600),  # of one account and size: a mail program that tries again is told once
        Rate(FAULTS, MAX_FAULTS, 86_400),
        Rate(DSNS, 1, 3600),  # of these two a share is taken: one part of as many as are allowed
        Rate(DESTINATION, 1, 60),
        _KNOWN,
    )
    return {rate.name: rate for rate in found}


def network_of(ip: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one (RFC 4291: one site has at least that)."""
    return _within(ip, 32, 64)


def wide_network_of(ip: str) -> str:
    """What counts as one network: the /24 of an IPv4 address, the /48 of an IPv6 one (RFC 6177: a site's)."""
    return _within(ip, 24, 48)


@functools.lru_cache(4096)
def _within(ip: str, four: int, six: int) -> str:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if address.version == 6:
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, six), strict=False))
        address = address.ipv4_mapped
    return address.compressed if four == 32 else str(ipaddress.ip_network((address, four), strict=False))


class Limits:
    """The node's, counted in the file at `path`. Each worker opens it with a number of its own; None only reads.

    Any thread; a call costs two system calls.
    """

    def __init__(self, path: Path, settings: Settings, *, worker: int | None, clock: Clock = SYSTEM) -> None:
        self._rates, self._settings, self._clock = rates(settings), settings, clock
        self._tally = Tally(path, worker)

    def take(self, name: str, key: str, cost: float = 1.0) -> bool:
        """Take from the bucket of `name` and `key`; False, counted, and nothing taken where it holds less."""
        return self.take_each((name, key), cost=cost) is None

    def take_each(self, *wanted: tuple[str, str], cost: float = 1.0) -> str | None:
        """Take from each bucket (name and key), or from none: then the name of the first that holds less, counted."""
        with self._tally:
            return self._take_each(wanted, cost)

    def holds(self, name: str, key: str, cost: float = 1.0) -> bool:
        """Whether `take` would succeed; a no is counted."""
        with self._tally:
            held = self._level(name, key, self._now())[2] >= cost
            if not held:
                self._hit(name)
        return held

    def spend(self, name: str, keys: Iterable[str]) -> None:
        """Take one from the bucket of each key, as far as it goes: what was allowed before has happened now."""
        with self._tally:
            now = self._now()
            for key in keys:
                at, digest, level = self._level(name, key, now)
                self._tally.fill(at, digest, max(0.0, level - 1), now)

    def peek(self, name: str, key: str) -> float:
        """How many tokens the bucket holds. Without the lock: another worker may be writing it in this moment."""
        return self._level(name, key, self._now())[2]

    def know(self, key: str) -> None:
        """Remember that `key` (an account at an address) has logged in."""
        with self._tally:
            now = self._now()
            at, digest, _ = self._level(_KNOWN.name, key, now)
            self._tally.fill(at, digest, 0.0, now)

    def known(self, key: str) -> bool:
        """Whether it did so within KNOWN_DAYS: failures of others elsewhere then do not lock it out."""
        with self._tally:
            return self._level(_KNOWN.name, key, self._now())[2] < 1

    def enter(self, ip: str) -> str | None:
        """A session begins: None, or the name of the limit that forbids it (then it was not counted in)."""
        address, network = network_of(ip), wide_network_of(ip)
        keys, settings = self._keys(address, network), self._settings
        with self._tally:  # one at a time on the node, so that no more come in than may
            everyone, mine, ours = self._tally.sessions(keys, settings.workers)
            if everyone >= settings.max_sessions:
                return self._hit(SESSIONS)
            if mine >= settings.max_sessions_per_address:
                return self._hit(SESSIONS_ADDRESS)
            if ours >= settings.max_sessions_per_network:
                return self._hit(SESSIONS_NETWORK)
            hit = self._take_each(((CONNECTIONS_ADDRESS, address), (CONNECTIONS_NETWORK, network)), 1.0)
            if hit is None:
                self._tally.add(keys, 1)
        return hit

    def leave(self, ip: str) -> None:
        """A session that entered ends."""
        self._tally.add(self._keys(network_of(ip), wide_network_of(ip)), -1)

    def hit(self, name: str) -> None:
        """Count that a limit of another kind was hit."""
        with self._tally:
            self._hit(name)

    def configure(self, settings: Settings) -> None:
        """From now on these amounts count."""
        self._rates, self._settings = rates(settings), settings

    def counters(self) -> dict[str, int]:
        """How often each limit was hit since the file was made."""
        with self._tally:
            return {name: self._tally.counted(place) for place, name in enumerate(NAMES)}

    def sessions(self) -> int:
        """Open on the node now."""
        with self._tally:
            return self._tally.sessions((), self._settings.workers)[0]

    def close(self) -> None:
        """Let go of the file; a second close does nothing."""
        self._tally.close()

    def __enter__(self) -> Limits:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.close()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _keys(self, address: str, network: str) -> tuple[bytes, bytes]:
        return self._tally.key(address), self._tally.key(f"network\0{network}")

    def _level(self, name: str, key: str, now: float) -> tuple[int, bytes, float]:
        """Where the bucket lies, what stands there for its key, how much it holds."""
        rate = self._rates[name]
        digest = self._tally.key(f"{name}\0{key}")
        at, level = self._tally.bucket(digest, rate.amount, rate.seconds, now)
        return at, digest, level

    def _take_each(self, wanted: Iterable[tuple[str, str]], cost: float) -> str | None:
        now, before = self._now(), list[tuple[int, bytes, float]]()
        for name, key in wanted:
            at, digest, level = self._level(name, key, now)
            if level < cost:
                for taken in reversed(before):  # from none, then
                    self._tally.fill(*taken, now)
                return self._hit(name)
            before.append((at, digest, level))
            self._tally.fill(at, digest, level - cost, now)
        return None

    def _hit(self, name: str) -> str:
        self._tally.count(NAMES.index(name))
        return name
