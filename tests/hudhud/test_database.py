"""One writer, group commit: what returned is on disk, what fails fails alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hudhud.database import (
    Connection,
    ConstraintError,
    Database,
    DatabaseClosed,
    DatabaseDamaged,
    DatabaseError,
    DiskFull,
)

SCHEMA = "CREATE TABLE IF NOT EXISTS thing(id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB)"


def insert(name: str, data: bytes = b"") -> object:
    return lambda connection: connection.execute("INSERT INTO thing(name, data) VALUES (?, ?)", (name, data)) and name


def names(database: Database) -> list[str]:
    return [row[0] for row in database.read("SELECT name FROM thing ORDER BY id")]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "folder" / "things.db", SCHEMA)
    yield made
    made.close()


def test_the_file_is_in_wal_mode_and_every_commit_is_forced_to_disk(database: Database) -> None:
    assert database.read("PRAGMA journal_mode") == [("wal",)]
    assert database.commit_now(lambda connection: connection.execute("PRAGMA synchronous").fetchall()) == [(2,)]


async def test_commit_returns_the_value_of_the_work_and_a_reader_sees_it(database: Database) -> None:
    assert await database.commit(insert("amal")) == "amal"
    assert names(database) == ["amal"]
    reader = database.reader()
    try:
        assert reader.execute("SELECT count(*) FROM thing").fetchall() == [(1,)]
    finally:
        reader.close()


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DatabaseError, match="readonly"):
        database.read("INSERT INTO thing(name) VALUES ('x') RETURNING id")


async def test_whatever_waits_becomes_one_transaction(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(_connection: Connection) -> None:
        begun.set()
        assert go_on.wait(10)

    first = asyncio.create_task(database.commit(slow))
    await asyncio.to_thread(begun.wait, 10)
    waiting = [asyncio.create_task(database.commit(insert(f"n{n}"))) for n in range(300)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, *waiting)
    assert database.transactions == 2
    assert database.works == 301
    assert names(database) == [f"n{n}" for n in range(300)]


async def test_a_batch_has_a_limit(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", SCHEMA, batch_limit=10)
    await asyncio.gather(*(database.commit(insert(f"n{n}")) for n in range(95)))
    assert database.transactions >= 10
    database.close()


async def test_a_work_that_fails_is_undone_alone_and_only_its_caller_hears_of_it(database: Database) -> None:
    def half(connection: Connection) -> None:
        connection.execute("INSERT INTO thing(name) VALUES ('half')")
        raise LookupError("in the middle")

    outcomes = await asyncio.gather(
        database.commit(insert("before")),
        database.commit(half),
        database.commit(insert("after")),
        return_exceptions=True,
    )
    assert outcomes[0] == "before"
    assert isinstance(outcomes[1], LookupError)
    assert outcomes[2] == "after"
    assert names(database) == ["before", "after"]


async def test_a_broken_constraint_and_bad_sql_have_names(database: Database) -> None:
    await database.commit(insert("amal"))
    with pytest.raises(ConstraintError):
        await database.commit(insert("amal"))
    with pytest.raises(DatabaseError, match="no such table"):
        await database.commit(lambda connection: connection.execute("INSERT INTO absent VALUES (1)"))


@pytest.mark.parametrize("raised", [SystemExit(3), StopIteration(), KeyboardInterrupt()])
def test_nothing_a_work_raises_stops_the_writer(database: Database, raised: BaseException) -> None:
    def bad(_connection: Connection) -> None:
        raise raised

    with pytest.raises((SystemExit, KeyboardInterrupt, RuntimeError)):
        database.commit_now(bad)
    assert database.commit_now(insert("still here")) == "still here"


def test_a_work_that_ends_the_transaction_itself_is_told_and_the_writer_goes_on(database: Database) -> None:
    with pytest.raises(DatabaseError):
        database.commit_now(lambda connection: connection.execute("ROLLBACK"))
    assert database.commit_now(insert("next")) == "next"
    assert names(database) == ["next"]


def test_commit_now_inside_a_work_is_an_error_and_no_dead_lock(database: Database) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        database.commit_now(lambda _connection: database.commit_now(insert("x")))


async def test_a_cancelled_caller_whose_work_has_not_begun_leaves_nothing(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(_connection: Connection) -> None:
        begun.set()
        assert go_on.wait(10)

    first = asyncio.create_task(database.commit(slow))
    await asyncio.to_thread(begun.wait, 10)
    cancelled = asyncio.create_task(database.commit(insert("never")))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    kept = asyncio.create_task(database.commit(insert("kept")))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, kept)
    assert names(database) == ["kept"]


def test_a_full_disk_has_a_name_stores_nothing_and_passes(database: Database) -> None:
    database.commit_now(insert("small"))
    [(pages,)] = database.read("PRAGMA page_count")
    database.commit_now(lambda connection: connection.execute(f"PRAGMA max_page_count={pages + 3}").fetchall())
    with pytest.raises(DiskFull) as caught:
        database.commit_now(insert("large", os.urandom(1_000_000)))
    assert caught.value.path == database.path
    assert names(database) == ["small"]
    database.commit_now(lambda connection: connection.execute("PRAGMA max_page_count=1000000").fetchall())
    database.commit_now(insert("large", os.urandom(1_000_000)))
    assert names(database) == ["small", "large"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_really_full_disk_has_a_name_and_passes(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        database = Database(disk / "a.db", SCHEMA)
        database.commit_now(insert("small"))
        (disk / "filler").write_bytes(b"\0" * 1_500_000)
        with pytest.raises(DiskFull):
            database.commit_now(insert("large", os.urandom(1_000_000)))
        (disk / "filler").unlink()
        database.commit_now(insert("later"))
        assert names(database) == ["small", "later"]
        assert database.check() == []
        database.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"This was written by something else entirely. " * 500)
    with pytest.raises(DatabaseDamaged) as caught:
        Database(path, SCHEMA)
    assert caught.value.path == path
    assert path.read_bytes().startswith(b"This was written")


def test_a_file_with_a_torn_page_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = Database(path, SCHEMA)
    for n in range(200):
        database.commit_now(insert(f"n{n}", os.urandom(500)))
    database.close()
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 4 * 4096] = os.urandom(4096)
    path.write_bytes(data)
    with pytest.raises(DatabaseDamaged):
        Database(path, SCHEMA)


def test_a_file_cut_short_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = Database(path, SCHEMA)
    database.commit_now(insert("large", os.urandom(200_000)))
    database.close()
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(DatabaseDamaged):
        Database(path, SCHEMA)


def test_opening_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.db").mkdir()
    with pytest.raises(DatabaseError, match="unable to open"):
        Database(tmp_path / "a.db", SCHEMA)


async def test_after_close_everything_waiting_is_done_and_nothing_more_is_taken(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", SCHEMA)
    works = [asyncio.create_task(database.commit(insert(f"n{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.to_thread(database.close)
    assert await asyncio.gather(*works) == [f"n{n}" for n in range(50)]
    with pytest.raises(DatabaseClosed):
        await database.commit(insert("late"))
    with pytest.raises(DatabaseClosed):
        database.read("SELECT 1")
    database.close()


def test_many_threads_read_while_one_writes(database: Database) -> None:
    wrong: list[str] = []
    done = threading.Event()

    def watch() -> None:
        seen = 0
        while not done.is_set():
            [(count,)] = database.read("SELECT count(*) FROM thing")
            if count < seen or count % 10:
                wrong.append(f"{count} after {seen}")
            seen = count

    threads = [threading.Thread(target=watch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(30):
        database.commit_now(
            lambda c, n=n: c.executemany("INSERT INTO thing(name) VALUES (?)", [(f"{n}.{i}",) for i in range(10)])
        )
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


WRITER = """
import sys, threading
from pathlib import Path
from hudhud.database import Database
database = Database(Path(sys.argv[1]), sys.argv[2])
def write(writer):
    for n in range(10**9):
        name = f"{sys.argv[3]}.{writer}.{n}"
        database.commit_now(lambda c: c.execute("INSERT INTO thing(name) VALUES (?)", (name,)).fetchall())
        if len(sys.argv) > 4 and n == int(sys.argv[4]): return
        sys.stdout.write(name + "\\n"); sys.stdout.flush()
threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for life in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path, SCHEMA, str(life)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(0.3)
        writer.send_signal(signal.SIGKILL)
        acknowledged = (first + writer.stdout.read()).decode().split("\n")[:-1]
        writer.wait()
        writer.stdout.close()
        database = Database(path, SCHEMA)
        stored = set(names(database))
        database.close()
        assert len(acknowledged) > 10
        assert [name for name in acknowledged if name not in stored] == []


def test_several_processes_may_open_and_write_the_same_new_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, SCHEMA, str(n), "50"], stdout=subprocess.DEVNULL)
        for n in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    database = Database(path, SCHEMA)
    assert database.read("SELECT count(*) FROM thing") == [(3 * 4 * 51,)]
    assert database.check() == []
    database.close()


def test_a_database_is_for_our_own_account_alone(tmp_path: Path) -> None:
    path = tmp_path / "private.db"
    database = Database(path, SCHEMA)
    database.commit_now(insert("a"))
    modes = {file.name: file.stat().st_mode & 0o077 for file in tmp_path.iterdir()}
    database.close()
    assert len(modes) == 3
    assert set(modes.values()) == {0}
