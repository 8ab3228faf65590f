"""READ FIRST for acts of people: what an analyst does to incidents, each act in the audit chain and the timeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from cert import incident as states
from cert.incident import Change, Incident, MoveError, Status
from cert.store import Page, Query, Stale, Store
from cert.triage import weigh
from hudhud.audit import Audit
from hudhud.clock import Clock
from hudhud.event import Event

T = TypeVar("T")
MAX_TRIES = 5  # of a change that any version may take, before the other writers are told to wait


class NotFound(LookupError):  # noqa: N818 - an answer
    """There is no incident with that id."""


class Desk:
    """The acts of people. `expected` is the version of the incident that the person saw: Stale when it is older.

    Every method may raise NotFound, MoveError, Stale, StoreDown. An act is in the audit chain before it is done.
    """

    def __init__(self, store: Store, audit: Audit, clock: Clock) -> None:
        self._store, self._audit, self._clock = store, audit, clock

    async def change_status(self, actor: str, id: str, expected: int, to: Status, reason: str = "") -> Incident:
        """Move it along cert.incident.MOVES. Closing and resolving need a reason (ValueError)."""
        if to in {Status.CLOSED, Status.RESOLVED} and not reason.strip():
            raise ValueError("say what came of it: a reason is needed to resolve or close an incident")
        return await self._act(
            actor, "incident.status", id, expected, lambda seen: states.move(seen, to, actor, self._clock.now(), reason)
        )

    async def assign(self, actor: str, id: str, expected: int, owner: str) -> Incident:
        """Give it to `owner` ("" = to nobody)."""
        return await self._act(
            actor, "incident.assign", id, expected, lambda seen: states.assign(seen, owner, actor, self._clock.now())
        )

    async def note(self, actor: str, id: str, expected: int, text: str) -> Incident:
        """Add a note to its timeline."""
        return await self._act(
            actor, "incident.note", id, expected, lambda seen: states.note(seen, text, actor, self._clock.now())
        )

    async def merge(self, actor: str, winner: tuple[str, int], loser: tuple[str, int], reason: str) -> Incident:
        """Make `loser` part of `winner`, each as (id, version seen); the loser's id redirects from then on."""
        one, other = await self._seen(*winner), await self._seen(*loser)
        taken, gone = states.merge(one, other, actor, self._clock.now(), reason)
        self._record(actor, "incident.merge", one, reason, taken.incident, other=other.id)
        await self._store.put_incident(gone)
        return await self._recount(
            await self._put_any(taken, lambda seen: states.merge(seen, other, actor, self._clock.now(), reason)[0])
        )

    async def undo_merge(self, actor: str, winner: tuple[str, int], loser: str, reason: str) -> Incident:
        """Part `loser` from `winner` again: both count their own alerts, and the pipeline leaves them apart."""
        one, other = await self._seen(*winner), await self._found(loser)
        left, back = states.unmerge(one, other, actor, self._clock.now(), reason)
        self._record(actor, "incident.undo-merge", one, reason, left.incident, other=loser)
        await self._store.put_incident(left)
        await self._store.put_incident(back)
        await self._recount(back.incident)
        return await self._recount(left.incident)

    async def search(self, actor: str, query: Query, reason: str = "") -> Page[Event]:
        """Look into events: searches are acts, the audit chain names who asked for what."""
        self._audit.record(
            actor, "events.search", query.entity or "nation", reason=reason, after=query.text, now=self._clock.now()
        )
        return await self._store.search(query)

    async def _act(self, actor: str, act: str, id: str, expected: int, step: Callable[[Incident], Change]) -> Incident:
        seen = await self._seen(id, expected)
        change = step(seen)
        last = change.entries[-1]
        self._record(actor, act, seen, last.text, change.incident)
        return await self._store.put_incident(change)

    def _record(self, actor: str, act: str, seen: Incident, reason: str, after: Incident, *, other: str = "") -> None:
        self._audit.record(
            actor,
            act,
            seen.id,
            reason=reason,
            before=_told(seen),
            after={**_told(after), "other": other},
            now=self._clock.now(),
        )

    async def _found(self, id: str) -> Incident:
        found = await self._store.incident(id)
        if found is None:
            raise NotFound(id)
        return found

    async def _seen(self, id: str, expected: int) -> Incident:
        found = await self._found(id)
        if found.version != expected:
            raise Stale(f"incident {id}", expected, found.version)
        if found.status is Status.MERGED:
            raise MoveError(found.status, f"changed: it is part of {found.redirect}")
        return found

    async def _put_any(self, change: Change, again: Callable[[Incident], Change]) -> Incident:
        """Put a change that fits whatever version stands now: the loser redirects already."""
        for _ in range(MAX_TRIES):
            try:
                return await self._store.put_incident(change)
            except Stale:
                change = again(await self._found(change.incident.id))
        return await self._store.put_incident(change)

    async def _recount(self, incident: Incident) -> Incident:
        """Count its alerts again; another writer who was first has counted them himself."""
        weighed = weigh(incident, await self._store.summary(incident.ids))
        if weighed == incident:
            return incident
        try:
            return await self._store.put_incident(states.change(replace(weighed), self._clock.now(), states.SYSTEM))
        except Stale:
            return await self._found(incident.id)


def _told(incident: Incident) -> dict[str, object]:
    """What of an incident stands in the audit chain."""
    return {
        "version": incident.version,
        "status": incident.status.value,
        "owner": incident.owner,
        "merged": list(incident.merged),
    }
