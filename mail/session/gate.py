"""How many log-ins may fail: per account, per address, and for an account where it has logged in before.

Behind one address may stand a whole ministry. Who has logged in from there within 30 days is not locked out by what
others do, and counts for itself alone; a program that tries one old password over and over counts once an hour.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from hudhud.clock import Clock
from mail.limits import AUTH_ACCOUNT, AUTH_ADDRESS, AUTH_PAIR, Limits, network_of

REMEMBERED: Final = 10_000  # wrong passwords that a worker remembers, as keyed hashes
COUNTED_S: Final = 3600.0  # the same wrong password again within it is not counted again …
ASKED_S: Final = 60.0  # … and within this not even tried again


class Gate:
    """One worker's view of the node's limits."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits, self._clock = limits, clock
        self._wrong: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # when it was counted, when tried

    def open(self, whom: str, ip: str) -> bool:
        """Whether a log-in may be tried now."""
        network = network_of(ip)
        if self._limits.known(_pair(whom, network)):
            return self._limits.holds(AUTH_PAIR, _pair(whom, network))
        return self._limits.holds(AUTH_ADDRESS, network) and self._limits.holds(AUTH_ACCOUNT, whom)

    def passed(self, whom: str, ip: str) -> None:
        """It was right."""
        self._limits.know(_pair(whom, network_of(ip)))

    def failed(self, whom: str, ip: str, mark: bytes | None) -> None:
        """It was wrong. `mark` is a keyed hash of what was said, where that can be told."""
        if mark is not None:
            now = self._clock.monotonic()
            counted, _ = self._wrong.pop(mark, (float("-inf"), 0.0))
            again = now - counted < COUNTED_S
            self._wrong[mark] = (counted if again else now, now)
            while len(self._wrong) > REMEMBERED:
                self._wrong.popitem(last=False)
            if again:
                return
        network = network_of(ip)
        if self._limits.known(_pair(whom, network)):
            self._limits.take(AUTH_PAIR, _pair(whom, network))
        else:
            self._limits.take(AUTH_ADDRESS, network)
            self._limits.take(AUTH_ACCOUNT, whom)

    def still_wrong(self, mark: bytes) -> bool:
        """Whether just that was wrong a moment ago, so that nobody needs to be asked."""
        _, tried = self._wrong.get(mark, (0.0, float("-inf")))
        return self._clock.monotonic() - tried < ASKED_S


def _pair(whom: str, network: str) -> str:
    return f"{whom}\0{network}"
