"""Search orders: who may look for messages by the words of their subjects, for which ticket, until when.

One person asks, another allows it, and it ends by itself (design: lawful and proportionate, point 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from hudhud.database import Connection, Database, open_reader, rows
from mail.shelf import words

FILE: Final = ("orders", "search.db")  # below node.data
MAX_DAYS: Final = 30  # a longer need is asked for again
MAX_TEXT: Final = 1000  # characters of each text


class Status(StrEnum):
    REQUESTED = "requested"
    APPROVED = "approved"
    REFUSED = "refused"
    REVOKED = "revoked"


MOVES: Final[Mapping[tuple[Status, Status], bool]] = {  # whether it needs a reason
    (Status.REQUESTED, Status.APPROVED): False,
    (Status.REQUESTED, Status.REFUSED): True,
    (Status.REQUESTED, Status.REVOKED): True,
    (Status.APPROVED, Status.REVOKED): True,
}


class NotAllowed(Exception):  # noqa: N818 - it is an answer to a person, not a fault
    """An act or a search that the rules of search orders forbid; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Order:
    """`subject` are the words that may be searched, together; `approver` is "" until somebody allowed it."""

    id: str
    subject: str
    ticket: str
    reason: str
    applicant: str
    asked: datetime
    ends: datetime
    status: Status = Status.REQUESTED
    approver: str = ""

    def over(self, now: datetime) -> bool:
        return self.ends <= now

    def may_search(self, actor: str, now: datetime) -> None:
        """NotAllowed where `actor` may not search by it now."""
        if self.status is not Status.APPROVED:
            raise NotAllowed(f"{self.id} is {self.status}: another person has to allow it first")
        if self.over(now):
            raise NotAllowed(f"{self.id} is over since {self.ends:%Y-%m-%d %H:%M}")
        if actor.casefold() not in (self.applicant.casefold(), self.approver.casefold()):
            raise NotAllowed(f"{self.id} is for {self.applicant} and {self.approver}, not for {actor}")


def requested(order: Order) -> Order:
    """Pure. A new order; NotAllowed where it lacks something or lasts too long."""
    for name in ("ticket", "reason", "applicant"):
        if not getattr(order, name).strip():
            raise NotAllowed(f"a search order needs a {name}")
    if any(len(text) > MAX_TEXT for text in (order.subject, order.ticket, order.reason)):
        raise NotAllowed(f"a text of a search order has at most {MAX_TEXT} characters")
    if not words.split(order.subject):
        raise NotAllowed("a search order names the words of the subject")
    if order.over(order.asked):
        raise NotAllowed("the order would end before it begins")
    if order.ends - order.asked > timedelta(days=MAX_DAYS):
        raise NotAllowed(f"a search order lasts at most {MAX_DAYS} days")
    return order


def moved(order: Order, to: Status, actor: str, now: datetime, reason: str = "") -> Order:
    """Pure. The order after `actor` made it `to`; NotAllowed says which rule forbids it."""
    needs_reason = MOVES.get((order.status, to))
    if needs_reason is None:
        raise NotAllowed(f"{order.id} is {order.status}: it cannot become {to}")
    if needs_reason and not reason.strip():
        raise NotAllowed("say why")
    if to is not Status.APPROVED:
        return replace(order, status=to)
    if actor.casefold() == order.applicant.casefold():
        raise NotAllowed("nobody allows a search of their own: the second person is another one")
    if order.over(now):
        raise NotAllowed(f"{order.id} is over since {order.ends:%Y-%m-%d %H:%M}")
    return replace(order, status=to, approver=actor)


SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS orders(
    entry INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, moment TEXT NOT NULL, actor TEXT NOT NULL,
    act TEXT NOT NULL, reason TEXT NOT NULL, subject TEXT, ticket TEXT, ends TEXT);
CREATE TRIGGER IF NOT EXISTS orders_kept BEFORE UPDATE ON orders BEGIN SELECT raise(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS orders_whole BEFORE DELETE ON orders BEGIN SELECT raise(ABORT, 'append-only'); END;
"""
_SELECT: Final = "SELECT id, moment, actor, act, reason, subject, ticket, ends FROM orders ORDER BY entry"
_INSERT: Final = "INSERT INTO orders(id, moment, actor, act, reason, subject, ticket, ends) VALUES (?,?,?,?,?,?,?,?)"

Row = tuple[str, str, str, str, str, str | None, str | None, str | None]


class Ledger:
    """Every order of the node and what was done with it: an append-only table, read by folding it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = Database(path, SCHEMA)

    def close(self) -> None:
        self._database.close()

    def request(self, order: Order) -> Order:
        """Writes it under a new id; NotAllowed where it cannot be."""

        def work(connection: Connection) -> Order:
            count = len(_fold(connection.execute(_SELECT).fetchall()))
            asked = requested(replace(order, id=f"SO-{order.asked:%Y}-{count + 1:04}"))
            row = (asked.id, asked.asked.isoformat(), asked.applicant, str(asked.status), asked.reason)
            connection.execute(_INSERT, (*row, asked.subject, asked.ticket, asked.ends.isoformat()))
            return asked

        return self._database.commit_now(work)

    def move(self, id: str, to: Status, actor: str, now: datetime, reason: str = "") -> Order:
        """NotAllowed where it cannot be."""

        def work(connection: Connection) -> Order:
            after = moved(_one(_fold(connection.execute(_SELECT).fetchall()), id), to, actor, now, reason)
            connection.execute(_INSERT, (id, now.isoformat(), actor, str(to), reason, None, None, None))
            return after

        return self._database.commit_now(work)

    def list(self) -> Sequence[Order]:
        """In the order of their requests."""
        return list(_fold(self._database.read(_SELECT)).values())


def find(path: Path, id: str) -> Order:
    """One order, read only; NotAllowed where there is none."""
    if not path.exists():
        raise NotAllowed(f"there is no search order {id!r}")
    with closing(open_reader(path)) as connection:
        return _one(_fold(rows(connection, path, _SELECT)), id)


def _one(orders: Mapping[str, Order], id: str) -> Order:
    if id not in orders:
        raise NotAllowed(f"there is no search order {id!r}")
    return orders[id]


def _fold(history: Iterable[Sequence[object]]) -> dict[str, Order]:
    found: dict[str, Order] = {}
    for name, moment, actor, act, reason, subject, ticket, ends in (tuple(map(_text, row)) for row in history):
        now = datetime.fromisoformat(moment)
        if ends:
            found[name] = Order(name, subject, ticket, reason, actor, now, datetime.fromisoformat(ends))
        else:
            found[name] = moved(found[name], Status(act), actor, now, reason)
    return found


def _text(value: object) -> str:
    return "" if value is None else str(value)
