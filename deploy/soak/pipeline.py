"""Kills intake and desk at random points under load: what was sent is stored once or a dead letter, and nothing else.

Afterwards the same documents go through a pipeline that nobody disturbs: alerts and incidents must be the same ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from cert import deadletter
from cert.opening import open_store
from cert.store import AlertQuery, Query, Store
from deploy.bench import events, lab
from deploy.bench.house import SOURCE, PipelineLab, Source, pipelining
from deploy.programs import Program, state
from deploy.soak.restart import compiled
from deploy.soak.tally import Line
from hudhud.cli import progress
from hudhud.event import event_id
from hudhud.settings import Settings

RATE = 300  # documents a second
EVERY_S = 0.1
BROKEN_OF = 50  # one document in so many cannot become an event
PAUSE_S = 1.2  # the longest before a kill
DONE_S = 300.0
READ = 10_000  # records of the source's journal at once
WHAT = ("intake", "desk", "desk", "both")
BROKEN = (
    b'{"event":{"dataset":"hudhud.flow"}}',
    b'{"@timestamp":"yesterday"}',
    b'{"@timestamp":["2026-08-01T08:00:00Z"]}',
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is in the store and the dead-letter lists. Events are named by their place among the documents."""

    sent: int
    stored: int
    dead: int
    alerts: frozenset[int]
    incidents: frozenset[frozenset[int]]


async def kill_pipeline(folder: Path, points: int, seed: int) -> list[Line]:
    """Two labs in `folder`, `points` kills in the first; the lines of the table."""
    dice = random.Random(seed)  # noqa: S311 - the same kills for the same seed
    begin = datetime.now(UTC)
    async with compiled(folder):
        counted = dict.fromkeys(WHAT, 0)
        async with _lab(folder / "disturbed") as (running, source, store):
            async with source.shipping(), _written(source, seed, begin):
                await _kill(running, points, dice, counted)
            disturbed = await _settled(running, source, store)
        async with _lab(folder / "undisturbed") as (running, source, store):
            await source.write(islice(_documents(seed, begin), disturbed.sent))
            calm = await _settled(running, source, store)
    return _lines(counted, disturbed, calm)


def _lines(counted: Mapping[str, int], disturbed: Outcome, calm: Outcome) -> list[Line]:
    broken = sum(number % BROKEN_OF == 0 for number in range(disturbed.sent))
    one = disturbed
    missing, more = calm.alerts - one.alerts, one.alerts - calm.alerts
    what = ", ".join(f"{number} {name}" for name, number in counted.items())
    incidents = f"{len(one.incidents & calm.incidents)} of {len(calm.incidents)}"
    return [
        Line("kills of the pipeline", f"{sum(counted.values())}: {what}"),
        Line("events sent", f"{one.sent:,}"),
        Line("stored + dead letters", f"{one.stored:,} + {one.dead:,}", one.stored + one.dead == one.sent),
        Line("dead letters for what is no event", f"{one.dead:,} of {broken:,}", one.dead == broken),
        Line("alerts missing, too many", f"{len(missing)}, {len(more)} of {len(calm.alerts):,}", not missing | more),
        Line("incidents as undisturbed", incidents, one.incidents == calm.incidents),
    ]


@contextlib.asynccontextmanager
async def _lab(folder: Path) -> AsyncIterator[tuple[PipelineLab, Source, Store]]:
    settings = lab.make(folder, changes={"node": {"log_level": "error"}})
    async with pipelining(folder, settings) as running:
        source, store = Source(folder, settings), open_store(settings)
        try:
            yield running, source, store
        finally:
            await store.close()
            source.close()


def _documents(seed: int, begin: datetime) -> Iterator[bytes]:
    """Without end: ordinary events, mail that a rule held among them, and some that are none."""
    made = events.documents(1 << 40, begin, seed=seed)
    for number, document in enumerate(made):
        yield BROKEN[number // BROKEN_OF % len(BROKEN)] if number % BROKEN_OF == 0 else document


@contextlib.asynccontextmanager
async def _written(source: Source, seed: int, begin: datetime) -> AsyncIterator[None]:
    """Documents come into the journal, as long as the block lasts."""
    documents, stop = _documents(seed, begin), asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            await source.write(islice(documents, int(RATE * EVERY_S)))
            await asyncio.sleep(EVERY_S)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        stop.set()
        await task


async def _kill(running: PipelineLab, points: int, dice: random.Random, counted: dict[str, int]) -> None:
    with progress("kills", points) as bar:
        for _ in range(points):
            await asyncio.sleep(dice.uniform(0, PAUSE_S))
            what = dice.choice(WHAT)
            both = (running.intake, running.desk)
            victims = both if what == "both" else [one for one in both if one.name == what]
            for program in victims:
                _strike(program)
            for program in victims:
                await program.start(asyncio.Event())
            counted[what] += 1
            bar.advance(1, what)


def _strike(program: Program) -> None:
    pid = state(program.run_file).get("pid")
    if isinstance(pid, int):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def _settled(running: PipelineLab, source: Source, store: Store) -> Outcome:
    """When all is shipped and worked on: what came of it."""
    sequences: list[int] = []
    while records := source.journal.read(sequences[-1] if sequences else 0, READ):
        sequences += [record.sequence for record in records]
    async with source.shipping():
        await running.through(source, sequences[-1], DONE_S)
    await store.settle()
    places = {event_id(SOURCE, sequence): place for place, sequence in enumerate(sequences)}
    stored = sum(bucket.count for bucket in await store.counts(Query(), "event.dataset", 1000))
    alerts, incidents = await _alerts(store, places)
    return Outcome(len(sequences), stored, _dead(running.settings), alerts, incidents)


async def _alerts(store: Store, places: Mapping[str, int]) -> tuple[frozenset[int], frozenset[frozenset[int]]]:
    seen: dict[str, set[int]] = {}
    after = ""
    while True:
        page = await store.alerts(AlertQuery(limit=1000, after=after))
        for alert in page.found:
            if alert.event:
                current = await store.current(alert.incident) if alert.incident else None
                seen.setdefault(current.id if current else "", set()).add(places.get(alert.event, -1))
        after = page.after
        if not after:
            break
    return frozenset(place for found in seen.values() for place in found), frozenset(map(frozenset, seen.values()))


def _dead(settings: Settings) -> int:
    """Dead letters of intake and desk."""
    paths: Sequence[Path] = (settings.path("intake", "journal.db"), settings.path("desk", "deadletters.db"))
    return sum(len(deadletter.listed(path, limit=1 << 30)) for path in paths)
