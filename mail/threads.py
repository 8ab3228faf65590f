"""Who abroad wrote first: the threads that an official account may answer (rule B, reply-only), over all shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hudhud.database import Connection, DatabaseError, open_reader, rows

SCHEMA = """
create table if not exists threads(
  account text not null, "foreign" text not null, message_id text not null, received real not null,
  primary key (account, "foreign", message_id)) without rowid;
create index if not exists threads_received on threads(received);
create table if not exists arrivals(
  id integer primary key, mark blob not null, writers text not null, received real not null);
create index if not exists arrivals_mark on arrivals(mark);
"""
"""Part of each shard's schema: account and foreign are addresses in lower case, received is seconds since 1970."""

MAX_IDS = 200  # message ids of one message that are looked up
MAX_DAYS = 366  # how long a thread is remembered: no policy lets it be answered longer
MAX_ROWS = 4_000_000  # arrivals that one shard remembers; past it the oldest go before their time


class Threads(Protocol):
    """What is known of mail that came from abroad."""

    def began(self, accounts: Sequence[str], foreign: str, since: datetime) -> bool:
        """Whether the foreign address wrote to one of the accounts' addresses at or after `since`."""
        ...

    def answers(self, accounts: Sequence[str], foreign: str, message_ids: Sequence[str], since: datetime) -> bool:
        """Whether one of the message ids came from the foreign address to one of the accounts at or after `since`."""
        ...

    def came(self, marks: Sequence[bytes], since: datetime) -> Mapping[bytes, tuple[str, ...]]:
        """Those of the marks (mail/content/marks.py) that came in at or after `since`, with all who wrote them."""
        ...


def arrived(connection: Connection, marks: Iterable[bytes], writers: Iterable[str], received: datetime) -> None:
    """Writes by what a message that came in is known again, inside the caller's transaction."""
    who, when = " ".join(writers), received.timestamp()
    rows_of = [(mark, who, when) for mark in marks]
    if rows_of:
        connection.executemany("insert into arrivals(mark, writers, received) values (?, ?, ?)", rows_of)


def pass_over(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` arrivals of before that time, or of too many, inside the caller's transaction."""
    newest = next((row[0] for row in connection.execute("select id from arrivals order by id desc limit 1")), 0)
    oldest = connection.execute("select id, received from arrivals order by id limit ?", (limit,))
    old = [number for number, at in oldest if at < before.timestamp() or number <= newest - MAX_ROWS]
    if old:
        connection.execute("delete from arrivals where id between ? and ?", (old[0], old[-1]))
    return len(old)


def remember(connection: Connection, threads: Iterable[tuple[str, str, str]], received: datetime) -> None:
    """Writes rows (account, foreign, message id) inside the caller's transaction; a repeated one changes nothing."""
    known = [(*row, received.timestamp()) for row in threads]
    if not known:
        return
    connection.executemany(
        'insert or ignore into threads(account, "foreign", message_id, received) values (?, ?, ?, ?)',
        known,
    )


def forget(connection: Connection, before: datetime) -> None:
    """Deletes what may no longer be answered, inside the caller's transaction."""
    connection.execute("delete from threads where received < ?", (before.timestamp(),))


class NoThreads:
    """Nobody wrote first: `hudhud mail judge` without a relay, and tests."""

    def began(self, accounts: Sequence[str], foreign: str, since: datetime) -> bool:
        return False

    def answers(self, accounts: Sequence[str], foreign: str, message_ids: Sequence[str], since: datetime) -> bool:
        return False

    def came(self, marks: Sequence[bytes], since: datetime) -> Mapping[bytes, tuple[str, ...]]:
        return {}


class KnownThreads:
    """Threads in memory: rows of (account, foreign, message id, received); arrivals of (mark, writers, received)."""

    def __init__(
        self,
        known: Iterable[tuple[str, str, str, datetime]] = (),
        arrivals: Iterable[tuple[bytes, Sequence[str], datetime]] = (),
    ) -> None:
        self._known, self._arrivals = tuple(known), tuple(arrivals)

    def began(self, accounts: Sequence[str], foreign: str, since: datetime) -> bool:
        return any(a in accounts and f == foreign and at >= since for a, f, _, at in self._known)

    def answers(self, accounts: Sequence[str], foreign: str, message_ids: Sequence[str], since: datetime) -> bool:
        return any(a in accounts and f == foreign and i in message_ids and at >= since for a, f, i, at in self._known)

    def came(self, marks: Sequence[bytes], since: datetime) -> Mapping[bytes, tuple[str, ...]]:
        found: dict[bytes, tuple[str, ...]] = {}
        for mark, writers, at in self._arrivals:
            if mark in marks and at >= since:
                found[mark] = (*found.get(mark, ()), *writers)
        return found


class SpoolThreads:
    """Reads the shards of every worker, `shard-<n>.db` in the relay's folder, each by a read-only connection."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Path, Connection] = {}

    def began(self, accounts: Sequence[str], foreign: str, since: datetime) -> bool:
        return self._any(accounts, foreign, since, "", ())

    def answers(self, accounts: Sequence[str], foreign: str, message_ids: Sequence[str], since: datetime) -> bool:
        ids = tuple(message_ids)[:MAX_IDS]
        if not ids:
            return False
        return self._any(accounts, foreign, since, f" and message_id in ({_marks(ids)})", ids)

    def came(self, marks: Sequence[bytes], since: datetime) -> Mapping[bytes, tuple[str, ...]]:
        if not marks:
            return {}
        query = f"select mark, writers from arrivals where mark in ({_marks(marks)}) and received >= ? limit 1000"  # noqa: S608 - marks only
        found: dict[bytes, tuple[str, ...]] = {}
        for path in sorted(self._folder.glob("shard-*.db")):
            for mark, writers in self._arrivals(path, query, (*marks, since.timestamp())):
                found[mark] = (*found.get(mark, ()), *writers.split())
        return found

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _any(self, accounts: Sequence[str], foreign: str, since: datetime, more: str, values: Sequence[str]) -> bool:
        query = (
            f'select 1 from threads where account in ({_marks(accounts)}) and "foreign" = ? and received >= ?'  # noqa: S608 - marks only
            f"{more} limit 1"
        )
        bindings = (*accounts, foreign, since.timestamp(), *values)
        return any(rows(self._reader(path), path, query, bindings) for path in sorted(self._folder.glob("shard-*.db")))

    def _arrivals(self, path: Path, query: str, bindings: Sequence[object]) -> Sequence[tuple[bytes, str]]:
        """Rows of one shard; none of one that a worker of before has not been replaced at yet."""
        try:
            return rows(self._reader(path), path, query, bindings)
        except DatabaseError as error:
            if "no such table" in error.what:
                return ()
            raise

    def _reader(self, path: Path) -> Connection:
        """A connection that is kept. DatabaseError where the shard cannot be read: the message waits then."""
        if path not in self._open:
            self._open[path] = open_reader(path)
        return self._open[path]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
