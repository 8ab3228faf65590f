"""The unpacking child starts whatever the worker's other threads are doing at that moment."""

import asyncio
import threading
from pathlib import Path

import uvloop

from hudhud.database import Database
from hudhud.settings import Content
from mail.content.opened import Job
from mail.content.sandbox import Sandbox

STARTS = 20


def test_a_child_starts_while_other_threads_are_inside_sqlite(tmp_path: Path) -> None:
    """A fork that runs Python in the copy waited for ever for a lock of SQLite (found by kills under load)."""
    database = Database(tmp_path / "busy.db", "create table if not exists t (x)")
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            database.commit_now(lambda c: c.execute("insert into t values (zeroblob(2000))"))
            database.read("select count(*), sum(length(x)) from t")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()

    async def start_many() -> None:
        for _ in range(STARTS):
            sandbox = Sandbox(Content())
            async with asyncio.timeout(20):
                opened = await sandbox.open(Job("rtf", "a.rtf", b"{\\rtf1", 10, 1000, 200, 5.0))
                assert opened is not None
                await sandbox.close()

    try:
        uvloop.run(start_many())
    finally:
        done.set()
        for thread in threads:
            thread.join()
        database.close()
