"""The way to one next hop: how many go at once, whose turn it is, when it rests after failures. No I/O.

Slow start: it begins with few connections and gains one with each success; after the next hop has pushed back once, one
a round (RFC 5681's two phases). Each push-back (421, 4xx to the whole message, no connection) halves it. After
`breaker_failures` failures in a row its circuit breaker opens: nothing is tried until a single probe may.
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
COOL = 1.0  # seconds in which several push-backs count as one: they answer what was sent together


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

    @property
    def sender(self) -> bytes:
        """Who takes turns with others: the account, else the envelope sender."""
        stored = self.letter.stored
        return stored.account.encode() if stored.account else stored.sender


class Turns:
    """Jobs that wait, first come first served for one sender, in turn between senders."""

    def __init__(self) -> None:
        self._queues: dict[bytes, deque[Job]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, job: Job) -> None:
        self._queues.setdefault(job.sender, deque()).append(job)
        self._count += 1

    @property
    def first(self) -> Job:
        """Whose turn it is."""
        return next(iter(self._queues.values()))[0]

    def popleft(self) -> Job:
        sender, queue = next(iter(self._queues.items()))
        job = queue.popleft()
        del self._queues[sender]
        if queue:
            self._queues[sender] = queue  # now it is behind the others
        self._count -= 1
        return job

    def clear(self) -> tuple[Job, ...]:
        """All of them, which no longer wait."""
        jobs = tuple(job for queue in self._queues.values() for job in queue)
        self._queues.clear()
        self._count = 0
        return jobs


@dataclass(slots=True)
class Lane:
    """What dispatch keeps for a next hop. `domains` are those that were seen to lead here."""

    limits: Limits
    waiting: Turns = field(default_factory=Turns)
    domains: set[str] = field(default_factory=set)
    active: int = 0
    flying: int = 0  # octets that are being sent
    window: float = FIRST_WINDOW
    threshold: float = float("inf")  # up to here each success adds one, past it each round
    failures: int = 0
    rests_until: float = 0.0  # by the monotonic clock, as the next two
    paced_until: float = 0.0  # its rate limit says when the next one may go
    pushed_at: float = float("-inf")
    why: str = ""  # the words of the last failure to reach it
    probed: bool = False  # one was sent ahead when the last rest ended

    @property
    def open(self) -> bool:
        """Whether the circuit breaker is open: it failed too often in a row."""
        return self.failures >= self.limits.breaker_failures

    def may_start(self, now: float) -> bool:
        """Whether one more may go now; with an open breaker only a single probe, when its rest is over."""
        if now < self.paced_until:
            return False
        if self.open:
            return self.active == 0 and now >= self.rests_until
        return self.active < min(int(self.window), self.limits.max_connections_per_hop)

    def reached(self) -> bool:
        """It spoke to us; True when it comes back from an open breaker."""
        came_back, self.failures, self.why = self.open, 0, ""
        step = 1.0 if self.window < self.threshold else 1.0 / self.window
        self.window = min(self.window + step, float(self.limits.max_connections_per_hop))
        return came_back

    def pushed_back(self, now: float) -> bool:
        """It spoke to us, but takes nothing for now; True when it comes back from an open breaker."""
        came_back, self.failures = self.open, 0
        self._halve(now)
        return came_back

    def failed(self, now: float, why: str) -> None:
        """It could not be reached, or sends everybody away (421)."""
        self.failures += 1
        self.why = why
        self._halve(now)
        over = self.failures - self.limits.breaker_failures
        if over >= 0:
            rest = min(self.limits.breaker_s * 2 ** min(over, 10), LONGEST_REST)
            self.rests_until = now + rest * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
            self.probed = False

    def _halve(self, now: float) -> None:
        if now - self.pushed_at >= COOL:
            self.pushed_at = now
            self.window = self.threshold = max(self.window / 2, 1.0)
