"""When a recipient is tried again, or given up: pure functions of time and of what was tried (RFC 5321 §4.5.4)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hudhud.settings import Delivery
from mail.attempt import Attempt

JITTER = 0.2  # of the wait, either way: what failed together does not come back together


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits between attempts grow from `first` to `longest`; after `life` a recipient is given up."""

    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=4)
    life: timedelta = timedelta(days=5)
    delay_dsn: timedelta = timedelta(hours=4)

    @classmethod
    def of(cls, settings: Delivery) -> Schedule:
        return cls(
            timedelta(seconds=settings.first_retry_s),
            timedelta(seconds=settings.max_retry_s),
            timedelta(seconds=settings.lifetime_s),
            timedelta(seconds=settings.delay_dsn_s),
        )


STANDARD = Schedule()


@dataclass(frozen=True, slots=True)
class Pause:
    """How long the life of a message stood still (the international link was cut), and since when it does now."""

    passed: timedelta = timedelta()
    since: datetime | None = None


RUNNING = Pause()


def next_attempt(
    received: datetime,
    attempts: Sequence[Attempt],
    *,
    seed: str,
    tries: int = 0,
    schedule: Schedule = STANDARD,
    pause: Pause = RUNNING,
) -> datetime | None:
    """When to try next; None when that would be after the message's life: give it up.

    Without attempts it is due when it was received. The n-th wait is first · 2ⁿ⁻¹, at most `longest`, with a jitter
    that `seed` (the queue id) fixes. `tries` counts attempts where `attempts` keeps only the last ones. The last
    attempt comes at the end of life, not up to `longest` before it. While life stands still nothing is given up.
    """
    if not attempts:
        return received
    count = max(tries, len(attempts))
    wait: timedelta = min(schedule.first * (1 << min(count - 1, 30)), schedule.longest)
    share = random.Random(f"{seed}/{count}").uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, hides nothing
    last, end = attempts[-1].when, received + schedule.life + pause.passed
    if pause.since is not None:
        return last + wait * share
    if last >= end:
        return None
    return min(last + wait * share, end)


def delay_is_due(received: datetime, now: datetime, schedule: Schedule = STANDARD) -> bool:
    """Whether the sender is to be told that the message still waits (RFC 5321 section 4.5.4.1, once a recipient)."""
    return now - received >= schedule.delay_dsn
