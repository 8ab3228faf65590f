"""Reads one partition of events: the newest that fit, how many by value, how many by step of time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cert import terms
from cert.condition import And, Is, Node
from cert.fields import kind_of
from cert.partition import first_row
from cert.query_sql import Sql, compile_sql
from cert.store import Query
from hudhud import codec
from hudhud.database import Connection, rows

MANY_VALUES: Final = 2_000  # distinct values of a field past which counting goes by documents, not by terms
_FIRST, _LAST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Reader:
    """A connection to the partition in `path`."""

    path: Path
    connection: Connection

    def rows(self, text: str, bindings: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return rows(self.connection, self.path, text, bindings)


@dataclass(frozen=True, slots=True)
class Scan:
    """What is looked for: the query, and the rows low ≤ row < high, which are a time."""

    sql: Sql
    low: int
    high: int

    def statement(self, what: str) -> tuple[str, tuple[Any, ...]]:
        """A SELECT of `what` over the rows that fit; only words of our own are put together here."""
        where = f" AND {self.sql.where}" if self.sql.where else ""
        if not self.sql.match:
            text = f"SELECT {what} FROM events WHERE events.row >= ? AND events.row < ?{where}"  # noqa: S608 - our words
            return text, (self.low, self.high, *self.sql.bindings)
        documents = "document" in what or "events." in where
        join = " JOIN events ON events.row = terms.rowid" if documents else ""
        chosen = what.replace("events.row", "terms.rowid")
        text = f"SELECT {chosen} FROM terms{join} WHERE terms MATCH ? AND terms.rowid >= ? AND terms.rowid < ?{where}"  # noqa: S608 - our words
        return text, (self.sql.match, self.low, self.high, *self.sql.bindings)


def scan_of(node: Node, asked: Query) -> Scan:
    """The query within the asked time, entity and page."""
    whole = node if asked.entity is None else And((node, Is("organization.id", asked.entity)))
    low = first_row(asked.start) if asked.start is not None else _FIRST
    high = first_row(asked.end) if asked.end is not None else _LAST
    return Scan(compile_sql(whole), low, min(high, int(asked.after)) if asked.after else high)


def newest(reader: Reader, scan: Scan, limit: int) -> list[tuple[int, bytes]]:
    """(row, document) of the newest that fit."""
    text, bindings = scan.statement("events.row, events.document")
    order = "terms.rowid" if scan.sql.match else "events.row"
    return [
        (row, document) for row, document in reader.rows(f"{text} ORDER BY {order} DESC LIMIT ?", (*bindings, limit))
    ]


def count(reader: Reader, scan: Scan, field: str) -> dict[str, int]:
    """Events per value: by terms where the query is terms alone and the values are few, else by documents."""
    begin, end = terms.exact_begin(field)
    listed = reader.rows(
        "SELECT term FROM vocabulary WHERE term >= ? AND term < ? LIMIT ?", (begin, end, MANY_VALUES + 1)
    )
    if len(listed) > MANY_VALUES or scan.sql.where or kind_of(field) == "text":
        return _count_documents(reader, scan, field)
    found = {}
    for (term,) in listed:
        quoted = '"' + term.replace('"', '""') + '"'
        both = Sql(f"({quoted}) AND ({scan.sql.match})" if scan.sql.match else quoted, "")
        number = reader.rows(*Scan(both, scan.low, scan.high).statement("count(*)"))[0][0]
        if number:
            found[terms.from_token(field, term[len(begin) :])] = number
    return found


def _count_documents(reader: Reader, scan: Scan, field: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (document,) in reader.rows(*scan.statement("events.document")):
        found.update(terms.values_of(codec.decode(document), field))
    return found


def count_steps(reader: Reader, scan: Scan, wide: int) -> dict[int, int]:
    """Events per step of `wide` rows, counted from row 0; everything that fits has the term EVERY."""
    sql = scan.sql if scan.sql.match else Sql(f'"{terms.EVERY}"', scan.sql.where, scan.sql.bindings)
    text, bindings = Scan(sql, scan.low, scan.high).statement(f"events.row / {wide} - (events.row < 0)")
    counted = f"SELECT step, count(*) FROM ({text.replace(' FROM', ' AS step FROM', 1)}) GROUP BY step"  # noqa: S608 - our words
    return dict(reader.rows(counted, bindings))
