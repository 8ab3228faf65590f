"""One incident: what is known of it, who already has it, its timeline, and the acts of people on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from starlette.responses import Response

from cert.desk import NotFound
from cert.incident import MOVES, SYSTEM, Entry, Incident, MoveError, Status
from cert.store import AlertQuery, Stale
from console.pages.incidents import line
from console.reach import reach
from console.visit import Stop, Visit
from console.words import _

SHOWN_ALERTS = 25  # on one page
MAX_TRIES = 4  # of an act while the pipeline, not a person, changes the incident
NEEDS_REASON = frozenset({Status.CLOSED, Status.RESOLVED})


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody changed it between reading and writing: what they did, and what this person had typed."""

    changes: tuple[Entry, ...]
    typed: str


async def show(visit: Visit) -> Response:
    """The incident."""
    return await _page(visit, await _found(visit))


async def change_status(visit: Visit) -> Response:
    """Move it along the table of moves."""
    incident = await _found(visit)
    try:
        to = Status(visit.form.get("to", ""))
    except ValueError:
        raise Stop(
            422, _("Choose a status"), _("Go back and choose one of the statuses that the list offers.")
        ) from None
    reason = visit.form.get("reason", "").strip()
    if to in NEEDS_REASON and not reason:
        raise Stop(
            422, _("A reason is needed"), _("Say what came of it: an incident is resolved or closed with a reason.")
        )
    desk, actor = visit.house.desk, visit.person.login
    return await _act(
        visit, incident, "status", reason, lambda version: desk.change_status(actor, incident.id, version, to, reason)
    )


async def assign(visit: Visit) -> Response:
    """Give it to an analyst, or to nobody."""
    incident = await _found(visit)
    owner = visit.form.get("owner", "")
    if owner and owner not in {login for login, _name in _analysts(visit)}:
        raise Stop(422, _("Choose an analyst"), _("An incident is given to somebody who is an analyst, or to nobody."))
    desk, actor = visit.house.desk, visit.person.login
    return await _act(visit, incident, "assigned", "", lambda version: desk.assign(actor, incident.id, version, owner))


async def note(visit: Visit) -> Response:
    """Add a note. It fits any state of the incident, so it is never refused because of another's change."""
    incident = await _found(visit)
    text = visit.form.get("text", "").replace("\r\n", "\n").strip()
    if not text:
        raise Stop(422, _("The note is empty"), _("Go back and write what you found or did."))
    desk, actor = visit.house.desk, visit.person.login
    return await _act(
        visit, incident, "noted", text, lambda version: desk.note(actor, incident.id, version, text), any_version=True
    )


async def _act(
    visit: Visit,
    incident: Incident,
    done: str,
    typed: str,
    step: Callable[[int], Awaitable[Incident]],
    *,
    any_version: bool = False,
) -> Response:
    """Do it on the version the person saw. What the pipeline added since is no conflict; what a person did, is."""
    version = visit.form.get("version", "")
    seen = int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else 0
    expected = incident.version if any_version else seen
    for _try in range(MAX_TRIES):
        try:
            await step(expected)
        except Stale:
            incident = await _found(visit)
            changes = tuple(
                entry for entry in await _timeline(visit, incident) if _version(entry) > seen and entry.actor != SYSTEM
            )
            if changes and not any_version:
                return await _page(visit, incident, Conflict(changes, typed))
            expected = incident.version
        except MoveError:
            incident = await _found(visit)
            return await _page(visit, incident, Conflict((), typed))
        except NotFound:
            raise _no_such() from None
        else:
            return visit.go(f"/incidents/{incident.id}", done=done)
    raise Stop(
        409, _("The incident changes too fast"), _("New alerts join it all the time. Nothing was changed; try again.")
    )


async def _found(visit: Visit) -> Incident:
    """The incident of the path, redirects followed, if the person may see it. One of another body's is not there."""
    incident = await visit.house.store.current(visit.part("id")[:60])
    if incident is None or not visit.scope.covers(incident.entities):
        raise _no_such()
    return incident


def _no_such() -> Stop:
    return Stop(404, _("There is no such incident"), _("It does not exist, or it does not concern your entity."))


async def _page(visit: Visit, incident: Incident, conflict: Conflict | None = None) -> Response:
    limit = visit.scope.entity
    alerts = AlertQuery(incidents=incident.ids, entity=limit, limit=SHOWN_ALERTS, after=visit.query("after"))
    page = await visit.part_of_list(visit.house.store.alerts(alerts))
    timeline = await _timeline(visit, incident)
    return visit.page(
        "incident.html",
        409 if conflict else 200,
        line=await line(visit, incident),
        incident=incident,
        moves=sorted(MOVES[incident.status], key=list(Status).index),
        analysts=_analysts(visit),
        alerts=page.found,
        after=page.after,
        reached=await reach(visit.house.store, incident, limit, visit.house.registry.value),
        timeline=tuple(reversed(timeline)),
        limited=limit is not None,
        arrived_by=visit.part("id") if visit.part("id") != incident.id else "",
        conflict=conflict,
        held_since=_held_since(timeline, visit.house.clock.now()),
    )


async def _timeline(visit: Visit, incident: Incident) -> tuple[Entry, ...]:
    """Oldest first, of the incident and all that were merged into it, as far as the person may read it."""
    entries = [entry for one in incident.ids for entry in await visit.house.store.timeline(one)]
    if visit.scope.entity is not None:
        entries = [shown for entry in entries if (shown := _open_to_officer(visit, entry)) is not None]
    return tuple(sorted(entries, key=lambda entry: (entry.at, entry.id)))


def _open_to_officer(visit: Visit, entry: Entry) -> Entry | None:
    """An officer reads what her own body's people wrote; of others only that the status changed: theirs may speak of
    other bodies."""
    writer = visit.house.people.get(entry.actor)
    if writer is not None and writer.entity == visit.scope.entity:
        return entry
    return replace(entry, text="") if entry.kind in {"opened", "status"} else None


def _version(entry: Entry) -> int:
    """The version that the entry came with: its id is incident:version:number."""
    parts = entry.id.rsplit(":", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else 0


def _analysts(visit: Visit) -> list[tuple[str, str]]:
    return [(one.login, one.name(visit.language)) for one in visit.house.people.all() if "analyst" in one.roles]


def _held_since(timeline: Sequence[Entry], now: datetime) -> dict[str, object]:
    """How long it has stood in its status."""
    last = next((entry.at for entry in reversed(timeline) if entry.kind in {"status", "opened"}), None)
    return {"since": last, "length": now - last if last else None}
