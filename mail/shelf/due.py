"""What is due: asked domain by domain, so that a busy one never hides another, whatever the length of the queue.

Each function works on one shard's tables; one that changes them does so inside its caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hudhud.database import Connection

Read = Callable[..., list[tuple[Any, ...]]]
Key = tuple[int, int]  # a recipient's number and place

_NEXT_DOMAIN = "SELECT domain FROM recipients WHERE state = 'queued' AND domain > ? ORDER BY domain LIMIT 1"
_DUE = "SELECT number, place FROM recipients WHERE state = 'queued' AND domain = ? AND next <= ? ORDER BY next LIMIT ?"
_WHEN = "SELECT next FROM recipients WHERE state = 'queued' AND domain = ? AND next > ? ORDER BY next LIMIT 1"
_HURRY = """UPDATE recipients SET next = ? WHERE (number, place) IN (SELECT number, place FROM recipients
    WHERE state = 'queued' AND domain = ? AND next > ? ORDER BY next LIMIT ?)"""


@dataclass(frozen=True, slots=True)
class Due:
    """What is due now (number -> places), in which domains there may be more, and when (seconds) the next one is."""

    found: Mapping[int, list[int]]
    more: frozenset[str]
    later: Mapping[str, float]


def domains(read: Read, after: str, limit: int) -> list[str]:
    """At most `limit` domains past `after` that somebody waits for; one step into an index for each."""
    found: list[str] = []
    while len(found) < limit and (step := read(_NEXT_DOMAIN, (after,))):
        after = step[0][0]
        found.append(after)
    return found


def due(
    read: Read,
    now: datetime,
    asked: Iterable[str],
    room: Callable[[str], int],
    busy: Mapping[str, Collection[Key]],
    *,
    horizon: float = float("inf"),
) -> Due:
    """What is due in the domains that are asked: as many as there is `room` for, without what is `busy`.

    Nothing waits for more than `horizon` seconds: what is said to was put off by a clock that was ahead, and is due.
    """
    moment = now.timestamp()
    found: dict[int, list[int]] = {}
    more: set[str] = set()
    later: dict[str, float] = {}
    for domain in asked:
        serving, free = busy.get(domain, ()), room(domain)
        until, next_one = moment, read(_WHEN, (domain, moment))
        if next_one and next_one[0][0] > moment + horizon:
            until, next_one = float("inf"), []
        keys = read(_DUE, (domain, until, free + len(serving) + 1))
        waiting = [key for key in keys if key not in serving]
        for number, place in waiting[:free]:
            found.setdefault(number, []).append(place)
        if len(waiting) > free:
            more.add(domain)
        later.update((domain, row[0]) for row in next_one)
    return Due(found, frozenset(more), later)


def hurry(connection: Connection, domain: str, now: datetime, limit: int) -> int:
    """Make at most `limit` recipients of the domain that wait for a later time due now; how many."""
    moment = now.timestamp()
    connection.execute(_HURRY, (moment, domain, moment, limit))
    return connection.changes()
