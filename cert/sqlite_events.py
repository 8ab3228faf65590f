"""Events in SQLite: a file for each UTC day, an inverted index of terms in it, searches by row (which is time)."""

from __future__ import annotations

import heapq
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from cert import terms
from cert.condition import Is, Node
from cert.partition import UNDATED, first_row, other_partition, partition_of, row_of, rows_per, time_of_row
from cert.query_sql import HAS_PHRASE
from cert.sqlite_scan import Reader, Scan, count, count_steps, newest, scan_of
from cert.store import Added, Bucket, Page, Query, Refused
from hudhud import codec
from hudhud.database import Connection, Database, open_reader
from hudhud.event import Event, EventError, format_time, parse_time

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS events(row INTEGER PRIMARY KEY, document BLOB NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS terms USING fts5(
    tokens, content='', detail=none, columnsize=0, tokenize="{terms.TOKENIZE.replace('"', '""')}");
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab(terms, 'row');
CREATE VIRTUAL TABLE IF NOT EXISTS instances USING fts5vocab(terms, 'instance');
"""
WRITERS_OPEN: Final = 8  # partitions that are kept open for writing
READERS_OPEN: Final = 64  # connections kept for reading, all partitions together


class EventFiles:
    """All partitions in one folder. Blocking calls; SqliteStore puts those that read into threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: OrderedDict[str, Database] = OrderedDict()
        self._readers: OrderedDict[int, tuple[Path, Connection]] = OrderedDict()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    async def add(self, events: Sequence[Event], now: datetime) -> Added:
        """Store shaped events, each once."""
        by_partition: dict[str, list[Event]] = {}
        known = 0
        for event in events:
            elsewhere = other_partition(event.timestamp, now)
            if elsewhere is not None and self._path(elsewhere).exists() and self._holds(elsewhere, event):
                known += 1
            else:
                by_partition.setdefault(partition_of(event.timestamp, now), []).append(event)
        stored, refused = 0, []
        for name, its in by_partition.items():
            prepared = []
            for event in its:
                try:
                    prepared.append(_prepare(event))
                except (EventError, ValueError) as error:
                    refused.append(Refused(event.id, str(error)))
            fresh = await self._writer(name).commit(partial(_insert, prepared))
            stored += fresh
            known += len(prepared) - fresh
        return Added(stored, known, tuple(refused))

    def find(self, id: str) -> Event | None:
        page = self.search(Is("event.id", id), Query(limit=1))
        return page.found[0] if page.found else None

    def search(self, node: Node, asked: Query) -> Page[Event]:
        scan = scan_of(node, asked)
        undated = self._select(UNDATED, scan, asked.limit + 1) if self._path(UNDATED).exists() else []
        dated: list[tuple[int, bytes]] = []
        for name in self._dated(scan):
            dated += self._select(name, scan, asked.limit + 1 - len(dated))
            if len(dated) > asked.limit:
                break
        found = list(heapq.merge(dated, undated, key=lambda pair: -pair[0]))
        shown = found[: asked.limit]
        return Page(
            tuple(_event(document) for _, document in shown), str(shown[-1][0]) if len(found) > len(shown) else ""
        )

    def counts(self, node: Node, asked: Query, field: str, limit: int) -> tuple[Bucket, ...]:
        scan = scan_of(node, asked)
        total: Counter[str] = Counter()
        for name in self._all(scan):
            with self._reader(name) as reader:
                total.update(count(reader, scan, field))
        ordered = sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(Bucket(value, count) for value, count in ordered[:limit])

    def histogram(self, node: Node, asked: Query, step: timedelta) -> tuple[Bucket, ...]:
        scan = scan_of(node, asked)
        wide = rows_per(step)
        total: Counter[int] = Counter()
        for name in self._all(scan):
            with self._reader(name) as reader:
                total.update(count_steps(reader, scan, wide))
        return tuple(Bucket(format_time(time_of_row(number * wide)), total[number]) for number in sorted(total))

    def drop_before(self, day: datetime) -> int:
        """Delete the files of days that ended before `day`; how many."""
        gone = [name for name in self._names() if name != UNDATED and name < f"{day:%Y-%m-%d}"]
        for name in gone:
            self.close_one(name)
            for path in (self._path(name), *(Path(f"{self._path(name)}{end}") for end in ("-wal", "-shm"))):
                path.unlink(missing_ok=True)
        return len(gone)

    def close_one(self, name: str) -> None:
        if name in self._writers:
            self._writers.pop(name).close()
        with self._lock:
            mine = [key for key, (path, _) in self._readers.items() if path == self._path(name)]
            for key in mine:
                self._readers.pop(key)[1].close()

    def close(self) -> None:
        for name in {*self._writers, *self._names()}:
            self.close_one(name)

    def _path(self, name: str) -> Path:
        return self._folder / f"events-{name}.db"

    def _names(self) -> list[str]:
        return sorted(path.stem.removeprefix("events-") for path in self._folder.glob("events-*.db"))

    def _dated(self, scan: Scan) -> list[str]:
        """Partitions of days that overlap with the rows, newest first."""
        day = timedelta(days=1)
        starts = [(name, first_row(parse_time(f"{name}T00:00:00Z"))) for name in self._names() if name != UNDATED]
        return [name for name, start in reversed(starts) if start < scan.high and start + rows_per(day) > scan.low]

    def _all(self, scan: Scan) -> list[str]:
        return [*self._dated(scan), *([UNDATED] if self._path(UNDATED).exists() else [])]

    def _writer(self, name: str) -> Database:
        if name not in self._writers:
            while len(self._writers) >= WRITERS_OPEN:
                self._writers.popitem(last=False)[1].close()
            self._writers[name] = Database(self._path(name), SCHEMA)
        self._writers.move_to_end(name)
        return self._writers[name]

    def _holds(self, name: str, event: Event) -> bool:
        return bool(self._select(name, scan_of(Is("event.id", event.id), Query()), 1))

    def _select(self, name: str, scan: Scan, limit: int) -> list[tuple[int, bytes]]:
        with self._reader(name) as reader:
            return newest(reader, scan, limit)

    @contextmanager
    def _reader(self, name: str) -> Iterator[Reader]:
        """A connection that nobody else uses meanwhile."""
        path = self._path(name)
        with self._lock:
            key = next((key for key, (its, _) in self._readers.items() if its == path), None)
            connection = self._readers.pop(key)[1] if key is not None else None
        if connection is None:
            connection = open_reader(path)
            connection.create_scalar_function(HAS_PHRASE, _has_phrase, 3, deterministic=True)
        try:
            yield Reader(path, connection)
        finally:
            with self._lock:
                self._readers[id(connection)] = (path, connection)
                while len(self._readers) > READERS_OPEN:
                    self._readers.popitem(last=False)[1][1].close()


def _prepare(event: Event) -> tuple[int, str, bytes, str]:
    document = codec.encode({"@timestamp": format_time(event.timestamp), **event.fields})
    return row_of(event), event.id, document, terms.of(event.fields)


def _insert(prepared: Sequence[tuple[int, str, bytes, str]], connection: Connection) -> int:
    """How many were new. A row that another event has is passed over: 2,048 may share a microsecond, then the next."""
    stored = 0
    for wanted, identity, document, tokens in prepared:
        row = wanted
        while True:
            connection.execute("INSERT OR IGNORE INTO events VALUES (?, ?)", (row, document))
            if connection.changes():
                connection.execute("INSERT INTO terms(rowid, tokens) VALUES (?, ?)", (row, tokens))
                stored += 1
                break
            there: Any = connection.execute("SELECT document FROM events WHERE row = ?", (row,)).fetchall()[0][0]
            if codec.decode(there)["event.id"] == identity:
                break
            row += 1
    return stored


def _event(document: bytes) -> Event:
    fields = codec.decode(document)
    moment = parse_time(fields.pop("@timestamp"))
    return Event(fields["event.id"], moment, fields)


def _has_phrase(*values: Any) -> bool:
    """SQL function: see cert.query_sql.HAS_PHRASE."""
    document, field, phrase = values
    lines = terms.folded_lines(codec.decode(document), field)
    return any(f" {phrase} " in f" {line} " for line in lines)
