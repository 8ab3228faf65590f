"""Threads that were begun abroad, read over the shards of all workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hudhud.database import Database
from mail.threads import SCHEMA, SpoolThreads, arrived, forget, pass_over, remember

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
ROW = ("amal@finance.saba.example", "noor@freemail.example", "m1@freemail.example")


def test_a_thread_in_any_shard_is_found_until_its_days_are_over(tmp_path: Path) -> None:
    threads = SpoolThreads(tmp_path)
    mine, since = ("amal@finance.saba.example", "diwan@finance.saba.example"), NOW - timedelta(days=30)
    assert not threads.began(mine, "noor@freemail.example", since)
    databases = [Database(tmp_path / f"shard-{n}.db", SCHEMA) for n in (0, 1)]
    databases[1].commit_now(lambda c: remember(c, [ROW, ROW], NOW - timedelta(days=30)))
    assert threads.began(mine, "noor@freemail.example", since)
    assert not threads.began(mine, "noor@freemail.example", since + timedelta(seconds=1))
    assert not threads.began(mine, "other@freemail.example", since)
    assert not threads.began(("salim@interior.saba.example",), "noor@freemail.example", since)
    assert threads.answers(mine, "noor@freemail.example", ["x@y", "m1@freemail.example"], since)
    assert not threads.answers(mine, "noor@freemail.example", ["x@y"], since)
    assert not threads.answers(mine, "noor@freemail.example", [], since)
    databases[1].commit_now(lambda c: forget(c, NOW))
    assert not threads.began(mine, "noor@freemail.example", since)
    threads.close()
    for database in databases:
        database.close()


def test_what_came_in_by_any_shard_is_known_again_until_its_days_are_over(tmp_path: Path) -> None:
    threads, since = SpoolThreads(tmp_path), NOW - timedelta(days=7)
    databases = [Database(tmp_path / f"shard-{n}.db", SCHEMA) for n in (0, 1)]
    old = [b"%016d" % n for n in range(30)]
    databases[0].commit_now(lambda c: arrived(c, old, ["x@y.example"], since - timedelta(seconds=1)))
    databases[0].commit_now(lambda c: arrived(c, [b"a" * 16], ["n@freemail.example"], since))
    databases[1].commit_now(lambda c: arrived(c, [b"a" * 16, b"b" * 16], ["s@saba.example", "t@saba.example"], NOW))
    assert threads.came([b"a" * 16, b"c" * 16, old[0]], since) == {
        b"a" * 16: ("n@freemail.example", "s@saba.example", "t@saba.example")
    }
    assert threads.came([], since) == {}
    gone = [databases[0].commit_now(lambda c: pass_over(c, since, 20)) for _ in range(3)]
    assert gone == [20, 10, 0]
    assert threads.came([b"a" * 16, old[0]], NOW - timedelta(days=99)).keys() == {b"a" * 16}
    threads.close()
    for database in databases:
        database.close()


def test_a_shard_of_before_knows_no_arrivals(tmp_path: Path) -> None:
    database = Database(tmp_path / "shard-0.db", SCHEMA.partition("create table if not exists arrivals")[0])
    threads = SpoolThreads(tmp_path)
    assert threads.came([b"a" * 16], NOW) == {}
    threads.close()
    database.close()
