"""When a recipient is tried again: pure, the same for the same seed, bounded by the message's life."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mail.attempt import Attempt
from mail.queue import STANDARD, next_attempt

RECEIVED = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def failed(when: datetime) -> Attempt:
    return Attempt(False, False, "451 4.3.0 later", "host", when)


def walk(seed: str) -> list[datetime]:
    """Every attempt of a recipient whose next hop never answers."""
    attempts: list[Attempt] = []
    while (due := next_attempt(RECEIVED, attempts, seed=seed)) is not None:
        attempts.append(failed(due))
    return [a.when for a in attempts]


def test_the_first_attempt_is_at_once() -> None:
    assert next_attempt(RECEIVED, (), seed="x") == RECEIVED


@given(st.text(min_size=1, max_size=12))
def test_waits_grow_from_a_minute_to_four_hours_and_end_with_the_life(seed: str) -> None:
    times = walk(seed)
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert timedelta(seconds=48) <= waits[0] <= timedelta(seconds=72)
    assert max(waits) <= timedelta(hours=4) * 1.2
    assert times[-1] == RECEIVED + STANDARD.life
    assert 35 <= len(times) <= 50


def test_the_same_seed_gives_the_same_times_and_another_gives_others() -> None:
    assert walk("0-7H3K9QX2M4") == walk("0-7H3K9QX2M4")
    assert walk("0-7H3K9QX2M4") != walk("0-7H3K9QX2M5")


def test_a_thousand_messages_that_failed_together_do_not_come_back_together() -> None:
    times = sorted(next_attempt(RECEIVED, (failed(RECEIVED),), seed=str(n)) for n in range(1000))  # type: ignore[type-var]
    assert times[-1] - times[0] > timedelta(seconds=20)  # type: ignore[operator]


def test_attempts_that_were_forgotten_still_count() -> None:
    few, many = (next_attempt(RECEIVED, (failed(RECEIVED),), seed="x", tries=n) for n in (1, 9))
    assert few is not None
    assert many is not None
    assert many - few > timedelta(hours=2)


def test_after_the_life_it_is_given_up() -> None:
    assert next_attempt(RECEIVED, (failed(RECEIVED + STANDARD.life),), seed="x") is None
