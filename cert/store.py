"""The store: one protocol for events, matches, alerts, results and incidents; sqlite.py and elastic.py implement it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar

from cert.incident import Change, Entry, Incident, Status
from hudhud.event import Event
from hudhud.i18n import Language

T_co = TypeVar("T_co", covariant=True)


class StoreDown(Exception):  # noqa: N818 - a state of the world, not a fault of the caller
    """The store cannot be reached or refuses to work for now; the caller waits and tries again."""


class Stale(Exception):  # noqa: N818 - the other writer was first; read again
    """The thing was changed since it was read: `expected` is the version the caller saw, `found` the one there is."""

    def __init__(self, what: str, expected: int, found: int) -> None:
        super().__init__(f"{what} was changed meanwhile: version {expected} was read, {found} is stored")
        self.what, self.expected, self.found = what, expected, found


class QueryError(ValueError):
    """A query that cannot be understood: `position` in characters from 0, `problem` and what to write instead."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(f"at character {position + 1}: {problem}")
        self.position, self.problem = position, problem


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """A part of an answer. `after` goes into the next query; "" says that this was the last part."""

    found: tuple[T_co, ...]
    after: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """Events by Lucene query text and time (start ≤ @timestamp < end), newest first.

    `entity` restricts to one body's events whatever the text says: an officer sees only that body.
    """

    text: str = ""
    start: datetime | None = None
    end: datetime | None = None
    entity: str | None = None
    limit: int = 50
    after: str = ""


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many events have `key`: a value of a field, or the start of a time step (RFC 3339)."""

    key: str
    count: int


@dataclass(frozen=True, slots=True)
class Refused:
    """One thing the store would not take, and why; it belongs into the dead-letter list."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch: stored now, known before (once is once), refused for good."""

    stored: int
    known: int
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """Under which correlation rule and key a match counts, and the value that value_count and the like read of it."""

    rule: str
    key: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A base rule fits an event, and some correlation counts it."""

    id: str  # of rule and event
    rule: str
    event: str
    timestamp: datetime
    counted: tuple[Counted, ...]


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule says that this matters. `keys` are what groups it with others: "lure:…", "file:…", "rule:…|FIN"."""

    id: str
    timestamp: datetime  # of the event
    rule: str
    title_ar: str
    title_en: str
    severity: int  # 0 to 100
    threat: str
    entity: str  # code, "" where nobody's
    event: str  # id of the event, "" for a correlation's alert
    keys: tuple[str, ...]
    source: str  # event.provider or dataset that told of it
    facts: Mapping[str, object] = field(default_factory=dict)  # what the event tells, by ECS name
    incident: str = ""  # set by the store when the incident is known; may be one that was merged meanwhile

    def title(self, language: Language) -> str:
        return self.title_ar if language == "ar" else self.title_en


DISPOSITION = "hudhud.mail.disposition"  # the fact that AlertSummary.dispositions counts


@dataclass(frozen=True, slots=True)
class AlertQuery:
    """Alerts newest first. `incidents`: carrying any of these ids (Incident.ids); "" in it: of no incident yet."""

    incidents: tuple[str, ...] = ()
    entity: str | None = None
    rule: str | None = None
    key: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 50
    after: str = ""


@dataclass(frozen=True, slots=True)
class AlertSummary:
    """What the alerts of an incident come to, counted by the store."""

    count: int
    first: datetime | None
    last: datetime | None
    severity: int  # the highest
    entities: tuple[str, ...]  # sorted, at most 1,000
    rules: tuple[str, ...]  # sorted, at most 1,000
    keys: tuple[str, ...]  # the most frequent, at most cert.incident.MAX_KEYS
    threats: tuple[str, ...]
    dispositions: Mapping[str, int] = field(default_factory=dict)  # of mail alerts: hold 3, tag 2


