"""What is done, by day: a shard's messages of each UTC day in a file of their own, indexed for a trace, dropped whole.

    <relay's folder>/trace/2026-11-24/0.db      shard 0's; written by the shard's owner alone

The tables are the spool's own, so that whatever reads a shard reads a day; `keys` is what a trace is found by. The
spool stays as small as what waits, however long a path must stay traceable.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from hudhud import codec, log
from hudhud.database import Connection, Database, DatabaseDamaged, DatabaseError, open_reader
from hudhud.database import rows as read_rows
from mail.shelf import refusals, words
from mail.shelf.due import Read
from mail.shelf.stored import TABLES, moment_of

FOLDER: Final = "trace"
OPEN: Final = 2  # files of one shard that stay open for writing
MAX_REFUSALS: Final = 200_000  # of one shard and day; beyond it the events alone know of them

SCHEMA: Final = (
    TABLES
    + refusals.SCHEMA
    + """
CREATE TABLE IF NOT EXISTS keys(kind TEXT NOT NULL, key BLOB NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (kind, key, number)) WITHOUT ROWID;
"""
)
"""`kind` s, S: the sender's address, its domain; r, R: a recipient's; m: Message-ID; w: a subject's word, hashed;
a: the message that a notice or DSN tells of. Addresses are in lower case."""

_log = log.get(__name__)

Row = tuple[Any, ...]
Key = tuple[str, bytes, int]


@dataclass(slots=True)
class Batch:
    """What goes into the file of one day: whole rows, and refusals (number, document)."""

    messages: list[Row] = field(default_factory=list)
    recipients: list[Row] = field(default_factory=list)
    refusals: list[tuple[int, bytes]] = field(default_factory=list)


class Days:
    """One shard's days below the relay's `folder`. Writing blocks, and is for one thread at a time."""

    def __init__(self, folder: Path, shard: int) -> None:
        self.folder, self.shard = folder / FOLDER, shard
        self._open: dict[date, Database] = {}

    def days(self) -> list[date]:
        """The days of which something is kept, newest first."""
        return sorted(self._files(), reverse=True)

    def write(self, day: date, batch: Batch) -> None:
        """On disk when it returns. What was written before is written over, so that a repeated move changes nothing."""
        keys = sorted({*_of_messages(batch), *_of_refusals(batch)})

        def work(connection: Connection) -> None:
            for table, rows in (("messages", batch.messages), ("recipients", batch.recipients)):
                if rows:
                    marks = ", ".join("?" * len(rows[0]))
                    connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)  # noqa: S608 - our words
            kept = connection.execute("SELECT coalesce(max(rowid), 0) FROM refusals").fetchone()
            if kept is not None and kept[0] < MAX_REFUSALS:
                for number in {number for number, _ in batch.refusals}:
                    connection.execute("DELETE FROM refusals WHERE number = ?", (number,))
                connection.executemany("INSERT INTO refusals VALUES (?, ?)", batch.refusals)
            connection.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", keys)

        self._database(day).commit_now(work)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reading]:
        """The days for one search; any thread."""
        reading = Reading(self._files())
        try:
            yield reading
        finally:
            reading.close()

    def drop(self, before: date) -> list[date]:
        """Forget whole days; which."""
        gone = [day for day in self._files() if day < before]
        for day in gone:
            self._forget(day)
        return gone

    def drop_oldest(self, max_bytes: int, today: date) -> date | None:
        """Forget the oldest day where the node's whole trace is larger than `max_bytes`; today is never forgotten."""
        used = sum(path.stat().st_size for path in self.folder.glob("*/*") if path.is_file())
        days = [day for day in sorted(self._files()) if day < today]
        if used <= max_bytes or not days:
            return None
        self._forget(days[0])
        return days[0]

    def close(self) -> None:
        """Finish what waits; a later write opens again."""
        for database in self._open.values():
            database.close()
        self._open.clear()

    def _files(self) -> Mapping[date, Path]:
        found: dict[date, Path] = {}
        for path in self.folder.glob(f"*/{self.shard}.db"):
            with contextlib.suppress(ValueError):
                found[date.fromisoformat(path.parent.name)] = path
        return found

    def _database(self, day: date) -> Database:
        if day not in self._open:
            path = self.folder / day.isoformat() / f"{self.shard}.db"
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                self._open[day] = Database(path, SCHEMA)
            except DatabaseDamaged as error:
                _log.error("a day of the trace is damaged: set apart", file=str(path), problem=error.what)
                path.rename(path.with_suffix(f".damaged-{int(datetime.now(UTC).timestamp())}"))
                self._open[day] = Database(path, SCHEMA)
            while len(self._open) > OPEN:
                self._open.pop(next(one for one in self._open if one != day)).close()
        return self._open[day]

    def _forget(self, day: date) -> None:
        if day in self._open:
            self._open.pop(day).close()
        place = self.folder / day.isoformat()
        for path in (*place.glob(f"{self.shard}.db*"), *place.glob(f"{self.shard}.damaged-*")):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another shard's lies there
            place.rmdir()


