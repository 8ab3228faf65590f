"""Threads that were begun abroad, read over the shards of all workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hudhud.database import Database
from mail.threads import SCHEMA, SpoolThreads, forget, remember

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
