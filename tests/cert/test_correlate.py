"""Correlation against a brute-force oracle: any order, any batches, late, twice; all seven types (invariant 7)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cert.correlate import areas, satisfied, to_read, update
from cert.match import BETWEEN_VALUES, key_text, key_values
from cert.store import Results, Sighting
from rules.eventrule import Compare, CorrelationRule, Expression

START = datetime(2026, 11, 23, tzinfo=UTC)
SPAN = timedelta(seconds=10)


def rule(kind: Any, condition: Compare | Expression, rules: tuple[str, ...] = ("A", "B", "C")) -> CorrelationRule:
    return CorrelationRule(
        id="C-1", uuid="", name="c", title={"ar": "س", "en": "c"}, type=kind, rules=rules, group_by=("user.name",),
        timespan=SPAN, condition=condition, aliases={}, level="high", status="stable", tags=(), version="1",
        threat="brute-force", alerts=True, generate=False, file="", line=0, text="",
    )  # fmt: skip


ALL_RULES = Expression("and", tuple(Expression("rule", rule=one) for one in "ABC"))
SOME = Expression("or", (Expression("and", ALL_RULES.parts[:2]), ALL_RULES.parts[2]))
NOT_C = Expression("and", (ALL_RULES.parts[0], Expression("not", (ALL_RULES.parts[2],))))

RULES = (
    rule("event_count", Compare("gte", 3)),
    rule("event_count", Compare("gt", 4)),
    rule("event_count", Compare("eq", 2)),
    rule("event_count", Compare("lt", 3)),
    rule("value_count", Compare("gte", 3, ("organization.id",))),
    rule("value_count", Compare("lte", 1, ("organization.id",))),
    rule("temporal", ALL_RULES),
    rule("temporal", SOME),
    rule("temporal", NOT_C),
    rule("temporal_ordered", ALL_RULES),
    rule("value_sum", Compare("gte", 12, ("event.severity",))),
    rule("value_avg", Compare("gt", 4, ("event.severity",))),
    rule("value_percentile", Compare("lt", 3, ("event.severity",), percentile=75)),
)


def holds(its: CorrelationRule, window: Sequence[Sighting]) -> bool:
    """The plain reading of a condition over one window."""
    condition = its.condition
    values = [value for one in window for value in one.value.split(BETWEEN_VALUES) if value]
    numbers = [float(value) for value in values]
    if isinstance(condition, Expression):
        seen = {one.rule for one in window}
        if its.type == "temporal":
            return condition.holds(seen)
        return any(
            all(a.timestamp <= b.timestamp for a, b in pairwise(chosen)) for chosen in _choices(window, its.rules)
        )
    match its.type:
        case "event_count":
            return condition.holds(len(window))
        case "value_count":
            return condition.holds(len(set(values)))
        case "value_sum":
            return bool(numbers) and condition.holds(math.fsum(numbers))
        case "value_avg":
            return bool(numbers) and condition.holds(math.fsum(numbers) / len(numbers))
    rank = math.ceil((condition.percentile or 0) / 100 * len(numbers))
    return bool(numbers) and condition.holds(sorted(numbers)[rank - 1])


def _choices(window: Sequence[Sighting], rules: Sequence[str]) -> list[tuple[Sighting, ...]]:
    found: list[tuple[Sighting, ...]] = [()]
    for wanted in rules:
        found = [(*chosen, one) for chosen in found for one in window if one.rule == wanted]
    return found


def oracle(its: CorrelationRule, sightings: Sequence[Sighting]) -> set[frozenset[str]]:
    """Every window from a match on; those that hold, joined where they share a match."""
    groups: list[set[str]] = []
    for first in sightings:
        window = [one for one in sightings if first.timestamp <= one.timestamp <= first.timestamp + SPAN]
        if holds(its, sorted(window, key=lambda one: (one.timestamp, one.id))):
            members = {one.id for one in window}
            for group in [group for group in groups if group & members]:
                members |= group
                groups.remove(group)
            groups.append(members)
    return {frozenset(group) for group in groups}


class Kept:
    """A store of one key: matches once by id, results as they are put."""

    def __init__(self, its: CorrelationRule) -> None:
        self.rule = its
        self.matches: dict[str, Sighting] = {}
        self.results = Results(its.id, "k")

    def add(self, batch: Sequence[Sighting]) -> None:
        self.matches |= {one.id: one for one in batch}
        for area in areas([one.timestamp for one in batch], SPAN):
            anchors, (start, end) = to_read(self.rule, self.results, area)
            near = [one for one in self.matches.values() if start <= one.timestamp <= end]
            near.sort(key=lambda one: (one.timestamp, one.id))
            self.results = update(self.rule, self.results, anchors, near).results

    def partition(self) -> set[frozenset[str]]:
        spans = self.results.spans
        assert len({span.id for span in spans}) == len(spans)
        return {
            frozenset(one.id for one in self.matches.values() if span.first <= one.timestamp <= span.last)
            for span in spans
        }


sightings = st.lists(
    st.builds(
        lambda second, half, name, value: (START + timedelta(seconds=second, milliseconds=500 * half), name, value),
        st.integers(0, 60), st.booleans(), st.sampled_from("ABC"), st.sampled_from("123456789"),
    ),
    max_size=14,
).map(lambda rows: [Sighting(at, f"m{n:02}", name, value) for n, (at, name, value) in enumerate(rows)])  # fmt: skip


@pytest.mark.parametrize("its", RULES, ids=lambda its: f"{its.type}-{getattr(its.condition, 'compare', '')}")
@settings(max_examples=int(os.environ.get("HUDHUD_EXAMPLES", "25")), deadline=None, derandomize=True)
@given(found=sightings, chance=st.randoms(use_true_random=False))
def test_any_order_any_batches_give_what_the_oracle_gives(
    its: CorrelationRule, found: list[Sighting], chance: Any
) -> None:
    store = Kept(its)
    todo = [*found, *(one for one in found if chance.random() < 0.3)]  # some come twice
    chance.shuffle(todo)
    while todo:
        size = chance.randint(1, 5)
        store.add(todo[:size])
        todo = todo[size:]
    assert store.partition() == oracle(its, found)


@pytest.mark.parametrize("its", RULES[:2], ids=["three", "more than four"])
def test_a_window_slides_it_is_not_clocked(its: CorrelationRule) -> None:
    at = [START + timedelta(seconds=57 + n) for n in range(6)]  # over the turn of a minute
    found = [Sighting(moment, f"m{n}", "A") for n, moment in enumerate(at)]
    assert satisfied(its, found) == [(at[0], at[-1])]


def test_both_ends_of_a_window_are_in_it() -> None:
    found = [Sighting(START + timedelta(seconds=n), f"m{n}", "A") for n in (0, 5, 10)]
    assert satisfied(RULES[0], found)
    found[2] = Sighting(START + timedelta(seconds=10, microseconds=1), "m10", "A")
    assert not satisfied(RULES[0], found)


def test_a_late_match_makes_one_of_two_results_and_the_older_id_stays() -> None:
    store = Kept(RULES[0])
    for base in (0, 15):
        store.add([Sighting(START + timedelta(seconds=base + n), f"m{base + n}", "A") for n in range(3)])
    before = store.results.spans
    store.add([Sighting(START + timedelta(seconds=8), "late", "A")])
    assert len(before) == 2
    assert [span.id for span in store.results.spans] == [before[0].id]


def test_a_key_gives_its_values_back() -> None:
    for values in (["a", "b"], ["a|b", "c\\"], ["", "|"], ["\\|"]):
        assert key_values(key_text(values)) == values
