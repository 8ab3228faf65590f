"""Correlation = f(rule, store): which spans of one key's matches satisfy a rule, whatever order they came in. Pure.

A window is everything of one key from one match on to `timespan` later, both ends in. A result is the union of
satisfied windows that share a match; results of one key never overlap, so the two ends say it all.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cert.group import KEPT
from cert.match import BETWEEN_VALUES, digest
from cert.store import Results, Sighting, Span
from rules.eventrule import Compare, CorrelationRule, Expression

Interval = tuple[datetime, datetime]


def satisfied(rule: CorrelationRule, sightings: Sequence[Sighting], anchors: Interval | None = None) -> list[Interval]:
    """The results in `sightings` (sorted by time), joined; only windows that begin within `anchors` are looked at."""
    times = [one.timestamp for one in sightings]
    starts = [at for at in dict.fromkeys(times) if anchors is None or anchors[0] <= at <= anchors[1]]
    holds = _WINDOWS[rule.type](rule, sightings)
    found = []
    for start in starts:
        begin, end = bisect_left(times, start), bisect_right(times, start + rule.timespan)
        if holds(begin, end):
            found.append((start, times[end - 1]))
    return join(found)


def join(intervals: Sequence[Interval]) -> list[Interval]:
    """Intervals that share a point made one, in order."""
    joined: list[Interval] = []
    for first, last in sorted(intervals):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def grows_only(rule: CorrelationRule) -> bool:
    """Whether one match more can only make results larger: then what is known need not be looked at again."""
    condition = rule.condition
    if isinstance(condition, Compare):
        return rule.type in {"event_count", "value_count"} and condition.compare in {"gt", "gte"}
    return not _has_not(condition)


def _has_not(expression: Expression) -> bool:
    return expression.join == "not" or any(_has_not(part) for part in expression.parts)


def areas(times: Sequence[datetime], timespan: timedelta) -> list[Interval]:
    """The times of new matches as stretches that are looked at together, further apart than two timespans."""
    found: list[Interval] = []
    for at in sorted(times):
        if found and at - found[-1][1] <= 2 * timespan:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


@dataclass(frozen=True, slots=True)
class Update:
    """New results of a key, and what became of the old."""

    results: Results
    near: tuple[Span, ...]  # results that the new matches may have made: each must have its alert
    gone: tuple[tuple[Span, Span | None], ...]  # each with the span that took it in, None where nothing did


def to_read(rule: CorrelationRule, results: Results, area: Interval) -> tuple[Interval, Interval]:
    """(anchors, reading): which windows must be looked at after matches in `area` came, and what is read for it."""
    first, last = area[0] - rule.timespan, area[1]
    if not grows_only(rule):
        changed = True
        while changed:
            touched = [span for span in results.spans if span.first <= last + rule.timespan and span.last >= first]
            wider = min([first, *(s.first for s in touched)]), max([last, *(s.last for s in touched)])
            changed, (first, last) = wider != (first, last), wider
    return (first, last), (first, last + rule.timespan)


def update(rule: CorrelationRule, results: Results, anchors: Interval, sightings: Sequence[Sighting]) -> Update:
    """The results after looking at the windows that begin within `anchors`."""
    found = satisfied(rule, sightings, anchors)
    touched = [s for s in results.spans if grows_only(rule) or not _within(s, anchors)]
    replaced = [s for s in results.spans if s not in touched]
    intervals = join([*((s.first, s.last) for s in touched), *found])
    spans: list[Span] = []
    gone: list[tuple[Span, Span | None]] = []
    used: set[str] = set()
    for first, last in intervals:
        old = [s for s in results.spans if s.first <= last and s.last >= first and s.id not in used]
        if old:
            kept = replace(old[0], first=first, last=last)
            gone += [(span, kept) for span in old[1:]]
        else:
            anchor = min((one.id for one in sightings if one.timestamp == first), default="")
            kept = Span(_free(rule.id, results, first, used), first, last, opened=first, anchor=anchor)
            used.add(kept.id)
        used |= {span.id for span in old}
        spans.append(kept)
    gone += [(span, None) for span in replaced if span.id not in used]
    spans = [span for span in spans if span.last > spans[-1].last - KEPT]
    near = tuple(s for s in spans if s.first <= anchors[1] + rule.timespan and s.last >= anchors[0])
    return Update(replace(results, spans=tuple(spans)), near, tuple(gone))


def _free(rule: str, results: Results, first: datetime, used: set[str]) -> str:
    """An id for a new result that no other of the key has: one that shrank may have begun at the same time once."""
    taken = used | {span.id for span in results.spans}
    number, found = 0, digest("result", rule, results.key, first.isoformat())
    while found in taken:
        number += 1
        found = digest("result", rule, results.key, first.isoformat(), str(number))
    return found


def _within(span: Span, anchors: Interval) -> bool:
    """Whether all windows of a span were looked at."""
    return anchors[0] <= span.first and span.last <= anchors[1]


Holds = Callable[[int, int], bool]


def _event_count(rule: CorrelationRule, _sightings: Sequence[Sighting]) -> Holds:
    condition = _compare(rule)
    return lambda begin, end: condition.holds(end - begin)


def _value_count(rule: CorrelationRule, sightings: Sequence[Sighting]) -> Holds:
    """Windows come in order of time: values that enter and leave are counted, none twice."""
    condition = _compare(rule)
    values = [one.value.split(BETWEEN_VALUES) if one.value else [] for one in sightings]
    counted: Counter[str] = Counter()
    at = [0, 0]

    def holds(begin: int, end: int) -> bool:
        while at[1] < end:
            counted.update(values[at[1]])
            at[1] += 1
        while at[0] < begin:
            if at[0] < at[1]:
                counted.subtract(values[at[0]])
                for value in values[at[0]]:
                    if not counted[value]:
                        del counted[value]
            at[0] += 1
        return condition.holds(len(counted))

    at[0] = at[1] = 0
    return holds


def _temporal(rule: CorrelationRule, sightings: Sequence[Sighting]) -> Holds:
    condition = rule.condition
    wanted = frozenset(rule.rules)

    def holds(begin: int, end: int) -> bool:
        seen = {one.rule for one in sightings[begin:end]}
        return condition.holds(seen) if isinstance(condition, Expression) else wanted <= seen

    return holds


def _temporal_ordered(rule: CorrelationRule, sightings: Sequence[Sighting]) -> Holds:
    """Each rule of the list at or after the one before it; those of one moment count in any order."""

    def holds(begin: int, end: int) -> bool:
        reached = sightings[begin].timestamp
        for wanted in rule.rules:
            later = [one.timestamp for one in sightings[begin:end] if one.rule == wanted and one.timestamp >= reached]
            if not later:
                return False
            reached = later[0]
        return True

    return holds


def _numeric(
    of: Callable[[list[float], CorrelationRule], float],
) -> Callable[[CorrelationRule, Sequence[Sighting]], Holds]:
    def windows(rule: CorrelationRule, sightings: Sequence[Sighting]) -> Holds:
        condition = _compare(rule)

        def holds(begin: int, end: int) -> bool:
            numbers = [number for one in sightings[begin:end] for number in _numbers(one.value)]
            return bool(numbers) and condition.holds(of(numbers, rule))

        return holds

    return windows


def _numbers(value: str) -> Iterator[float]:
    for text in value.split(BETWEEN_VALUES):
        try:
            number = float(text)
        except ValueError:
            continue
        if math.isfinite(number):
            yield number


def _percentile(numbers: list[float], rule: CorrelationRule) -> float:
    """Nearest rank: the smallest number that at least so many percent do not exceed."""
    ordered = sorted(numbers)
    percent = _compare(rule).percentile or 50
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def _compare(rule: CorrelationRule) -> Compare:
    assert isinstance(rule.condition, Compare)
    return rule.condition


_WINDOWS: Final[Mapping[str, Callable[[CorrelationRule, Sequence[Sighting]], Holds]]] = {
    "event_count": _event_count,
    "value_count": _value_count,
    "temporal": _temporal,
    "temporal_ordered": _temporal_ordered,
    "value_sum": _numeric(lambda numbers, _rule: math.fsum(numbers)),
    "value_avg": _numeric(lambda numbers, _rule: math.fsum(numbers) / len(numbers)),
    "value_percentile": _numeric(_percentile),
}
