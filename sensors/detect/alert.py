"""What detectors take and give, and the bounded memory that they share the shape of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from hudhud.event import Value
from sensors.observation import Observation
from sensors.place import Ends

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation and whose the ends are. Detectors see everything, in memory; what they tell is an Alert."""

    observation: Observation
    ends: Ends


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule says that it matters. `severity` 0 to 100; `fields` were chosen by the detector within
    sensors/privacy.py's rules.
    """

    rule: str
    name: str
    severity: int
    organization: str
    time: float
    reason: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    dataset: str = "alert"  # a count that nobody need act on has a dataset of its own

    def event_fields(self) -> dict[str, Value]:
        """The ECS fields of the alert's event."""
        return {
            **self.fields,
            "rule.id": self.rule,
            "rule.name": self.name,
            "event.severity": self.severity,
            "event.reason": self.reason,
            "organization.id": self.organization,
        }


class Detector(Protocol):
    """One detector a file. `datasets` are those that it wants to see; time is the packets' own."""

    rule: str
    datasets: frozenset[str]
    counters: dict[str, int]

    def see(self, seen: Seen) -> Iterable[Alert]: ...

    def tick(self, now: float) -> Iterable[Alert]:
        """Windows that ended before `now` (seconds since 1970). Called every few seconds."""

    def finish(self) -> Iterable[Alert]:
        """The source is at its end: windows that are open end now."""


class Bounded(Generic[K, V]):
    """A table with at most `limit` keys, each for `window_s` seconds from its first use; the oldest goes first."""

    def __init__(self, limit: int, window_s: float, counters: dict[str, int], name: str) -> None:
        self._limit, self._window, self._counters, self._name = limit, window_s, counters, f"{name}_evicted"
        self._rows: OrderedDict[K, tuple[float, V]] = OrderedDict()
        counters[self._name] = 0

    def get(self, key: K, now: float) -> V | None:
        """The value of a key whose window is open at `now`."""
        row = self._rows.get(key)
        return row[1] if row is not None and now - row[0] < self._window else None

    def put(self, key: K, value: V, now: float) -> V:
        """Begin the window of a key."""
        self._rows.pop(key, None)
        if len(self._rows) >= self._limit:
            self._rows.popitem(last=False)
            self._counters[self._name] += 1
        self._rows[key] = (now, value)
        return value

    def ended(self, now: float) -> list[tuple[K, float, V]]:
        """Take out the keys whose window is over: key, when it began, value."""
        over: list[tuple[K, float, V]] = []
        for key, (began, value) in self._rows.items():
            if now - began < self._window:
                break
            over.append((key, began, value))
        for key, _, _ in over:
            del self._rows[key]
        return over

    def all(self) -> list[tuple[K, float, V]]:
        """Take out everything."""
        rows = [(key, began, value) for key, (began, value) in self._rows.items()]
        self._rows.clear()
        return rows

    def __len__(self) -> int:
        return len(self._rows)
