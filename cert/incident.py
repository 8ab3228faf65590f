"""An incident: what people work on; its states as a table, its pure transitions, its timeline. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from cert.folding import words
from hudhud.i18n import Language

SYSTEM = "hudhud"  # the actor of what the pipeline does by itself


class Status(StrEnum):
    """Where an incident stands. `merged` is set by a merge alone: the incident lives on under another id."""

    NEW = "new"
    TRIAGED = "triaged"
    CONTAINED = "contained"
    RESOLVED = "resolved"
    CLOSED = "closed"
    MERGED = "merged"


MOVES: Mapping[Status, frozenset[Status]] = {
    Status.NEW: frozenset({Status.TRIAGED, Status.CLOSED}),
    Status.TRIAGED: frozenset({Status.CONTAINED, Status.RESOLVED, Status.CLOSED}),
    Status.CONTAINED: frozenset({Status.TRIAGED, Status.RESOLVED, Status.CLOSED}),
    Status.RESOLVED: frozenset({Status.TRIAGED, Status.CLOSED}),
    Status.CLOSED: frozenset({Status.TRIAGED}),  # by a person; the pipeline links a closed one, it never reopens it
    Status.MERGED: frozenset(),
}
"""The moves a person may make. Merge and undo have functions of their own."""

OPEN: frozenset[Status] = frozenset({Status.NEW, Status.TRIAGED, Status.CONTAINED})

Audience = Literal["analysts", "administrators"]
EntryKind = Literal[
    "opened", "alerts", "severity", "status", "assigned", "note", "merged", "unmerged", "absorbed", "released",
    "linked", "notified",
]  # fmt: skip


class MoveError(ValueError):
    """A transition that the table does not allow; `status` is where the incident stands, `wanted` what was asked."""

    def __init__(self, status: Status, wanted: str) -> None:
        allowed = ", ".join(sorted(MOVES[status])) or "nothing: it was merged"
        super().__init__(f"an incident that is {status} cannot become {wanted}; allowed: {allowed}")
        self.status, self.wanted = status, wanted


@dataclass(frozen=True, slots=True)
class Reason:
    """A share of the severity: `points` and why, in words with {names} that `cert.words` translates."""

    points: int
    text: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an incident's timeline. `text` is what a person wrote; before and after are for changes."""

    id: str  # incident:version:number, so that writing it twice is writing it once
    incident: str
    at: datetime
    actor: str
    kind: EntryKind
    text: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """What people work on. `version` grows by one with each change; a writer names the version it saw."""

    id: str
    version: int
    status: Status
    title_ar: str
    title_en: str
    severity: int  # 0 to 100
    reasons: tuple[Reason, ...]
    rsit: str  # class of the Reference Security Incident Taxonomy, "predicate:value"
    threat: str
    entities: tuple[str, ...]  # codes of the registry, sorted
    rules: tuple[str, ...]
    keys: tuple[str, ...]  # what its alerts have in common: "lure:…", "file:…", "rule:…|FIN"
    alerts: int
    first: datetime  # time of the first event
    last: datetime  # time of the last event
    opened: datetime
    updated: datetime
    owner: str = ""  # login; "" = nobody
    audience: Audience = "analysts"
    redirect: str = ""  # the incident it was merged into
    before_merge: str = ""  # status that an undo gives back
    merged: tuple[str, ...] = ()  # ids that redirect here
    links: tuple[str, ...] = ()  # related incidents, closed ones among them; at most MAX_LINKS
    apart: tuple[str, ...] = ()  # incidents a person parted from it: the pipeline never merges these two again
    closed: datetime | None = None
    resolution: str = ""

    def title(self, language: Language) -> str:
        return self.title_ar if language == "ar" else self.title_en

    @property
    def ids(self) -> tuple[str, ...]:
        """Its own id and all that were merged into it: alerts carry any of these."""
        return (self.id, *self.merged)


MAX_LINKS = 20  # per incident, the newest are kept
MAX_KEYS = 50  # per incident, named in it; all of them stand in the results
MAX_NOTE = 20_000  # characters


@dataclass(frozen=True, slots=True)
class Change:
    """A new state of an incident and the lines that tell of it. `expected` is the version it was made from."""

    incident: Incident
    expected: int
    entries: tuple[Entry, ...]


def incident_id(rule: str, key: str, anchor: str, opened: datetime) -> str:
    """The same first alert of the same result always gives the same id: a repeated step opens no second incident."""
    digest = hashlib.sha256(f"{rule}\0{key}\0{anchor}".encode()).digest()
    return f"I-{opened:%Y%m%d}-{base64.b32encode(digest)[:8].decode()}"


