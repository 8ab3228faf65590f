"""Rules over events, as values: SigmaRule over one event, CorrelationRule over many. Pure; parsed by rules/sigma.py."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from rules.predicate import COMPARE, CompareName, Node
from rules.rule import Level
from rules.view import View

CorrelationType = Literal[
    "event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile"
]


@dataclass(frozen=True, slots=True)
class LogSource:
    """Sigma's log source as written; "" where it says nothing."""

    category: str
    product: str
    service: str


@dataclass(frozen=True, slots=True)
class SigmaRule:
    """A rule over one event. `datasets`: the `event.dataset` values it may fit (None = any).

    `alerts`: whether a fit is an alert; when False it is only a match that feeds correlation
    (Sigma: a rule that a correlation names stops alerting unless that correlation says `generate: true`).
    """

    id: str
    uuid: str
    name: str
    title: Mapping[str, str]
    level: Level
    status: str
    logsource: LogSource
    datasets: frozenset[str] | None
    condition: Node
    fields: tuple[str, ...]
    tags: tuple[str, ...]
    version: str
    threat: str
    alerts: bool
    file: str
    line: int
    text: str

    def matches(self, fields: Mapping[str, object]) -> bool:
        """Whether the event (flat dotted ECS names) fits, log source included."""
        dataset = fields.get("event.dataset")
        return (self.datasets is None or dataset in self.datasets) and self.condition.fits(View(fields))


@dataclass(frozen=True, slots=True)
class Compare:
    """The condition of a count, sum, mean or percentile. `fields` are what is counted or summed, () for events."""

    compare: CompareName
    number: float
    fields: tuple[str, ...] = ()
    percentile: int | None = None

    def holds(self, value: float) -> bool:
        return COMPARE[self.compare](value, self.number)


@dataclass(frozen=True, slots=True)
class Expression:
    """Sigma 2.1's extended condition of a temporal rule: which rules must (not) have been seen."""

    join: Literal["and", "or", "not", "rule"]
    parts: tuple[Expression, ...] = ()
    rule: str = ""

    def holds(self, seen: Set[str]) -> bool:
        """`seen`: ids of the rules that have a match in the window."""
        if self.join == "rule":
            return self.rule in seen
        if self.join == "not":
            return not self.parts[0].holds(seen)
        found = (part.holds(seen) for part in self.parts)
        return all(found) if self.join == "and" else any(found)


@dataclass(frozen=True, slots=True)
class CorrelationRule:
    """A rule over the matches of other rules (ids in `rules`), within `timespan` of event time, per `group_by` values.

    `aliases`: group-by name to {rule id: that rule's field}. `condition`: Compare, or Expression (temporal only).
    """

    id: str
    uuid: str
    name: str
    title: Mapping[str, str]
    type: CorrelationType
    rules: tuple[str, ...]
    group_by: tuple[str, ...]
    timespan: timedelta
    condition: Compare | Expression
    aliases: Mapping[str, Mapping[str, str]]
    level: Level
    status: str
    tags: tuple[str, ...]
    version: str
    threat: str
    alerts: bool
    generate: bool
    file: str
    line: int
    text: str

    def field_of(self, name: str, rule: str) -> str:
        """The event field that stands for group-by `name` in matches of `rule`."""
        return self.aliases.get(name, {}).get(rule, name)
