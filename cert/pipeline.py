"""The pipeline, READ FIRST: enrich > match > store > correlate > triage > incident > notify, from the intake's journal.

Each step may be done again without harm: a crash or a store that is away repeats the batch, and nothing is twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from cert import deadletter, notify
from cert.attach import Attach
from cert.batch import journalled_event, read_batch
from cert.correlating import Correlating
from cert.deadletter import DeadLetter
from cert.enrich import enrich
from cert.incident import SYSTEM, Incident, change
from cert.match import Matched, Matching
from cert.store import Added, Stale, Store, StoreDown
from hudhud import codec, log
from hudhud.clock import Clock
from hudhud.database import Connection, Database
from hudhud.entity import Registry
from hudhud.event import Event, EventError
from hudhud.journal import Cursor, Record
from hudhud.settings import Intake

MAX_WAIT_S: Final = 10.0  # between tries while the store is away
FIRST_WAIT_S: Final = 0.2

_log = log.get(__name__)


class Journalled(Protocol):
    """Where records come from: the intake's journal."""

    def read(self, after: int, limit: int) -> Sequence[Record]: ...


class Knowledge(Protocol):
    """What is live: swapped whole by the program, taken once for a batch."""

    @property
    def matching(self) -> Matching: ...
    @property
    def registry(self) -> Registry: ...


@dataclass(slots=True)
class Progress:
    """What the pipeline has done since its start, and what it waits for ("" = nothing)."""

    events: int = 0
    known: int = 0
    dead: int = 0
    alerts: int = 0
    problem: str = ""
    rules: str = field(default="")


class Pipeline:
    """`dead` keeps what cannot become an event; `outbox` is where notices are laid."""

    def __init__(  # what it stands on, each once
        self,
        store: Store,
        knowledge: Knowledge,
        dead: Database,
        outbox: Path,
        clock: Clock,
        *,
        sender: str = notify.SENDER,
    ) -> None:
        self._store, self._knowledge, self._dead, self._outbox, self._clock = store, knowledge, dead, outbox, clock
        self._sender = sender
        self._attach = Attach(store, clock)
        self._correlating = Correlating(store, self._attach)
        self.progress = Progress()

    async def run(self, journal: Journalled, cursor: Cursor, stop: asyncio.Event, *, batch: int, poll_s: float) -> None:
        """Work until `stop`; while the store is away, wait and try the same batch again."""
        failures, mended = 0, False
        while not stop.is_set():
            try:
                if not mended:
                    await self._store.prepare()
                    await self._attach.mend()
                    mended = True
                records = await asyncio.to_thread(journal.read, cursor.position, batch)
                if records:
                    await self.work(records)
                    await asyncio.to_thread(cursor.advance, records[-1].sequence)
                failures, self.progress.problem = 0, ""
                if not records:
                    await _pause(stop, poll_s)
            except (StoreDown, Stale) as down:
                failures += 1
                if self.progress.problem != str(down):
                    _log.warning("the store is away, the journal keeps what comes", problem=str(down))
                self.progress.problem = str(down)
                await _pause(stop, wait_s(failures, random.random()))  # noqa: S311 - spreads tries, hides nothing

    async def work(self, records: Sequence[Record]) -> None:
        """One batch, the whole way."""
        knowledge = self._knowledge
        matching, registry = knowledge.matching, knowledge.registry
        read = await self._read(records, matching, registry)
        added = await self._store.add_events([event for event, _ in read])
        await self._bury_refused(added, records)
        refused = {one.id for one in added.refused}
        matched = [one for event, one in read if event.id not in refused]
        await self.judge(matched, matching, registry)
        self._count(added, matched)

    async def again(self, letter: DeadLetter, limits: Intake) -> bool:
        """Try a dead letter again, as the intake's line or its journal's; whether it became an event."""
        batch = read_batch(letter.source, letter.line, letter.at, limits)
        documents = batch.documents or (letter.line,)
        try:
            for document in documents:
                journalled_event(document)
        except (EventError, codec.CodecError):
            return False
        before = self.progress.dead
        await self.work([Record(letter.sequence, document) for document in documents])
        return self.progress.dead == before

    async def judge(self, matched: Sequence[Matched], matching: Matching, registry: Registry) -> None:
        """From matches to notices; the events are stored."""
        matches = [match for one in matched for match in one.matches]
        alerts = [one.alert for one in matched if one.alert is not None]
        if matches:
            await self._store.add_matches(matches)
            alerts += await self._correlating.results(matching.correlations, matches)
        if alerts:
            await self._store.add_alerts(alerts)
            for incident in await self._attach.attach(alerts):
                await self._notify(incident, registry)

    async def _read(
        self, records: Sequence[Record], matching: Matching, registry: Registry
    ) -> list[tuple[Event, Matched]]:
        """Each record enriched and matched. One that makes us fail is a dead letter too: it must not stop the rest."""
        read, dead = [], []
        for record in records:
            try:
                event = enrich(journalled_event(record.document), registry)
                read.append((event, matching.match(event)))
            except Exception as error:
                known = isinstance(error, EventError | codec.CodecError)
                reason = str(error) if known else f"a fault of the pipeline: {error!r}"
                if not known:
                    _log.exception("an event made the pipeline fail", sequence=record.sequence)
                dead.append(DeadLetter("intake", record.sequence, reason, record.document, self._clock.now()))
        await self._bury(dead)
        return read

    async def _bury_refused(self, added: Added, records: Sequence[Record]) -> None:
        if not added.refused:
            return
        why: Mapping[str, str] = {one.id: one.reason for one in added.refused}
        dead = []
        for record in records:
            row = codec.decode(record.document)
            reason = why.get(row["fields"]["event.id"])
            if reason is not None:
                dead.append(DeadLetter(row["source"], row["sequence"], reason, record.document, self._clock.now()))
        await self._bury(dead)

    async def _bury(self, dead: Sequence[DeadLetter]) -> None:
        if dead:
            self.progress.dead += await self._dead.commit(partial(_buried, dead))
            _log.warning("dead letters", events=len(dead), first=dead[0].reason)

    async def _notify(self, incident: Incident, registry: Registry) -> None:
        made = notify.notices(incident, registry, self._sender, self._clock.now())
        fresh = await asyncio.to_thread(notify.keep, self._outbox, made)
        if not fresh:
            return
        told = ", ".join(f"{one.entity} {one.to}" for one in fresh)
        try:
            await self._store.put_incident(change(incident, self._clock.now(), SYSTEM, ("notified", "", "", told)))
        except Stale:
            _log.info("notices are out, the timeline says so later", incident=incident.id, told=told)

    def _count(self, added: Added, matched: Sequence[Matched]) -> None:
        self.progress.events += added.stored
        self.progress.known += added.known
        self.progress.alerts += sum(one.alert is not None for one in matched)


def wait_s(failures: int, chance: float) -> float:
    """Seconds until the next try: doubling up to a cap, spread by `chance` in [0, 1). Pure."""
    return float(min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 16)) * (0.5 + 0.5 * chance))


def _buried(dead: Sequence[DeadLetter], connection: Connection) -> int:
    return deadletter.bury(connection, dead)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
