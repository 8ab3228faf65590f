"""Finds messages of one shard by sender, recipient, Message-ID, subject's words or time, in it and in its days.

What lies in a day is found by its index; what is still in the shard (what waits, and the newest) is looked through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hudhud import codec
from hudhud.event import format_time
from mail.shelf import listing, refusals
from mail.shelf.days import Days, Reading, day_of
from mail.shelf.due import Read
from mail.shelf.filters import ALL, Filter
from mail.shelf.stored import moment_of, number_at, parse_queue_id, queue_id

MAX_FOUND: Final = 1000  # messages of one search


_ABOUT: Final = "SELECT number FROM messages WHERE about = ? AND about != ''"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; what is empty asks for nothing.

    An address is asked for whole (amal@finance.saba.example), by its domain (finance.saba.example), or by its local
    part (amal@). `words` are hashes, all of which the subject has. `below` is the number to go on below.
    """

    sender: str = ""
    recipient: str = ""
    message_id: str = ""
    words: tuple[bytes, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    below: int = ALL

    @property
    def numbers(self) -> tuple[int, int]:
        """The least number, and the one above the last."""
        last = ALL if self.until is None else number_at(self.until)
        return (0 if self.since is None else number_at(self.since)), min(last, self.below)


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition on `keys`: equal to `low`, or from `low` up to `high`."""

    kind: str
    low: bytes
    high: bytes | None = None


def clauses(wanted: Wanted) -> list[Clause]:
    """Its conditions, the narrowest first."""
    found = [Clause("m", wanted.message_id.strip().strip("<>").encode("utf-8", "replace"))] if wanted.message_id else []
    found += [Clause("w", one) for one in wanted.words]
    addresses = [_address(kind, text) for kind, text in (("r", wanted.recipient), ("s", wanted.sender)) if text]
    return found + sorted(addresses, key=lambda one: (one.kind.isupper(), one.high is not None))


def in_day(read: Read, wanted: Wanted, limit: int) -> list[int]:
    """Numbers in one day's file, newest first, at most `limit`; every step goes by an index."""
    query, bindings = day_query(wanted, limit)
    return [row[0] for row in read(query, bindings)]


def day_query(wanted: Wanted, limit: int) -> tuple[str, tuple[object, ...]]:
    """The question put to one day."""
    low, high = wanted.numbers
    conditions = clauses(wanted)
    if not conditions:
        return (
            "SELECT number FROM messages WHERE number >= ? AND number < ?"
            " UNION SELECT number FROM refusals WHERE number >= ? AND number < ? ORDER BY number DESC LIMIT ?",
            (low, high, low, high, limit),
        )
    first, *others = conditions
    distinct = "DISTINCT" if first.high is not None else ""  # several addresses of one message may fit a range
    words = [
        f"SELECT {distinct} k.number FROM keys k WHERE {_matches('k', first)}",  # noqa: S608 - our words
        "AND k.number >= ? AND k.number < ?",
    ]
    bindings: list[object] = [*_bound(first), low, high]
    for one in others:
        words.append(f"AND EXISTS (SELECT 1 FROM keys o WHERE {_matches('o', one)} AND o.number = k.number)")  # noqa: S608
        bindings += _bound(one)
    return " ".join((*words, "ORDER BY k.number DESC LIMIT ?")), (*bindings, limit)


def in_shard(read: Read, wanted: Wanted, limit: int) -> list[int]:
    """Numbers still in the shard, newest first: messages, and refusals of which nothing was stored."""
    low, high = wanted.numbers
    words = ["SELECT m.number FROM messages m WHERE m.number >= ? AND m.number < ?"]
    bindings: list[object] = [low, high]
    for one in clauses(wanted):
        text, more = _in_rows(one)
        words.append(f"AND {text}")
        bindings += more
    stored = [row[0] for row in read(" ".join((*words, "ORDER BY m.number DESC LIMIT ?")), (*bindings, limit))]
    refused = [] if wanted.words else _refused(read, wanted, limit)
    return sorted({*stored, *refused}, reverse=True)[:limit]


@dataclass(frozen=True, slots=True)
class Shelves:
    """Where one shard's messages lie: in the shard itself (`read`), and in its days."""

    read: Read
    days: Days
    shard: int

    def listed(self, wanted: Filter, now: float, limit: int = 100) -> list[dict[str, object]]:
        """The newest messages that fit; where they may be done, of the days too. Blocking: for a thread."""
        found = listing.messages(self.read, self.shard, wanted, now, limit)
        if wanted.live:
            return found
        with self.days.reading() as days:
            for day in days.days(until=None if wanted.below >= ALL else moment_of(wanted.below)):
                if len(found) >= limit and str(found[limit - 1]["received"])[:10] > day.isoformat():
                    break  # older days have only older ones
                if (read := days.of(day)) is not None:
                    more = listing.messages(read, self.shard, wanted, now, limit)
                    found = sorted([*found, *more], key=lambda one: str(one["id"]), reverse=True)
        return list({one["id"]: one for one in found}.values())[:limit]

    def find(self, wanted: Wanted, limit: int = 100) -> list[dict[str, object]]:
        """Whole paths, newest first. Blocking: for a thread."""
        limit = min(limit, MAX_FOUND)
        with self.days.reading() as days:
            numbers = set(in_shard(self.read, wanted, limit))
            for day in days.days(*_range(wanted)):
                if len(numbers) >= limit and all(day_of(number) > day for number in numbers):
                    break  # older days have only older ones
                read = days.of(day)
                numbers.update(in_day(read, wanted, limit) if read is not None else ())
            chosen = sorted(numbers, reverse=True)[:limit]
            return [path for number in chosen if (path := self._path(days, number)) is not None]

    def path(self, text: str) -> dict[str, object] | None:
        """The whole path of one message or refusal by its queue id; None where it is unknown here. Blocking."""
        number = parse_queue_id(text)
        if number is None or number[0] != self.shard:
            return None
        with self.days.reading() as days:
            return self._path(days, number[1])

    def _path(self, days: Reading, number: int) -> dict[str, object] | None:
        reference = queue_id(self.shard, number)
        places = [self.read, *([old] if (old := days.of(day_of(number))) is not None else [])]
        message = next((m for read in places if (m := listing.message(read, self.shard, reference)) is not None), None)
        refused = [one for read in places for one in refusals.documents(read, number)]
        if message is None and not refused:
            return None
        if message is None:
            message = {"id": reference, "state": "refused", "received": format_time(moment_of(number))}
        return message | {"events": refused, "told": list(self._told(days, reference, number))}

    def _told(self, days: Reading, reference: str, number: int) -> Iterator[dict[str, object]]:
        """Notices and DSNs of ours about the message, and whether they arrived."""
        found = [(self.read, row[0]) for row in self.read(_ABOUT, (reference,))]
        for day in days.days(since=moment_of(number)):
            read = days.of(day)
            if read is not None:
                rows = read("SELECT number FROM keys WHERE kind = 'a' AND key = ?", (reference.encode(),))
                found += [(read, row[0]) for row in rows]
        for read, own in sorted(found, key=lambda pair: pair[1]):
            one = listing.message(read, self.shard, queue_id(self.shard, own))
            if one is not None:
                yield {name: one[name] for name in ("id", "kind", "state", "received")} | {
                    "recipients": [r["address"] for r in one["recipients"]]  # type: ignore[attr-defined]
                }


def _range(wanted: Wanted) -> tuple[datetime | None, datetime | None]:
    until = wanted.until if wanted.below >= ALL else moment_of(wanted.below)
    return wanted.since, until


def _address(kind: str, text: str) -> Clause:
    text = text.strip().strip("<>").lower()
    local, at, domain = text.rpartition("@")
    if at and local and not domain:
        return Clause(kind, f"{local}@".encode(), f"{local}A".encode())  # A is the next character after @
    if local:
        return Clause(kind, text.encode("utf-8", "replace"))
    return Clause(kind.upper(), domain.encode("utf-8", "replace"))


def _matches(table: str, one: Clause) -> str:
    if one.high is None:
        return f"{table}.kind = ? AND {table}.key = ?"
    return f"{table}.kind = ? AND {table}.key >= ? AND {table}.key < ?"


def _bound(one: Clause) -> list[object]:
    return [one.kind, one.low] if one.high is None else [one.kind, one.low, one.high]


def _in_rows(one: Clause) -> tuple[str, list[object]]:
    """The condition on the shard's own rows."""
    text = one.low.decode("utf-8", "replace")
    if one.kind == "m":
        return "m.message_id = ?", [text]
    if one.kind == "w":
        return "instr(m.words, ?) > 0", [one.low]
    column = "m.sender" if one.kind in "sS" else "r.address"
    lowered = f"lower(CAST({column} AS TEXT))"
    if one.kind.isupper():
        test, bindings = f"substr({lowered}, -{len(text) + 1}) = ?", [f"@{text}"]
    elif one.high is not None:
        test, bindings = f"substr({lowered}, 1, {len(text)}) = ?", [text]
    else:
        test, bindings = f"{lowered} = ?", [text]
    if column == "r.address":
        test = f"EXISTS (SELECT 1 FROM recipients r WHERE r.number = m.number AND {test})"  # noqa: S608 - our words
    return test, list(bindings)


def _refused(read: Read, wanted: Wanted, limit: int) -> list[int]:
    """References of refusals that are not in a day yet: the newest of them, looked through."""
    low, high = wanted.numbers
    rows = read(
        "SELECT number, document FROM refusals WHERE number >= ? AND number < ? ORDER BY number DESC LIMIT ?",
        (low, high, MAX_REFUSALS),
    )
    conditions = clauses(wanted)
    found = (number for number, document in rows if all(_said(codec.decode(document), one) for one in conditions))
    return list(dict.fromkeys(found))[:limit]


MAX_REFUSALS: Final = 20_000  # newest refusals of a shard that are looked through


def _said(event: dict[str, dict[str, object]], one: Clause) -> bool:
    email, text = event.get("email", {}), one.low.decode("utf-8", "replace")
    if one.kind == "m":
        return email.get("message_id") == text
    side = email.get("from" if one.kind in "sS" else "to")
    addresses: Sequence[object] = side.get("address", []) if isinstance(side, dict) else []
    shown = [str(address).lower() for address in addresses]
    if one.kind.isupper():
        return any(address.endswith(f"@{text}") for address in shown)
    return any(address.startswith(text) if one.high is not None else address == text for address in shown)