def change(incident: Incident, now: datetime, actor: str, *lines: tuple[EntryKind, str, str, str]) -> Change:
    """`incident` (fields already replaced) with its next version and `lines` = (kind, text, before, after)."""
    fresh = replace(incident, version=incident.version + 1, updated=now)
    entries = tuple(
        Entry(f"{fresh.id}:{fresh.version}:{number}", fresh.id, now, actor, kind, text, before, after)
        for number, (kind, text, before, after) in enumerate(lines)
    )
    return Change(fresh, incident.version, entries)


def move(incident: Incident, to: Status, actor: str, now: datetime, reason: str = "") -> Change:
    """A person moves it along the table; MoveError where the table does not allow it, or closing gives no reason."""
    if to not in MOVES[incident.status]:
        raise MoveError(incident.status, to)
    closed = now if to in {Status.CLOSED, Status.RESOLVED} else None
    resolution = reason if closed else ""
    moved = replace(incident, status=to, closed=closed, resolution=resolution)
    return change(moved, now, actor, ("status", reason, incident.status.value, to.value))


def assign(incident: Incident, owner: str, actor: str, now: datetime) -> Change:
    """Give it to a person ("" = to nobody)."""
    _standing(incident, "assigned")
    return change(replace(incident, owner=owner), now, actor, ("assigned", "", incident.owner, owner))


def note(incident: Incident, text: str, actor: str, now: datetime) -> Change:
    """Add a note of at most MAX_NOTE characters; ValueError for an empty or longer one."""
    _standing(incident, "noted")
    if not text.strip() or len(text) > MAX_NOTE:
        raise ValueError(f"a note has 1 to {MAX_NOTE} characters")
    return change(incident, now, actor, ("note", text, "", ""))


def merge(winner: Incident, loser: Incident, actor: str, now: datetime, reason: str = "") -> tuple[Change, Change]:
    """(winner's change, loser's change): the loser redirects to the winner. The caller counts what they count."""
    _standing(winner, "merged")
    _standing(loser, "merged")
    if winner.id == loser.id:
        raise ValueError("an incident cannot be merged with itself")
    taken = replace(
        winner,
        merged=tuple(sorted({*winner.merged, *loser.ids})),
        entities=tuple(sorted({*winner.entities, *loser.entities})),
        rules=tuple(sorted({*winner.rules, *loser.rules})),
        keys=tuple(sorted({*winner.keys, *loser.keys}))[:MAX_KEYS],
        alerts=winner.alerts + loser.alerts,
        severity=max(winner.severity, loser.severity),
        first=min(winner.first, loser.first),
        last=max(winner.last, loser.last),
        links=tuple(link for link in winner.links if link != loser.id),
    )
    gone = replace(loser, status=Status.MERGED, before_merge=loser.status.value, redirect=winner.id)
    return (
        change(taken, now, actor, ("absorbed", reason, "", loser.id)),
        change(gone, now, actor, ("merged", reason, "", winner.id)),
    )


def unmerge(winner: Incident, loser: Incident, actor: str, now: datetime, reason: str = "") -> tuple[Change, Change]:
    """Undo a merge: the loser stands again with the status it had. ValueError where it was not merged there.

    What each counts (alerts, entities, keys, severity) is counted again by the caller from the store.
    """
    if loser.redirect != winner.id:
        raise ValueError(f"{loser.id} was not merged into {winner.id}")
    left = replace(
        winner,
        merged=tuple(one for one in winner.merged if one not in loser.ids),
        apart=tuple(sorted({*winner.apart, loser.id})),
    )
    back = replace(
        loser,
        status=Status(loser.before_merge),
        before_merge="",
        redirect="",
        apart=tuple(sorted({*loser.apart, winner.id})),
    )
    return (
        change(left, now, actor, ("released", reason, loser.id, "")),
        change(back, now, actor, ("unmerged", reason, winner.id, "")),
    )


def link(incident: Incident, other: str, now: datetime, actor: str = SYSTEM) -> Change | None:
    """Tie it to a related one; None where it already is."""
    if other in incident.links or other == incident.id:
        return None
    tied = replace(incident, links=(*incident.links, other)[-MAX_LINKS:])
    return change(tied, now, actor, ("linked", "", "", other))


def _standing(incident: Incident, what: str) -> None:
    if incident.status is Status.MERGED:
        raise MoveError(incident.status, what)


def search_words(incident: Incident) -> str:
    """The folded words an incident is found by in the queue, one space between them."""
    told = (incident.id, incident.title_ar, incident.title_en, *incident.keys, *incident.rules)
    return " ".join(dict.fromkeys(word for text in told for word in words(text)))
