"""The day's picture: what waits, what came in, who is hit."""

from __future__ import annotations

from starlette.responses import Response

from cert.incident import OPEN, Status
from cert.store import IncidentQuery, StoreDown
from console.counts import figures
from console.pages.held import listed
from console.pages.incidents import line
from console.relay import RelayDown, RelayRefused
from console.visit import Visit

TOP = 5  # incidents shown
MAX_HELD = 1000  # counted, not listed


async def show(visit: Visit) -> Response:
    """Each part is shown by itself: the store being down does not hide the relay, nor the other way round."""
    limit, house = visit.scope.entity, visit.house
    try:
        numbers = await figures(house.store, limit, house.clock.now(), house.settings.sensor.webmail_min_hosts)
        top = await house.store.incidents(
            IncidentQuery(statuses=tuple(sorted(OPEN)), entity=limit, order="severity", limit=TOP)
        )
        lines = [await line(visit, incident) for incident in top.found]
        counts = await house.store.status_counts(limit)
    except StoreDown:
        numbers, lines, counts = None, [], {}
    waiting = [one for one in await house.exempting.list(entity=limit) if one.status.value in {"requested", "seconded"}]
    return visit.page(
        "home.html",
        numbers=numbers,
        lines=lines,
        open_incidents=sum(counts.get(status, 0) for status in OPEN),
        new_incidents=counts.get(Status.NEW, 0),
        held=await _held(visit),
        waiting=len(waiting),
    )


async def _held(visit: Visit) -> int | None:
    """How many messages are held; None where the relay cannot be asked."""
    try:
        if visit.scope.entity is None:
            held = (await visit.house.relay.status(visit.person.login)).get("held", 0)
            return held if isinstance(held, int) else None
        return len((await listed(visit, MAX_HELD))[0])
    except (RelayDown, RelayRefused):
        return None
