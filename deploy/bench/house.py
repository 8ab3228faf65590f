"""A throw-away lab for measuring the pipeline: intake and desk alone, and a source that ships to them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.programs import Program, state
from hudhud import journal, tls
from hudhud.cli import Exit, Problem
from hudhud.clock import SYSTEM
from hudhud.database import Database, open_reader
from hudhud.journal import Cursor, Journal
from hudhud.settings import Settings
from hudhud.ship import Shipper

SOURCE = "sensor:bench"
PUT = 2000  # documents in one transaction of the source's journal


@dataclass(slots=True)
class PipelineLab:
    """Intake and desk of a lab."""

    data: Path
    settings: Settings
    intake: Program
    desk: Program

    @property
    def pids(self) -> list[int]:
        found = (state(program.run_file).get("pid") for program in (self.intake, self.desk))
        return [pid for pid in found if isinstance(pid, int)]

    def behind(self) -> int:
        """How many of the events that the intake has taken the desk is not through with."""
        connection = open_reader(self.settings.path("intake", "journal.db"))
        try:
            done = Cursor(self.settings.path("desk", "intake.cursor")).position
            [(waiting,)] = connection.execute("SELECT count(*) FROM journal WHERE sequence > ?", (done,)).fetchall()
        finally:
            connection.close()
        assert isinstance(waiting, int)
        return waiting

    async def through(self, source: Source, last: int, within: float) -> float:
        """The monotonic moment at which all up to `last` was shipped and worked on; Problem where it takes longer."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while source.shipped < last or self.behind():
            if loop.time() > until:
                raise Problem(f"after {within:.0f} s the desk is {self.behind()} events behind", Exit.NO)
            await asyncio.sleep(0.02)
        return loop.time()


@contextlib.asynccontextmanager
async def pipelining(data: Path, settings: Settings, *, core: int | None = None) -> AsyncIterator[PipelineLab]:
    """Intake and desk until the end of the block, both on one core where `core` is given."""
    path = str(data / "hudhud.toml")
    programs = [Program(name, (name, "--config", path), data) for name in ("intake", "desk")]
    try:
        with _pinned(core):
            for program in programs:
                await program.start(asyncio.Event())
        yield PipelineLab(data, settings, *programs)
    finally:
        for program in reversed(programs):
            await program.stop()


@contextlib.contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    """Processes that are started in the block stay on that core."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Source:
    """A source with a journal of its own, shipped as sensors and relays do."""

    def __init__(self, data: Path, settings: Settings, name: str = SOURCE) -> None:
        folder = data / "source"
        self.database = Database(folder / "journal.db", journal.SCHEMA)
        self.journal = Journal(self.database, name)
        context = tls.client_context(
            data / "tls" / "ca.pem", cert=data / "tls" / "sensor.pem", key=data / "tls" / "sensor.key"
        )
        self.cursor = Cursor(folder / "cursor")
        self.shipper = Shipper([self.journal], [self.cursor], settings.intake.url, context, None, SYSTEM)

    @property
    def shipped(self) -> int:
        """The last sequence that the intake has acknowledged."""
        return self.cursor.position

    async def write(self, documents: Iterable[bytes]) -> int:
        """Lay documents into the journal; the last sequence."""
        last, batch = 0, list[bytes]()
        for document in documents:
            batch.append(document)
            if len(batch) == PUT:
                last, batch = await self.journal.write(batch), []
        return await self.journal.write(batch) if batch else last

    @contextlib.asynccontextmanager
    async def shipping(self) -> AsyncIterator[None]:
        """Ship what is and comes into the journal, as long as the block lasts."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.shipper.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    def close(self) -> None:
        self.database.close()
