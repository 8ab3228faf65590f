"""Alerts that share a key are one incident in whatever order they come (invariant 7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cert.group import GROUP, TOGETHER, Grouping
from cert.store import Alert, Results
from tests.conformance.store import NOW, alert


def oracle(alerts: Sequence[Alert]) -> set[frozenset[str]]:
    """Two alerts are connected when they share a key and lie no further apart than TOGETHER."""
    groups: list[set[str]] = []
    by_id = {one.id: one for one in alerts}
    for one in alerts:
        members = {one.id}
        for group in list(groups):
            if any(_connected(one, by_id[other]) for other in group):
                members |= group
                groups.remove(group)
        groups.append(members)
    return {frozenset(group) for group in groups}


def _connected(one: Alert, other: Alert) -> bool:
    return bool(set(one.keys) & set(other.keys)) and abs(one.timestamp - other.timestamp) <= TOGETHER


class Kept:
    """Results by key, and incidents that know what they were merged into: no person acts."""

    def __init__(self) -> None:
        self.results: dict[str, Results] = {}
        self.incident: dict[str, str] = {}
        self.redirect: dict[str, str] = {}

    def current(self, incident: str) -> str:
        while incident in self.redirect:
            incident = self.redirect[incident]
        return incident

    def add(self, alerts: Sequence[Alert]) -> None:
        todo = [one for one in {one.id: one for one in alerts}.values() if one.id not in self.incident]
        grouping = Grouping({key: self.results.get(key, Results(GROUP, key)) for one in todo for key in one.keys})
        grouping.place(todo)
        for cluster in grouping.clusters():
            standing = list(dict.fromkeys(self.current(one) for one in cluster.incidents))
            winner = standing[0] if standing else f"of {cluster.alerts[0].id}"
            for other in standing[1:]:
                self.redirect[other] = winner
            self.incident |= {one.id: winner for one in cluster.alerts}
        for results in grouping.results(self.incident):
            self.results[results.key] = results

    def partition(self) -> set[frozenset[str]]:
        groups: dict[str, set[str]] = {}
        for identity, incident in self.incident.items():
            groups.setdefault(self.current(incident), set()).add(identity)
        return {frozenset(group) for group in groups.values()}


alerts = st.lists(
    st.tuples(st.integers(0, 150), st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True)),
    max_size=14,
).map(lambda rows: [alert(n, NOW + timedelta(hours=h), keys=tuple(keys)) for n, (h, keys) in enumerate(rows)])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(found=alerts, chance=st.randoms(use_true_random=False))
def test_any_order_any_batches_give_the_same_incidents(found: list[Alert], chance: Any) -> None:
    store = Kept()
    todo = [*found, *(one for one in found if chance.random() < 0.3)]
    chance.shuffle(todo)
    while todo:
        size = chance.randint(1, 5)
        store.add(todo[:size])
        todo = todo[size:]
    assert store.partition() == oracle(found)
