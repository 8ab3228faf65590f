"""Which alerts belong together: those that share a key within a day of each other, over any number of steps. Pure.

A span of a key is the connected alerts that have it. An alert with two keys ties two spans; spans that are tied are one
incident. The partition depends on the alerts alone, not on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cert.match import digest
from cert.store import Alert, Results, Span

GROUP: Final = "group"  # stands in Results.rule for the spans of grouping keys
TOGETHER: Final = timedelta(hours=24)  # alerts of one key further apart than this are not connected
KEPT: Final = timedelta(days=40)  # a span that ended longer ago is forgotten: no event that late is believed


@dataclass(slots=True, eq=False)
class _Draft:
    """A span while alerts are being placed; `into` is the one it was made one with, `tied` the root of its cluster."""

    key: str
    first: datetime
    last: datetime
    ids: list[str]
    incidents: list[str]
    into: _Draft | None = None
    tied: _Draft | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """Alerts that are of one incident, and the incidents that their spans had before, the oldest span's first."""

    alerts: tuple[Alert, ...]
    keys: tuple[str, ...]
    incidents: tuple[str, ...]


@dataclass(slots=True)
class Grouping:
    """Place alerts with `place`, then take `clusters`; `results(owner)` are the spans to write back."""

    known: Mapping[str, Results]
    _drafts: dict[str, list[_Draft]] = field(default_factory=dict)
    _of: dict[str, list[_Draft]] = field(default_factory=dict)
    _alerts: list[Alert] = field(default_factory=list)

    def place(self, alerts: Sequence[Alert]) -> None:
        """Put each alert into a span of each of its keys, and tie those spans together."""
        for alert in alerts:
            drafts = [self._place(key, alert) for key in alert.keys]
            self._of[alert.id] = drafts
            self._alerts.append(alert)
            for other in drafts[1:]:
                _tie(drafts[0], other)

    def clusters(self) -> tuple[Cluster, ...]:
        """The alerts by incident, in order of time."""
        alerts: dict[int, list[Alert]] = {}
        for alert in sorted(self._alerts, key=lambda one: (one.timestamp, one.id)):
            alerts.setdefault(id(_root(_whole(self._of[alert.id][0]))), []).append(alert)
        tied: dict[int, list[_Draft]] = {}
        for draft in (draft for drafts in self._drafts.values() for draft in drafts if draft.into is None):
            tied.setdefault(id(_root(draft)), []).append(draft)
        return tuple(_cluster(its, tied[root]) for root, its in alerts.items())

    def results(self, owners: Mapping[str, str]) -> Iterator[Results]:
        """The spans of every key that was touched; `owners`: alert id to incident, for those that were placed."""
        owner: dict[int, str] = {}
        for alert_id, drafts in self._of.items():
            for draft in drafts:
                owner[id(_whole(draft))] = owners[alert_id]
        for key, drafts in self._drafts.items():
            whole = sorted((one for one in drafts if one.into is None), key=lambda one: one.first)
            newest = whole[-1].last if whole else None
            spans = tuple(
                Span(one.ids[0], one.first, one.last, owner.get(id(one), one.incidents[0] if one.incidents else ""))
                for one in whole
                if newest is None or one.last > newest - KEPT
            )
            yield Results(GROUP, key, self.known[key].version, spans)

    def _place(self, key: str, alert: Alert) -> _Draft:
        if key not in self._drafts:
            self._drafts[key] = [
                _Draft(key, span.first, span.last, [span.id], [span.incident] if span.incident else [])
                for span in self.known[key].spans
            ]
        at, drafts = alert.timestamp, self._drafts[key]
        near = [one for one in drafts if one.into is None and one.first - TOGETHER <= at <= one.last + TOGETHER]
        if not near:
            fresh = _Draft(key, at, at, [digest("span", key, alert.id)], [])
            drafts.append(fresh)
            return fresh
        near.sort(key=lambda one: one.first)
        kept = near[0]
        kept.first, kept.last = min(kept.first, at), max(kept.last, at)
        for other in near[1:]:
            kept.last = max(kept.last, other.last)
            kept.ids += other.ids
            kept.incidents += other.incidents
            _tie(kept, other)
            other.into = kept
        return kept


def _cluster(alerts: list[Alert], tied: list[_Draft]) -> Cluster:
    tied.sort(key=lambda one: (one.first, one.key))
    incidents = dict.fromkeys(incident for one in tied for incident in one.incidents)
    return Cluster(tuple(alerts), tuple(one.key for one in tied), tuple(incidents))


def _whole(draft: _Draft) -> _Draft:
    """The span that `draft` is part of by now."""
    while draft.into is not None:
        draft = draft.into
    return draft


def _root(draft: _Draft) -> _Draft:
    while draft.tied is not None:
        draft = draft.tied
    return draft


def _tie(one: _Draft, other: _Draft) -> None:
    first, second = _root(one), _root(other)
    if first is not second:
        second.tied = first
