"""The embedded store: events in a file a day, everything else in one file. Implements cert.store.Store on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final, Literal, ParamSpec, TypeVar

from cert import sqlite_alerts, sqlite_incidents
from cert.fields import shape
from cert.incident import Change, Entry, Incident, Status
from cert.query import parse, resolve
from cert.sqlite_alerts import Alerts
from cert.sqlite_events import EventFiles
from cert.sqlite_incidents import Incidents
from cert.store import (
    Added,
    Alert,
    AlertQuery,
    AlertSummary,
    Bucket,
    IncidentQuery,
    Match,
    Page,
    Query,
    Refused,
    Results,
    Sighting,
    StoreDown,
)
from hudhud.clock import Clock
from hudhud.database import Database, DatabaseClosed, DatabaseDamaged, DatabaseError
from hudhud.event import Event, EventError

P = ParamSpec("P")
T = TypeVar("T")

STEPS: Final[Mapping[str, timedelta]] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
READING: Final = 2  # threads that search
MAX_HOPS: Final = 100  # redirects that are followed


def _told(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """What SQLite says, in the store's words: a full disk or a lock that lasts is StoreDown, a damaged file is not."""

    @wraps(method)
    async def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except (DatabaseDamaged, DatabaseClosed):
            raise
        except DatabaseError as error:
            raise StoreDown(str(error)) from error

    return telling


class SqliteStore:
    """Opens `folder` for reading and writing; several processes may do so at once."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._events = EventFiles(folder)
        self._database = Database(folder / "incidents.db", sqlite_alerts.SCHEMA + sqlite_incidents.SCHEMA)
        self._alerts, self._incidents = Alerts(self._database), Incidents(self._database)
        self._threads = ThreadPoolExecutor(READING, "search")

    async def prepare(self) -> None:
        """Nothing: files are made when they are first written."""

    async def close(self) -> None:
        self._threads.shutdown()
        self._events.close()
        self._database.close()

    async def health(self) -> str:
        wrong = await self._in_thread(self._database.check)
        return f"incidents.db is damaged: {wrong[0]}" if wrong else ""

    @_told
    async def add_events(self, events: Sequence[Event]) -> Added:
        shaped, refused = [], []
        for event in events:
            try:
                shaped.append(shape(event))
            except EventError as error:
                refused.append(Refused(event.id, str(error)))
        added = await self._events.add(shaped, self._clock.now())
        return Added(added.stored, added.known, (*refused, *added.refused))

    async def settle(self) -> None:
        """Nothing: what was added is searchable."""

    @_told
    async def event(self, id: str) -> Event | None:
        return await self._in_thread(self._events.find, id)

    @_told
    async def search(self, query: Query) -> Page[Event]:
        return await self._in_thread(self._events.search, parse(query.text, self._clock.now()), query)

    @_told
    async def counts(self, query: Query, field: str, limit: int = 20) -> tuple[Bucket, ...]:
        node = parse(query.text, self._clock.now())
        return await self._in_thread(self._events.counts, node, query, resolve(field), limit)

    @_told
    async def histogram(self, query: Query, step: Literal["minute", "hour", "day"]) -> tuple[Bucket, ...]:
        node = parse(query.text, self._clock.now())
        return await self._in_thread(self._events.histogram, node, query, STEPS[step])

    @_told
    async def add_matches(self, matches: Sequence[Match]) -> Added:
        return await self._alerts.add_matches(matches)

    @_told
    async def sightings(self, rule: str, key: str, start: datetime, end: datetime) -> tuple[Sighting, ...]:
        return self._alerts.sightings(rule, key, start, end)

    @_told
    async def add_alerts(self, alerts: Sequence[Alert]) -> Added:
        return await self._alerts.add_alerts(alerts)

    @_told
    async def assignments(self, alerts: Sequence[Alert]) -> Mapping[str, str]:
        return self._alerts.assignments(alerts)

    @_told
    async def withdraw_alerts(self, alerts: Sequence[Alert]) -> None:
        await self._alerts.withdraw_alerts(alerts)

    @_told
    async def assign_alerts(self, alerts: Sequence[Alert], incident: str) -> None:
        await self._alerts.assign_alerts(alerts, incident)

    @_told
    async def alerts(self, query: AlertQuery) -> Page[Alert]:
        return self._alerts.alerts(query)

    @_told
    async def summary(self, incidents: Sequence[str]) -> AlertSummary:
        return self._alerts.summary(incidents)

    @_told
    async def results(self, rule: str, key: str) -> Results:
        return self._alerts.results(rule, key)

    @_told
    async def put_results(self, results: Sequence[Results]) -> None:
        await self._alerts.put_results(results)

    @_told
    async def incident(self, id: str) -> Incident | None:
        return self._incidents.incident(id)

    @_told
    async def current(self, id: str) -> Incident | None:
        found = self._incidents.incident(id)
        for _ in range(MAX_HOPS):
            if found is None or not found.redirect:
                break
            found = self._incidents.incident(found.redirect)
        return found

    @_told
    async def incidents(self, query: IncidentQuery) -> Page[Incident]:
        return self._incidents.incidents(query)

    @_told
    async def status_counts(self, entity: str | None = None) -> Mapping[Status, int]:
        return self._incidents.status_counts(entity)

    @_told
    async def put_incident(self, change: Change) -> Incident:
        return await self._incidents.put_incident(change)

    @_told
    async def timeline(self, incident: str, limit: int = 1000) -> tuple[Entry, ...]:
        return self._incidents.timeline(incident, limit)

    @_told
    async def drop_before(self, day: datetime) -> int:
        await self._alerts.drop_before(day)
        return await self._in_thread(self._events.drop_before, day)

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))
