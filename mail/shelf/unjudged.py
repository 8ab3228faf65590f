"""The spool's SQL for what waits to be judged again: a state of its own that dispatch never looks at (invariant 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hudhud import codec
from hudhud.database import Connection
from mail.attempt import Attempt
from mail.shelf.due import Read
from mail.shelf.stored import Edit, NewRecipient, State, pack_attempts, pack_edits, unpack_attempts

_DUE: Final = "SELECT number FROM recipients WHERE state = 'unjudged' AND next <= ? ORDER BY next LIMIT ?"
_WAITING: Final = """SELECT place, address, domain, notify, orcpt, told, tries, attempts FROM recipients
    WHERE number = ? AND state = 'unjudged' ORDER BY place"""
_SETTLE: Final = """UPDATE recipients SET state = ?, next = ?, tries = ?, told = ?, attempts = ?, held_by = ?
    WHERE number = ? AND place = ? AND state = 'unjudged'"""
_OTHERS: Final = "SELECT 1 FROM recipients WHERE number = ? AND state IN ('queued', 'held') LIMIT 1"


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A recipient whose message waits for a judgement; `attempts` are those at judging."""

    place: int
    recipient: NewRecipient
    told: bool  # of the delay
    tries: int
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """What another judgement made of one: its state from now on, and when it is due (again)."""

    one: Unjudged
    state: State
    next: datetime
    attempt: Attempt | None = None
    told: bool = False
    held_by: tuple[str, ...] = ()


def due(read: Read, now: datetime, limit: int) -> list[int]:
    """The numbers of messages that are to be judged now, those that wait longest first."""
    return list(dict.fromkeys(row[0] for row in read(_DUE, (now.timestamp(), limit))))


def waiting(read: Read, number: int) -> list[Unjudged]:
    """The recipients of a message that wait for a judgement."""
    return [
        Unjudged(
            place,
            NewRecipient(address, domain, notify, orcpt, "unjudged"),
            bool(told),
            tries,
            unpack_attempts(attempts),
        )
        for place, address, domain, notify, orcpt, told, tries, attempts in read(_WAITING, (number,))
    ]


def total(read: Read, number: int) -> int:
    """How many recipients the message has in all."""
    return int(read("SELECT count(*) FROM recipients WHERE number = ?", (number,))[0][0])


def settle(connection: Connection, number: int, settled: Iterable[Settled]) -> None:
    """Write what became of them; who was deleted meanwhile stays so. Delivery counts its own tries from none."""
    for of in settled:
        attempts = (*of.one.attempts, of.attempt) if of.attempt is not None else of.one.attempts
        tries = of.one.tries + 1 if of.state == "unjudged" else 0
        rules = codec.encode(sorted(of.held_by)).decode()
        connection.execute(
            _SETTLE,
            (
                *(of.state, of.next.timestamp(), tries, of.told and of.state == "unjudged", pack_attempts(attempts)),
                *(rules, number, of.one.place),
            ),
        )


def rewrite(connection: Connection, number: int, judgement: bytes, trace: bytes, edits: Iterable[Edit]) -> None:
    """The judgement that counts now; headers and edits too, unless others already go out with the ones there are."""
    others = connection.execute(_OTHERS, (number,)).fetchone() is not None
    connection.execute("UPDATE messages SET judgement = ? WHERE number = ?", (judgement, number))
    if not others:
        connection.execute(
            "UPDATE messages SET trace = ?, edits = ? WHERE number = ?", (trace, pack_edits(edits), number)
        )


def hurry(connection: Connection, number: int, now: datetime) -> None:
    """Its next judgement is due now."""
    connection.execute(
        "UPDATE recipients SET next = ? WHERE number = ? AND state = 'unjudged'", (now.timestamp(), number)
    )


def held_rules(connection: Connection, number: int, rules: Iterable[str]) -> None:
    """Note the rules that hold it, for their budget."""
    words = codec.encode(sorted(rules)).decode()
    connection.execute("UPDATE messages SET held_by = ? WHERE number = ? AND held_by = '[]'", (words, number))


def summary_of(read: Read, number: int) -> bytes:
    """The judgement as it is kept."""
    found = read("SELECT judgement FROM messages WHERE number = ?", (number,))
    return bytes(found[0][0]) if found else b"{}"
