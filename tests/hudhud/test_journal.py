"""Events in order, once, past kills, trims and lost files."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hudhud import journal
from hudhud.database import Connection, Database
from hudhud.journal import Cursor, Journal, Record


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Journal]:
    database = Database(tmp_path / "journal.db", journal.SCHEMA)
    yield Journal(database, "node-1/relay")
    database.close()


async def test_what_is_written_is_read_in_order(kept: Journal) -> None:
    first = await kept.write([b'{"n":1}', b'{"n":2}'])
    second = kept.write_now([b'{"n":3}'])
    assert second > first
    assert [record.document for record in kept.read(0, 10)] == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
    assert kept.read(first, 10) == [Record(second, b'{"n":3}')]
    assert len(kept.read(0, 2)) == 2
    assert kept.read(second, 10) == []
    assert kept.size() == (3, 21)


async def test_writing_nothing_is_no_error(kept: Journal) -> None:
    assert await kept.write([]) == 0


async def test_many_writers_give_one_order_without_a_loss(kept: Journal) -> None:
    await asyncio.gather(*(kept.write([b"%d" % n]) for n in range(2500)))
    records = kept.read(0, 10_000)
    assert [record.sequence for record in records] == sorted({record.sequence for record in records})
    assert sorted(int(record.document) for record in records) == list(range(2500))


def test_an_event_is_in_the_journal_only_if_its_owners_transaction_is(tmp_path: Path) -> None:
    database = Database(tmp_path / "spool.db", journal.SCHEMA + "CREATE TABLE IF NOT EXISTS message(id TEXT UNIQUE);")
    kept = Journal(database, "s")

    def accept(connection: Connection) -> int:
        last = journal.append(connection, [b'{"event":"accepted"}'])
        connection.execute("INSERT INTO message VALUES ('0-7H3K')")
        return last

    sequence = database.commit_now(accept)
    assert kept.read(0, 10) == [Record(sequence, b'{"event":"accepted"}')]
    with pytest.raises(Exception, match="UNIQUE"):
        database.commit_now(accept)
    assert kept.size() == (1, 20)
    database.close()


def test_trimming_forgets_up_to_a_sequence_and_the_numbers_go_on(kept: Journal) -> None:
    kept.write_now([b"x" * (n % 7) for n in range(12_000)])
    records = kept.read(0, 20_000)
    kept.trim(records[11_989].sequence)
    assert kept.read(0, 100) == records[11_990:]
    assert kept.size() == (10, sum(n % 7 for n in range(11_990, 12_000)))
    kept.trim(records[-1].sequence)
    assert kept.size() == (0, 0)
    assert kept.write_now([b"next"]) > records[-1].sequence


def test_a_sequence_is_never_given_twice_even_when_the_file_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    last = 0
    for life in range(3):
        database = Database(path, journal.SCHEMA)
        kept = Journal(database, "s")
        kept.write_now([b"%d" % life] * 5)
        sequences = [record.sequence for record in kept.read(0, 10)]
        database.close()
        assert min(sequences) > last
        last = max(sequences)
        for file in tmp_path.iterdir():
            file.unlink()
        time.sleep(0.002)


def test_one_read_returns_no_more_bytes_than_its_cap_but_always_one(kept: Journal) -> None:
    third = journal.READ_BYTES // 3
    kept.write_now([b"x" * third] * 5 + [b"x" * (journal.READ_BYTES + 1)])
    assert [len(record.document) for record in kept.read(0, 100)] == [third] * 3
    before_the_largest = kept.read(0, 1)[0].sequence + 4
    assert [len(record.document) for record in kept.read(before_the_largest, 100)] == [journal.READ_BYTES + 1]


def test_another_process_reads_while_it_is_written_before_it_exists_and_after_it_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    reader = journal.open_readonly(path, "s")
    assert reader.source == "s"
    assert reader.read(0, 10) == []
    other = Database(path, "CREATE TABLE IF NOT EXISTS thing(id)")
    assert reader.read(0, 10) == []
    other.close()
    for life in (b"first", b"second"):
        database = Database(path, journal.SCHEMA)
        kept = Journal(database, "s")
        assert reader.read(0, 10) == []
        kept.write_now([life])
        assert [record.document for record in reader.read(0, 10)] == [life]
        database.close()
        for file in tmp_path.glob("journal.db*"):
            file.unlink()
    reader.close()


def test_a_reader_works_from_several_threads(kept: Journal, tmp_path: Path) -> None:
    kept.write_now([b"x"] * 100)
    reader = journal.open_readonly(tmp_path / "journal.db", "s")
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(len(reader.read(0, 1000)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [100] * 8
    reader.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from hudhud import journal
from hudhud.database import Database
kept = journal.Journal(Database(Path(sys.argv[1]), journal.SCHEMA), "s")
async def one(writer):
    n = 0
    while True:
        n += 1
        sequence = await kept.write([b"%d.%d" % (writer, n)])
        sys.stdout.write(f"{sequence} {writer}.{n}\\n"); sys.stdout.flush()
async def main():
    await asyncio.gather(*(one(w) for w in range(20)))
asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9_and_a_reader_never_saw_more_than_stays(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(0.2)
        reader = journal.open_readonly(path, "s")
        seen = reader.read(0, 100_000)
        writer.send_signal(signal.SIGKILL)
        acknowledged = [line.split(" ") for line in (first + writer.stdout.read()).decode().split("\n")[:-1]]
        writer.wait()
        writer.stdout.close()
        stored = {record.sequence: record.document.decode() for record in reader.read(0, 100_000)}
        reader.close()
        assert len(acknowledged) > 20
        assert all(stored.get(int(sequence)) == document for sequence, document in acknowledged)
        assert all(stored.get(record.sequence) == record.document.decode() for record in seen)


def test_a_cursor_keeps_its_place_across_restarts(tmp_path: Path) -> None:
    path = tmp_path / "run" / "ship.cursor"
    cursor = Cursor(path)
    assert cursor.position == 0
    cursor.advance(5)
    cursor.advance(5)
    cursor.advance(1_795_476_477_842_001)
    assert Cursor(path).position == 1_795_476_477_842_001
    assert list(path.parent.iterdir()) == [path]


def test_a_cursor_never_goes_back(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path / "c")
    cursor.advance(7)
    with pytest.raises(ValueError, match="cannot go back"):
        cursor.advance(6)
    assert cursor.position == Cursor(tmp_path / "c").position == 7


@pytest.mark.parametrize("content", [b"", b"-3", b"12x", b"\xff\xfe", "٣".encode()])
def test_an_unreadable_cursor_starts_from_the_beginning(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    assert Cursor(tmp_path / "c").position == 0