@dataclass(frozen=True, slots=True)
class IncidentQuery:
    """Incidents of the queue. Empty `statuses`: all that are not merged. `text` is sought in titles, keys and rules."""

    statuses: tuple[Status, ...] = ()
    entity: str | None = None
    owner: str | None = None
    audience: str | None = None
    severity: int = 0  # at least
    text: str = ""
    order: Literal["newest", "severity"] = "newest"
    limit: int = 50
    after: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A correlation result: the connected matches of one rule and key, from `first` to `last` event time (both in)."""

    id: str
    first: datetime
    last: datetime
    incident: str = ""
    opened: datetime | None = None  # its `first` when it was found: the time of its alert, which never moves
    anchor: str = ""  # the first match when it was found


@dataclass(frozen=True, slots=True)
class Results:
    """All results of one correlation rule and key, oldest first. Version 0: nothing is stored yet."""

    rule: str
    key: str
    version: int = 0
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a correlation reads of a match or alert: when, which, by which rule, with which value."""

    timestamp: datetime
    id: str
    rule: str
    value: str = ""


class Store(Protocol):
    """Every method may raise StoreDown. What was added is searchable when the call returns only where that is said."""

    async def prepare(self) -> None:
        """Make what is missing (tables, templates); safe to repeat."""
        ...

    async def close(self) -> None: ...

    async def health(self) -> str:
        """Empty when all is well, else one English line that says what is wrong."""
        ...

    # events
    async def add_events(self, events: Sequence[Event]) -> Added:
        """Store each once, by id; searchable within a second, at once after `settle`."""
        ...

    async def settle(self) -> None:
        """Make all that was added searchable now (tests, the tour, before a report)."""
        ...

    async def event(self, id: str) -> Event | None: ...

    async def search(self, query: Query) -> Page[Event]:
        """Newest first; following `after` never shows one twice nor skips one that was there. QueryError."""
        ...

    async def counts(self, query: Query, field: str, limit: int = 20) -> tuple[Bucket, ...]:
        """Events per value of a keyword field, most frequent first, then by value; no paging."""
        ...

    async def histogram(self, query: Query, step: Literal["minute", "hour", "day"]) -> tuple[Bucket, ...]:
        """Events per UTC minute, hour or day, oldest first, without empty steps."""
        ...

    # matches and alerts: searchable when the call returns
    async def add_matches(self, matches: Sequence[Match]) -> Added: ...

    async def sightings(self, rule: str, key: str, start: datetime, end: datetime) -> tuple[Sighting, ...]:
        """Matches counted under (correlation rule, key), start ≤ time ≤ end, by time then id."""
        ...

    async def add_alerts(self, alerts: Sequence[Alert]) -> Added: ...

    async def assignments(self, alerts: Sequence[Alert]) -> Mapping[str, str]:
        """The incident written on each of these alerts, "" where none is yet; alerts that are not stored are absent."""
        ...

    async def withdraw_alerts(self, alerts: Sequence[Alert]) -> None:
        """Take back alerts of correlation results that have become one with another."""
        ...

    async def assign_alerts(self, alerts: Sequence[Alert], incident: str) -> None:
        """Write on each alert which incident it belongs to."""
        ...

    async def alerts(self, query: AlertQuery) -> Page[Alert]: ...

    async def summary(self, incidents: Sequence[str]) -> AlertSummary:
        """What the alerts that carry any of these incident ids come to."""
        ...

    # results
    async def results(self, rule: str, key: str) -> Results: ...

    async def put_results(self, results: Sequence[Results]) -> None:
        """Replace each that still has the version read; Stale where another was first (some may be replaced then)."""
        ...

    # incidents
    async def incident(self, id: str) -> Incident | None:
        """The incident as it stands, a merged one too; `current` follows redirects."""
        ...

    async def current(self, id: str) -> Incident | None:
        """The incident that `id` leads to when redirects are followed."""
        ...

    async def incidents(self, query: IncidentQuery) -> Page[Incident]: ...

    async def status_counts(self, entity: str | None = None) -> Mapping[Status, int]: ...

    async def put_incident(self, change: Change) -> Incident:
        """Write it and its timeline entries; expected version 0 creates. Stale where another was first."""
        ...

    async def timeline(self, incident: str, limit: int = 1000) -> tuple[Entry, ...]:
        """The entries of one id, oldest first."""
        ...

    async def drop_before(self, day: datetime) -> int:
        """Retention: drop whole partitions of events, matches and alerts older than `day`; how many partitions went."""
        ...
