"""Durable, ordered events: a table that lives in any Database and takes part in its owner's transaction.

A sequence only grows, even past a lost or restored file: each opening moves it to the present microsecond at least.
So an event's id (source and sequence) is never given twice, and no cursor stands ahead of what comes. There are gaps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hudhud import durable, log
from hudhud.database import Connection, Database, open_reader, rows

SCHEMA = """
CREATE TABLE IF NOT EXISTS journal(
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, document BLOB NOT NULL, written REAL NOT NULL);
CREATE TABLE IF NOT EXISTS journal_size(
    one INTEGER PRIMARY KEY CHECK (one = 1), records INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO journal_size VALUES (1, 0, 0);
CREATE TRIGGER IF NOT EXISTS journal_grows AFTER INSERT ON journal BEGIN
    UPDATE journal_size SET records = records + 1, bytes = bytes + length(new.document);
END;
CREATE TRIGGER IF NOT EXISTS journal_shrinks AFTER DELETE ON journal BEGIN
    UPDATE journal_size SET records = records - 1, bytes = bytes - length(old.document);
END;
INSERT INTO sqlite_sequence(name, seq) SELECT 'journal', 0
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'journal');
UPDATE sqlite_sequence SET seq = max(seq, CAST(unixepoch('subsec') * 1000000 AS INTEGER)) WHERE name = 'journal';
"""

TRIM_RECORDS = 5_000  # deleted in one transaction, so that trimming does not hold up who waits to write
READ_BYTES = 16 * 1024 * 1024  # one read returns no more documents than fit (but always one)

_READ = "SELECT sequence, document FROM journal WHERE sequence > ? ORDER BY sequence LIMIT ?"
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """One event as its journal keeps it: the document is JSON bytes."""

    sequence: int
    document: bytes


def append(connection: Connection, documents: Iterable[bytes]) -> int:
    """Add documents inside the caller's transaction; the last sequence, 0 when there was none to add."""
    last = 0
    for document in documents:
        connection.execute("INSERT INTO journal(document, written) VALUES (?, ?)", (document, time.time()))
        last = connection.last_insert_rowid()
    return last


class Journal:
    """The journal of `source` (unique in the country: it makes the events' ids) in this process's database."""

    def __init__(self, database: Database, source: str) -> None:
        self.source = source
        self._database = database

    async def write(self, documents: Sequence[bytes]) -> int:
        """Add documents; the last sequence, after the fsync."""
        return await self._database.commit(lambda connection: append(connection, documents))

    def write_now(self, documents: Sequence[bytes]) -> int:
        """The same, blocking, from any thread."""
        return self._database.commit_now(lambda connection: append(connection, documents))

    def read(self, after: int, limit: int) -> list[Record]:
        """At most `limit` records past the sequence `after`, in order."""
        return _records(self._database.read, after, limit)

    def trim(self, upto: int) -> None:
        """Forget the records up to and including the sequence `upto`; blocking."""
        while self._database.commit_now(lambda connection: _trim(connection, upto)) == TRIM_RECORDS:
            pass

    def size(self) -> tuple[int, int]:
        """Records and bytes of documents kept; costs nothing however long the journal is."""
        [(records, size)] = self._database.read("SELECT records, bytes FROM journal_size")
        return int(records), int(size)


def _trim(connection: Connection, upto: int) -> int:
    connection.execute(
        "DELETE FROM journal WHERE sequence IN (SELECT sequence FROM journal WHERE sequence <= ? LIMIT ?)",
        (upto, TRIM_RECORDS),
    )
    return connection.changes()


def _records(read: Callable[[str, Any], list[tuple[Any, ...]]], after: int, limit: int) -> list[Record]:
    found: list[Record] = []
    size = 0
    while len(found) < limit and size < READ_BYTES:
        step = min(limit - len(found), 1000)
        batch = read(_READ, (after, step))
        for sequence, document in batch:
            size += len(document)
            if found and size > READ_BYTES:
                return found
            found.append(Record(sequence, bytes(document)))
            after = sequence
        if len(batch) < step:
            break
    return found


class Reader:
    """The journal of `source` in another process's file, which may not be there yet; may be used from any thread."""

    def __init__(self, path: Path, source: str) -> None:
        self.source = source
        self._path = path
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None

    def read(self, after: int, limit: int) -> list[Record]:
        """At most `limit` records past `after`, in order; none while the file or its table does not exist."""
        with self._lock:
            connection = self._open()
            if connection is None:
                return []
            return _records(lambda query, bindings: rows(connection, self._path, query, bindings), after, limit)

    def close(self) -> None:
        """Let go of the file; a later read opens it again."""
        with self._lock:
            self._let_go()

    def _open(self) -> Connection | None:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            self._let_go()
            return None
        if self._connection is None or self._file != (state.st_dev, state.st_ino):  # new, or another file by now
            self._let_go()
            connection = open_reader(self._path)
            if not rows(
                connection, self._path, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'journal'"
            ):
                connection.close()
                return None
            self._connection, self._file = connection, (state.st_dev, state.st_ino)
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def open_readonly(path: Path, source: str) -> Reader:
    """Read the journal in another process's database."""
    return Reader(path, source)


class Cursor:
    """How far a consumer has come, in a file of its own; `position` is the last sequence done, 0 at the beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = self._load()

    def advance(self, to: int) -> None:
        """Everything up to the sequence `to` is done: kept on disk before this returns. ValueError if it goes back."""
        if to < self.position:
            raise ValueError(f"{self.path}: a cursor at {self.position} cannot go back to {to}")
        if to == self.position:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        durable.replace(self.path, f"{to}\n".encode())
        self.position = to

    def _load(self) -> int:
        try:
            text = self.path.read_text("ascii").strip()
        except FileNotFoundError:
            return 0
        except UnicodeDecodeError:
            text = ""
        if not text.isdecimal():
            # From the beginning is the safe side: what was sent before has the same ids and changes nothing.
            _log.warning("cursor unreadable, starting from the beginning", file=str(self.path))
            return 0
        return int(text)
