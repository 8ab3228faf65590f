"""The queue of incidents: filters in the address, counts, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from cert.incident import OPEN, Incident, Status
from cert.store import AlertQuery, IncidentQuery
from console.visit import Visit
from console.words import LEVEL_FROM

PAGE = 25  # incidents on one page

CHOICES: dict[str, tuple[Status, ...]] = {
    "open": tuple(sorted(OPEN)),
    **{status.value: (status,) for status in Status if status is not Status.MERGED},
    "all": (),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One incident as this person may see it: an officer's entities and alerts are her own."""

    incident: Incident
    entities: tuple[str, ...]
    alerts: int


async def show(visit: Visit) -> Response:
    """The list."""
    chosen = visit.query("status", "open")
    chosen = chosen if chosen in CHOICES else "open"
    scope = visit.scope.entity
    entity = scope if scope is not None else visit.query("entity") or None
    order = "severity" if visit.query("order") == "severity" else "newest"
    store = visit.house.store
    found = await visit.part_of_list(
        store.incidents(
            IncidentQuery(
                statuses=CHOICES[chosen],
                entity=entity,
                owner=visit.person.login if visit.query("owner") == "me" else None,
                severity=_least(visit.query("severity")),
                text=visit.query("q"),
                order="severity" if order == "severity" else "newest",
                limit=PAGE,
                after=visit.query("after"),
            )
        )
    )
    counts = await store.status_counts(entity)
    return visit.page(
        "incidents.html",
        chosen=chosen,
        entity=entity or "",
        severity=visit.query("severity"),
        order=order,
        lines=[await line(visit, one) for one in found.found],
        after=found.after,
        counts={
            name: sum(counts.get(status, 0) for status in statuses or Status) for name, statuses in CHOICES.items()
        },
        entities=_entities(visit),
    )


async def line(visit: Visit, incident: Incident) -> Line:
    """What this person sees of an incident."""
    limit = visit.scope.entity
    if limit is None:
        return Line(incident, incident.entities, incident.alerts)
    own = await visit.house.store.alerts(AlertQuery(incidents=incident.ids, entity=limit, limit=1000))
    return Line(incident, (limit,), len(own.found))


def _least(level: str) -> int:
    return next((least for least, name in LEVEL_FROM if name == level), 0)


def _entities(visit: Visit) -> list[tuple[str, str]]:
    """(code, name) of every body this person may choose, by name."""
    if visit.scope.entity is not None:
        return []
    known = visit.house.registry.value.entities
    return sorted(((code, one.name(visit.language)) for code, one in known.items()), key=lambda pair: pair[1])
