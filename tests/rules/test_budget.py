"""A rule that holds too much of the last messages is over its budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.budget import Budget


def test_a_rule_stops_at_the_message_past_its_share() -> None:
    budget = Budget(share=0.02, window=1000)
    over = [budget.record({"A"}) for _ in range(21)]
    assert over == [frozenset()] * 20 + [frozenset({"A"})]


def test_only_the_last_messages_count() -> None:
    budget = Budget(share=0.1, window=10)
    budget.record({"A"})
    for _ in range(10):
        budget.record()
    assert budget.held("A") == 0
    assert budget.record({"A"}) == frozenset()


def test_rules_are_counted_one_by_one() -> None:
    budget = Budget(share=0.2, window=10)
    budget.record({"A", "B"})
    budget.record({"A"})
    assert budget.record({"A"}) == frozenset({"A"})
    assert not budget.over("B")


def test_a_rule_that_runs_again_begins_anew() -> None:
    budget = Budget(share=0.1, window=10)
    budget.record({"A", "B"})
    budget.record({"A"})
    assert budget.over("A")
    budget.forget("A")
    assert not budget.over("A")
    assert budget.held("B") == 1
    for _ in range(12):
        budget.record()
    assert budget.held("A") == budget.held("B") == 0


@given(st.lists(st.frozensets(st.sampled_from("ABC"), max_size=3), max_size=60), st.integers(1, 20))
def test_it_counts_like_counting_the_last_messages(messages: list[frozenset[str]], window: int) -> None:
    budget = Budget(share=0.5, window=window)
    for message in messages:
        budget.record(message)
    for rule in "ABC":
        assert budget.held(rule) == sum(rule in message for message in messages[-window:])


@pytest.mark.parametrize(("share", "window"), [(0, 10), (1.1, 10), (0.1, 0)])
def test_figures_that_mean_nothing_are_refused(share: float, window: int) -> None:
    with pytest.raises(ValueError, match="share"):
        Budget(share, window)
