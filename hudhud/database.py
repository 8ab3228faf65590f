"""An SQLite file with one writer and group commit. The one door to apsw.

Whatever waits when the previous commit returns becomes one transaction and one fsync; each piece of work has a
savepoint of its own, so that one which fails, fails alone. WAL, synchronous=FULL: what returned is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import apsw

from hudhud import durable
from hudhud.prompt import Begun, Prompt, Waiting

T = TypeVar("T")
Connection = apsw.Connection
ConstraintError = apsw.ConstraintError  # a work that breaks a constraint of the schema gets this one

BUSY_MS = 30_000  # how long another process may hold the write lock before a transaction fails
CHECK_AT_OPEN_BYTES = 32 * 1024 * 1024  # a file up to this size is checked page by page when it is opened
WAL_KEPT_BYTES = 64 * 1024 * 1024  # a log that grew past this is cut back after its checkpoint


class DatabaseError(Exception):
    """The file at `path` cannot be used; `what` is SQLite's reason."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what


class DatabaseDamaged(DatabaseError):  # noqa: N818 - the contract's name
    """The file is no database or its pages contradict each other: a person must look, nothing is repaired silently."""


class DiskFull(DatabaseError):  # noqa: N818 - a state of the world, not an error of ours
    """Nothing of the work was stored, because the disk has no room."""


class DatabaseClosed(DatabaseError):  # noqa: N818 - a state
    """Work was given to a database that is closed."""


