"""Which domains are to be looked at on disk, and when: those whose time has come, those with room again, all in turn.

A walk over all domains goes in steps and is rare, so that neither 100,000 waiting messages nor 100,000 domains cost
more than a small share of the time; between walks it is known when each domain has something due.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

STEP = 100  # domains looked at in one go
WALK_SECONDS = 300.0  # between two walks over all domains, whatever was announced …
WALK_SHARE = 50.0  # … or this many times what the last one took, where that is longer

Walk = Callable[[str, int], Sequence[str]]


class Agenda:
    """Times of two clocks: seconds since 1970 (`when`), and monotonic ones (`now`)."""

    def __init__(self, domains: Walk) -> None:
        self._domains = domains
        self._when: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._soon: dict[str, None] = {}  # to be looked at at once, in turn
        self._at: str | None = ""  # how far the walk is; None: none is under way
        self._took = self._walked_at = 0.0

    def note(self, domain: str, when: float) -> None:
        """The domain has something due then."""
        if when < self._when.get(domain, float("inf")):
            self._when[domain] = when
            heapq.heappush(self._heap, (when, domain))

    def hurry(self, domain: str) -> None:
        """The domain is to be looked at at once."""
        self._soon[domain] = None

    def walk(self) -> None:
        """All are to be looked at: something changed on disk that nobody knows of here."""
        if self._at is None:
            self._at = ""

    @property
    def waiting(self) -> bool:
        """Whether something is to be looked at now."""
        return bool(self._soon) or self._at is not None

    def take(self, when: float, now: float) -> list[str]:
        """At most about 2 · STEP domains to look at now. Call `looked` afterwards."""
        while self._heap and self._heap[0][0] <= when:
            moment, domain = heapq.heappop(self._heap)
            if self._when.get(domain) == moment:
                self._soon[domain] = None
        chosen = list(self._soon)[:STEP]
        for domain in chosen:
            del self._soon[domain]
            self._when.pop(domain, None)
        if self._at is None and now - self._walked_at >= max(WALK_SECONDS, WALK_SHARE * self._took):
            self._at, self._took = "", 0.0
        if self._at is not None:
            slice_ = self._domains(self._at, STEP)
            if len(slice_) < STEP:
                self._at, self._walked_at = None, now
            else:
                self._at = slice_[-1]
            known = set(chosen)
            chosen += [one for one in slice_ if one not in known]
        return chosen

    def looked(self, asked: Iterable[str], later: dict[str, float], seconds: float) -> None:
        """What was found: when each of the domains has something again, and how long the look took."""
        for domain in asked:
            self._when.pop(domain, None)
        for domain, when in later.items():
            self.note(domain, when)
        if self._at is not None:
            self._took += seconds

    def next(self, now: float, when: float) -> float:
        """When to take again (monotonic)."""
        walk = self._walked_at + max(WALK_SECONDS, WALK_SHARE * self._took)
        return min(walk, now + max(self._heap[0][0] - when, 0.0)) if self._heap else walk
