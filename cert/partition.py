"""Where an event lies: the partition of its UTC day, and its row in it, both from its time and id alone. Pure."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from typing import Final

from hudhud.event import Event

UNDATED: Final = "undated"  # for times that are too old or too new to be believed: no partition a day for those
OLDEST: Final = timedelta(days=30)
NEWEST: Final = timedelta(days=1)
AGAIN: Final = timedelta(days=10)  # an event may come again so much later, and be judged too old this time

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BITS: Final = 11  # 2,048 rows a microsecond; 52 bits of microseconds are 142 years before and after the epoch


def partition_of(moment: datetime, now: datetime) -> str:
    """The name, "2026-11-23" or "undated"."""
    return f"{moment:%Y-%m-%d}" if now - OLDEST <= moment <= now + NEWEST else UNDATED


def other_partition(moment: datetime, now: datetime) -> str | None:
    """Where the same event may lie if it came before, when it was younger or still to come; None for most."""
    if partition_of(moment, now) != UNDATED:
        return UNDATED if moment > now else None
    return f"{moment:%Y-%m-%d}" if now - OLDEST - AGAIN <= moment < now - OLDEST else None


def first_row(moment: datetime) -> int:
    """The lowest row that an event of that microsecond can have: rows are in order of time."""
    return (moment - _EPOCH) // _MICROSECOND << _BITS


def row_of(event: Event) -> int:
    """The row it wants; where another event has it, the next one that is free."""
    return first_row(event.timestamp) | _tie(event.id)


def time_of_row(row: int) -> datetime:
    """The moment (to the microsecond) that a row stands for."""
    return _EPOCH + (row >> _BITS) * _MICROSECOND


def rows_per(step: timedelta) -> int:
    """How many rows a step of time has."""
    return step // _MICROSECOND << _BITS


def _tie(id: str) -> int:
    """The first bits of an id, so that events of one moment stand in the order of their ids, as Elasticsearch sorts."""
    try:
        return int(id[:3], 16) >> 1
    except ValueError:
        return zlib.crc32(id.encode()) & (1 << _BITS) - 1
