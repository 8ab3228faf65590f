"""Who abroad wrote first: the threads that an official account may answer (rule B, reply-only), over all shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hudhud.database import Connection, open_reader, rows

SCHEMA = """
create table if not exists threads(
  account text not null, "foreign" text not null, message_id text not null, received real not null,
  primary key (account, "foreign", message_id)) without rowid;
create index if not exists threads_received on threads(received);
"""
"""Part of each shard's schema: account and foreign are addresses in lower case, received is seconds since 1970."""

MAX_IDS = 200  # message ids of one message that are looked up


class Threads(Protocol):
    """What is known of mail that came from abroad."""

    def began(self, accounts: Sequence[str], foreign: str, since: datetime) -> bool:
        """Whether the foreign address wrote to one of the accounts' addresses at or after `since`."""
        ...

    def answers(self, accounts: Sequence[str], foreign: str, message_ids: Sequence[str], since: datetime) -> bool:
        """Whether one of the message ids came from the foreign address to one of the accounts at or after `since`."""
        ...


def remember(connection: Connection, threads: Iterable[tuple[str, str, str]], received: datetime) -> None:
    """Writes rows (account, foreign, message id) inside the caller's transaction; a repeated one changes nothing."""
    connection.executemany(
        'insert or ignore into threads(account, "foreign", message_id, received) values (?, ?, ?, ?)',
        [(*row, received.timestamp()) for row in threads],
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


class KnownThreads:
    """Threads in memory: rows of (account, foreign, message id, received)."""

    def __init__(self, known: Iterable[tuple[str, str, str, datetime]] = ()) -> None:
        self._known = tuple(known)

    def began(self, accounts: Sequence[str], foreign: str, since: datetime) -> bool:
        return any(a in accounts and f == foreign and at >= since for a, f, _, at in self._known)

    def answers(self, accounts: Sequence[str], foreign: str, message_ids: Sequence[str], since: datetime) -> bool:
        return any(a in accounts and f == foreign and i in message_ids and at >= since for a, f, i, at in self._known)


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

    def _reader(self, path: Path) -> Connection:
        """A connection that is kept. DatabaseError where the shard cannot be read: the message waits then."""
        if path not in self._open:
            self._open[path] = open_reader(path)
        return self._open[path]


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
