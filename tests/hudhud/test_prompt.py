"""Works in the loop's own thread: on disk when they return, grouped, and in nobody's way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hudhud import prompt
from hudhud.database import Connection, ConstraintError, Database, DatabaseClosed, DiskFull

SCHEMA = "CREATE TABLE IF NOT EXISTS thing(id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB)"


def insert(name: str, data: bytes = b"") -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute("INSERT INTO thing(name, data) VALUES (?, ?)", (name, data))
        return name

    return work


def names(database: Database) -> list[str]:
    return [row[0] for row in database.read("SELECT name FROM thing ORDER BY id")]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "things.db", SCHEMA)
    yield made
    made.close()


async def test_the_work_runs_in_the_loops_thread_and_a_reader_sees_it(database: Database) -> None:
    assert await database.commit_here(lambda _: threading.current_thread()) is threading.current_thread()
    assert await database.commit_here(insert("amal")) == "amal"
    assert names(database) == ["amal"]


async def test_what_one_turn_of_the_loop_brings_is_one_transaction(database: Database) -> None:
    wanted = [f"n{number}" for number in range(50)]
    assert await asyncio.gather(*(database.commit_here(insert(name)) for name in wanted)) == wanted
    assert (database.transactions, database.works) == (1, 50)
    assert names(database) == wanted


async def test_a_group_has_a_limit_and_the_rest_follows(database: Database) -> None:
    count = prompt.GROUP * 2 + 1
    await asyncio.gather(*(database.commit_here(insert(f"n{number}")) for number in range(count)))
    assert (database.transactions, len(names(database))) == (3, count)


async def test_a_patient_work_goes_with_another_or_after_a_moment_alone(database: Database) -> None:
    patient = asyncio.ensure_future(database.commit_here(insert("patient"), patient=True))
    await asyncio.sleep(0)
    await database.commit_here(insert("other"))
    assert await patient == "patient"
    assert database.transactions == 1
    await asyncio.wait_for(database.commit_here(insert("alone"), patient=True), 10)
    assert database.transactions == 2


async def test_a_work_that_fails_is_undone_alone_and_only_its_caller_hears_of_it(database: Database) -> None:
    def fails(connection: Connection) -> None:
        insert("half")(connection)
        raise KeyError("no")

    answers = await asyncio.gather(
        database.commit_here(insert("a")),
        database.commit_here(fails),
        database.commit_here(insert("a")),
        database.commit_here(insert("b")),
        return_exceptions=True,
    )
    assert answers[0] == "a"
    assert isinstance(answers[1], KeyError)
    assert isinstance(answers[2], ConstraintError)
    assert answers[3] == "b"
    assert names(database) == ["a", "b"]


async def test_a_full_disk_has_a_name_and_passes(database: Database) -> None:
    pages = database.commit_now(lambda c: c.execute("PRAGMA page_count").fetchall()[0][0])
    database.commit_now(lambda connection: connection.execute(f"PRAGMA max_page_count={pages}").fetchall())
    with pytest.raises(DiskFull):
        await database.commit_here(insert("large", bytes(100_000)))
    assert names(database) == []
    database.commit_now(lambda connection: connection.execute("PRAGMA max_page_count=100000").fetchall())
    assert await database.commit_here(insert("large", bytes(100_000))) == "large"


async def test_works_of_the_thread_and_of_the_loop_do_not_mix(database: Database) -> None:
    """Each kind in its own transactions, from two loops and two threads at once, nothing lost and nothing stuck."""

    def by_thread(which: int) -> None:
        for number in range(60):
            database.commit_now(insert(f"thread {which} {number}"))

    async def elsewhere() -> None:
        for number in range(60):
            await database.commit_here(insert(f"loop {number}"))

    async def here(which: int) -> None:
        for number in range(60):
            await (database.commit_here if number % 3 else database.commit)(insert(f"here {which} {number}"))

    await asyncio.wait_for(
        asyncio.gather(
            *(asyncio.to_thread(by_thread, which) for which in range(2)),
            asyncio.to_thread(asyncio.run, elsewhere()),
            *(here(which) for which in range(3)),
        ),
        50,
    )
    assert len(set(names(database))) == 6 * 60


async def test_a_cancelled_caller_whose_work_has_not_begun_leaves_nothing(database: Database) -> None:
    task = asyncio.ensure_future(database.commit_here(insert("gone"), patient=True))
    await asyncio.sleep(0)
    task.cancel()
    assert await database.commit_here(insert("there")) == "there"
    assert names(database) == ["there"]


async def test_after_close_everything_waiting_is_done_and_nothing_more_is_taken(tmp_path: Path) -> None:
    database = Database(tmp_path / "things.db", SCHEMA)
    waiting = [asyncio.ensure_future(database.commit_here(insert(name), patient=name == "p")) for name in "pabc"]
    await asyncio.sleep(0)
    database.close()
    assert sorted(await asyncio.gather(*waiting)) == ["a", "b", "c", "p"]
    with pytest.raises(DatabaseClosed):
        await database.commit_here(insert("late"))
    again = Database(tmp_path / "things.db", SCHEMA)
    assert sorted(names(again)) == ["a", "b", "c", "p"]
    again.close()


_WRITER = """
import asyncio, sys
from pathlib import Path
from hudhud.database import Database
async def main():
    database = Database(Path(sys.argv[1]), sys.argv[2])
    for number in range(100_000):
        await database.commit_here(lambda c: c.execute("INSERT INTO thing(name) VALUES (?)", (f"{number}",)) and None)
        print(number, flush=True)
asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "things.db"
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), SCHEMA], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    for line in child.stdout:
        if int(line) >= 60:
            break
    child.kill()
    said = [int(line) for line in child.stdout if line.endswith(b"\n")]
    child.wait()
    child.stderr.close()
    child.stdout.close()
    database = Database(path, SCHEMA)
    stored = {int(name) for name in names(database)}
    database.close()
    assert set(range((said or [60])[-1] + 1)) <= stored