class Database:
    """`schema` is idempotent DDL (create … if not exists). Raises DatabaseDamaged, DiskFull, DatabaseError at open."""

    def __init__(self, path: Path, schema: str, *, batch_limit: int = 512) -> None:
        self.path = path
        self.transactions = 0  # committed so far
        self.works = 0  # committed so far; works / transactions is how well commits are grouped
        self._batch_limit = batch_limit
        self._queue: queue.SimpleQueue[Waiting | Begun | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._local = threading.local()
        self._readers: weakref.WeakSet[Connection] = weakref.WeakSet()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = _open_writer(path, schema)
        self._using = threading.Lock()  # the writer is between BEGIN and COMMIT
        self._prompt = Prompt(self._writer, self._using, self._put)
        self._thread = threading.Thread(target=self._run, name=f"database {path.name}", daemon=True)
        self._thread.start()

    async def commit(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in the next transaction; returns its value after the fsync.

        What `work` raises is raised here, and only its own changes are undone. A cancelled caller does not know
        whether the work was stored. The work must not begin or end transactions itself.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(Waiting(work, future, loop))
        return await future

    async def commit_here(self, work: Callable[[Connection], T], *, patient: bool = False) -> T:
        """The same for a small work of the event loop that lives by this database: done in the loop's own thread.

        A patient one waits a moment for others to share a transaction. A work may run twice; its changes count once.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._closed:
            raise DatabaseClosed(self.path, "is closed")
        self._prompt.add(Waiting(work, future, loop), patient=patient)
        return await future

    def commit_now(self, work: Callable[[Connection], T]) -> T:
        """The same from any thread but an event loop's, blocking until the fsync."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("commit_now inside a work would wait for itself")
        future: Future[T] = Future()
        self._put(Waiting(work, future, None))
        return future.result()

    def reader(self) -> Connection:
        """A new read-only connection; the caller closes it."""
        return open_reader(self.path)

    def read(self, query: str, bindings: Any = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, by this thread's own read-only connection."""
        if self._closed:
            raise DatabaseClosed(self.path, "is closed")
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self.reader()
            self._readers.add(connection)
        return rows(connection, self.path, query, bindings)

    def check(self) -> list[str]:
        """What SQLite's quick_check finds wrong, [] when the file is whole; takes as long as reading the file."""
        return [str(row[0]) for row in self.read("PRAGMA quick_check(10)") if row[0] != "ok"]

    def close(self) -> None:
        """Finish what waits, then close; a second close does nothing."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            for waiting in self._prompt.drain():
                self._queue.put(waiting)
            self._queue.put(None)
        self._thread.join()
        for connection in list(self._readers):
            try:
                connection.close()
            except apsw.ThreadingViolationError:  # in use in this moment; freed with its thread
                continue
        self._writer.close()

    def _put(self, waiting: Waiting | Begun) -> None:
        with self._gate:
            if self._closed and isinstance(waiting, Waiting):
                raise DatabaseClosed(self.path, "is closed")
            self._queue.put(waiting)

    def _run(self) -> None:
        batch: list[Waiting] = []
        last = False
        while not last or batch:
            if batch and self._using.acquire(blocking=False):
                todo, batch = [one for one in batch if not one.future.cancelled()], []
                try:
                    self._transact(todo)
                finally:
                    self._using.release()
                _tell(todo)
                self._prompt.released()
                continue
            item = self._queue.get()  # nothing to do, or somebody is between BEGIN and the COMMIT that comes here
            while True:
                if isinstance(item, Begun):
                    self._commit(item)
                elif item is not None:
                    batch.append(item)
                last = last or item is None
                if len(batch) >= self._batch_limit or self._queue.empty():
                    break
                item = self._queue.get()

    def _commit(self, begun: Begun) -> None:
        """The end of a transaction whose works were done in their loop."""
        self._end(begun.works)
        self._using.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            begun.loop.call_soon_threadsafe(begun.done, begun.works)

    def _transact(self, batch: Sequence[Waiting]) -> None:
        """One transaction for all; afterwards each has its result or its error."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for waiting in batch:
                self._do(waiting)
        except BaseException as error:
            self._undo(batch, error)
        else:
            self._end(batch)

    def _end(self, batch: Sequence[Waiting]) -> None:
        try:
            self._writer.execute("COMMIT")
        except BaseException as error:
            self._undo(batch, error)
        else:
            self.transactions += 1
            self.works += sum(waiting.error is None for waiting in batch)

    def _undo(self, batch: Sequence[Waiting], error: BaseException) -> None:
        reason = translate(self.path, error)
        for waiting in batch:
            waiting.error = waiting.error or reason
        with contextlib.suppress(apsw.Error):  # the writer lives on; the next BEGIN says what is left of the file
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def _do(self, waiting: Waiting) -> None:
        """One work in its savepoint. Raises only when SQLite gave up the whole transaction (a full disk does)."""
        self._writer.execute("SAVEPOINT work")
        try:
            waiting.result = waiting.work(self._writer)
            self._writer.execute("RELEASE work")
        except BaseException as error:
            waiting.error = translate(self.path, error)
            if not self._writer.in_transaction:
                raise
            self._writer.execute("ROLLBACK TO work")
            self._writer.execute("RELEASE work")


def _tell(batch: Sequence[Waiting]) -> None:
    """Wake the waiters: one call into each event loop, however many of its tasks wait."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
    for waiting in batch:
        if waiting.loop is None:
            waiting.settle()
        else:
            by_loop.setdefault(waiting.loop, []).append(waiting)
    for loop, mine in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle_all, mine)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _settle_all(batch: Sequence[Waiting]) -> None:
    for waiting in batch:
        waiting.settle()


def _open_writer(path: Path, schema: str) -> Connection:
    new = not path.exists()
    small = not new and path.stat().st_size <= CHECK_AT_OPEN_BYTES
    connection: Connection | None = None
    try:
        if new:  # for our own account alone; SQLite gives WAL and shared memory the same mode
            with contextlib.suppress(OSError):  # SQLite says what is wrong
                path.touch(mode=0o600)
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(BUSY_MS)
        _use_wal(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF", "secure_delete=FAST"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
        wrong = [row[0] for row in connection.execute("PRAGMA quick_check(3)") if row[0] != "ok"] if small else []
        if wrong:
            raise DatabaseDamaged(path, "; ".join(str(one) for one in wrong))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(schema)
        connection.execute("COMMIT")
    except BaseException as error:
        if connection is not None:
            connection.close(True)
        if isinstance(error, apsw.Error):
            raise translate(path, error) from error
        raise
    if new:
        durable.sync_folder(path.parent)
    return connection


def _use_wal(connection: Connection) -> None:
    """Several processes may open a new file at once: the change to WAL does not wait for a lock by itself."""
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except apsw.BusyError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def open_reader(path: Path) -> Connection:
    """A read-only connection to a database of any process. DatabaseError if it cannot be opened."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(BUSY_MS)
    except apsw.Error as error:
        raise translate(path, error) from error
    return connection


def rows(connection: Connection, path: Path, query: str, bindings: Any = ()) -> list[tuple[Any, ...]]:
    """All rows of a query; what SQLite says is told in our words."""
    try:
        return connection.execute(query, bindings).fetchall()
    except apsw.Error as error:
        raise translate(path, error) from error


def translate(path: Path, error: BaseException) -> BaseException:
    """The named exception for what SQLite said; anything else comes back as it is."""
    if isinstance(error, StopIteration):
        return RuntimeError("a work raised StopIteration")  # no future can carry it
    if isinstance(error, apsw.ConstraintError) or not isinstance(error, apsw.Error):
        return error
    named: type[DatabaseError] = DatabaseError
    if isinstance(error, apsw.FullError):
        named = DiskFull
    elif isinstance(error, apsw.CorruptError | apsw.NotADBError):
        named = DatabaseDamaged
    translated = named(path, str(error) or type(error).__name__)
    translated.__cause__ = error
    return translated
