"""The way to one next hop: how many go at once, when it rests after failures, what waits for it. No I/O.

Slow start: it begins with few connections, gains one with each success up to the cap, and loses half with each failure
to reach it. After `breaker_failures` in a row its circuit breaker opens: nothing is tried until a single probe may.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from hudhud.settings import Delivery as Limits
from mail.carry.letter import Letter
from mail.route import Hop
from mail.shelf.stored import Waiting

FIRST_WINDOW = 4.0  # connections at once to a next hop we have not spoken to
LONGEST_REST = 900.0  # seconds between probes of a next hop that does not answer


@dataclass(frozen=True, slots=True)
class Job:
    """One transaction to be: a message and those of its recipients that take the same way."""

    letter: Letter
    hop: Hop
    waiting: tuple[Waiting, ...]

    @property
    def size(self) -> int:
        """Octets, near enough for a cap."""
        return self.letter.stored.size


@dataclass(slots=True)
class Lane:
    """What dispatch keeps for a next hop. `domains` are those that were seen to lead here."""

    limits: Limits
    waiting: deque[Job] = field(default_factory=deque)
    domains: set[str] = field(default_factory=set)
    active: int = 0
    window: float = FIRST_WINDOW
    failures: int = 0
    rests_until: float = 0.0  # by the monotonic clock
    why: str = ""  # the words of the last failure to reach it

    @property
    def open(self) -> bool:
        """Whether the circuit breaker is open: it failed too often in a row."""
        return self.failures >= self.limits.breaker_failures

    def may_start(self, now: float) -> bool:
        """Whether one more may go now; with an open breaker only a single probe, when its rest is over."""
        if self.open:
            return self.active == 0 and now >= self.rests_until
        return self.active < min(int(self.window), self.limits.max_connections_per_hop)

    def reached(self) -> bool:
        """It spoke to us; True when it comes back from an open breaker."""
        came_back, self.failures, self.why = self.open, 0, ""
        self.window = min(self.window + 1.0, float(self.limits.max_connections_per_hop))
        return came_back

    def failed(self, now: float, why: str) -> None:
        """It could not be reached."""
        self.failures += 1
        self.why = why
        self.window = max(self.window / 2, 1.0)
        over = self.failures - self.limits.breaker_failures
        if over >= 0:
            rest = min(self.limits.breaker_s * 2 ** min(over, 10), LONGEST_REST)
            self.rests_until = now + rest * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