class Reading:
    """Read-only connections to days, opened as they are needed. A day that cannot be read is left out, and told."""

    def __init__(self, files: Mapping[date, Path]) -> None:
        self._files = files
        self._open: dict[date, Connection] = {}
        self.problems: list[str] = []

    def days(self, since: datetime | None = None, until: datetime | None = None) -> list[date]:
        """Of messages received between the two, newest first."""
        first = since.astimezone(UTC).date() if since else date.min
        last = until.astimezone(UTC).date() if until else date.max
        return sorted((day for day in self._files if first <= day <= last), reverse=True)

    def of(self, day: date) -> Read | None:
        """How that day is read; None where nothing of it is kept."""
        path = self._files.get(day)
        if path is None:
            return None
        try:
            connection = self._open.get(day) or open_reader(path)
            self._open[day] = connection
            connection.execute("SELECT 1 FROM keys LIMIT 1").fetchall()
        except Exception as error:  # one damaged day does not hide the others
            self.problems.append(f"{path.parent.name}/{path.name}: {error}")
            return None

        def read(query: str, bindings: Any = ()) -> list[Row]:
            try:
                return read_rows(connection, path, query, bindings)
            except DatabaseError as error:
                self.problems.append(f"{path.parent.name}/{path.name}: {error.what}")
                return []

        return read

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()


def day_of(number: int) -> date:
    """The UTC day in whose file a message is kept: that of its receipt."""
    return moment_of(number).date()


def kept_since(now: datetime, trace_days: int) -> date:
    """The first day that is still kept."""
    return (now.astimezone(UTC) - timedelta(days=trace_days)).date()


def address_keys(kind: str, address: str, number: int) -> list[Key]:
    """The keys of an address: itself, and its domain."""
    address = address.lower()
    domain = address.rpartition("@")[2]
    both = [(kind, address.encode("utf-8", "replace"), number)]
    return [*both, (kind.upper(), domain.encode("utf-8", "replace"), number)] if domain else both


def _of_messages(batch: Batch) -> Iterator[Key]:
    for row in batch.messages:
        number, sender, message_id, hashes, about = row[0], row[3], row[10], *row[17:19]
        if sender:
            yield from address_keys("s", bytes(sender).decode("utf-8", "replace"), number)
        if message_id:
            yield "m", message_id.encode("utf-8", "replace"), number
        yield from (("w", one, number) for one in words.each(hashes))
        if about:
            yield "a", about.encode(), number
    for row in batch.recipients:
        yield from address_keys("r", bytes(row[2]).decode("utf-8", "replace"), row[0])


def _of_refusals(batch: Batch) -> Iterator[Key]:
    for number, document in batch.refusals:
        email = codec.decode(document).get("email", {})
        for kind, name in (("s", "from"), ("r", "to")):
            for address in _texts(email.get(name, {}).get("address")):
                yield from address_keys(kind, address, number)
        for message_id in _texts(email.get("message_id")):
            yield "m", message_id.encode("utf-8", "replace"), number


def _texts(value: object) -> Iterable[str]:
    found: Sequence[object] = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, str) and one]
