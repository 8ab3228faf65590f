"""The distributed store. Implements cert.store.Store on an Elasticsearch 9 cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from cert import elastic_mapping as mapping
from cert.cluster import Cluster
from cert.elastic_alerts import AlertIndices
from cert.elastic_events import EventIndices, drop_days
from cert.elastic_incidents import IncidentIndices
from cert.fields import shape
from cert.incident import Change, Entry, Incident, Status
from cert.query import parse, resolve
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
)
from hudhud.clock import Clock
from hudhud.event import Event, EventError

DAILY: Final = {"events": mapping.events, "matches": mapping.matches, "alerts": mapping.alerts}
SINGLE: Final = {"results": mapping.results, "incidents": mapping.incidents, "timeline": mapping.timeline}
MAX_HOPS: Final = 100  # redirects that are followed


class ElasticStore:
    """`cluster` is closed with it."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock
        self._events = EventIndices(cluster)
        self._alerts = AlertIndices(cluster)
        self._incidents = IncidentIndices(cluster)

    async def prepare(self) -> None:
        for kind, mappings in DAILY.items():
            await self._cluster.put_template(kind, f"{kind}-*", mappings(), mapping.SETTINGS)
        for kind, mappings in SINGLE.items():
            await self._cluster.put_template(kind, kind, mappings(), mapping.SETTINGS)
            await self._cluster.create_index(self._cluster.index(kind))

    async def close(self) -> None:
        await self._cluster.close()

    async def health(self) -> str:
        status = await self._cluster.health()
        return "" if status in {"green", "yellow"} else f"the cluster is {status}"

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
        await self._events.settle()

    async def event(self, id: str) -> Event | None:
        return await self._events.find(id)

    async def search(self, query: Query) -> Page[Event]:
        return await self._events.search(parse(query.text, self._clock.now()), query)

    async def counts(self, query: Query, field: str, limit: int = 20) -> tuple[Bucket, ...]:
        return await self._events.counts(parse(query.text, self._clock.now()), query, resolve(field), limit)

    async def histogram(self, query: Query, step: Literal["minute", "hour", "day"]) -> tuple[Bucket, ...]:
        return await self._events.histogram(parse(query.text, self._clock.now()), query, step)

    async def add_matches(self, matches: Sequence[Match]) -> Added:
        return await self._alerts.add_matches(matches, self._clock.now())

    async def sightings(self, rule: str, key: str, start: datetime, end: datetime) -> tuple[Sighting, ...]:
        return await self._alerts.sightings(rule, key, start, end)

    async def add_alerts(self, alerts: Sequence[Alert]) -> Added:
        return await self._alerts.add_alerts(alerts, self._clock.now())

    async def assignments(self, alerts: Sequence[Alert]) -> Mapping[str, str]:
        return await self._alerts.assignments(alerts)

    async def withdraw_alerts(self, alerts: Sequence[Alert]) -> None:
        await self._alerts.withdraw_alerts(alerts)

    async def assign_alerts(self, alerts: Sequence[Alert], incident: str) -> None:
        await self._alerts.assign_alerts(alerts, incident)

    async def alerts(self, query: AlertQuery) -> Page[Alert]:
        return await self._alerts.alerts(query)

    async def summary(self, incidents: Sequence[str]) -> AlertSummary:
        return await self._alerts.summary(incidents)

    async def results(self, rule: str, key: str) -> Results:
        return await self._alerts.results(rule, key)

    async def put_results(self, results: Sequence[Results]) -> None:
        await self._alerts.put_results(results)

    async def incident(self, id: str) -> Incident | None:
        return await self._incidents.incident(id)

    async def current(self, id: str) -> Incident | None:
        found = await self._incidents.incident(id)
        for _ in range(MAX_HOPS):
            if found is None or not found.redirect:
                break
            found = await self._incidents.incident(found.redirect)
        return found

    async def incidents(self, query: IncidentQuery) -> Page[Incident]:
        return await self._incidents.incidents(query)

    async def status_counts(self, entity: str | None = None) -> Mapping[Status, int]:
        return await self._incidents.status_counts(entity)

    async def put_incident(self, change: Change) -> Incident:
        return await self._incidents.put_incident(change)

    async def timeline(self, incident: str, limit: int = 1000) -> tuple[Entry, ...]:
        return await self._incidents.timeline(incident, limit)

    async def drop_before(self, day: datetime) -> int:
        return await drop_days(self._cluster, tuple(DAILY), day)
