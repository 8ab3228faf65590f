"""Who already has it: the recipients that an incident's alerts and the relay's events tell of, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cert.incident import Incident
from cert.store import AlertQuery, Query, Store
from hudhud.entity import Registry, a_label

# The ECS names of the relay's events, which alerts carry on as facts.
RECIPIENT = "email.to.address"
SENDER = "email.from.address"
DISPOSITION = "hudhud.mail.disposition"
QUEUE_ID = "hudhud.mail.queue_id"
FILES = "email.attachments.file.name"

# What ties messages together, by the word that an incident's keys begin with.
KEYS: Mapping[str, str] = {"lure": "hudhud.mail.lure", "file": "email.attachments.file.hash.sha256"}

MAX_ALERTS = 1000  # read of one incident
MAX_EVENTS = 1000  # read by key, and by queue id
MAX_KEYS = 20  # looked for
MAX_MESSAGES = 200  # whose further way is looked up
AROUND = timedelta(days=7)  # before the first and after the last event, for messages that no rule told of

# What becomes of a message, in its order: at the same moment the later word counts.
_ORDER = (
    *("unjudged", "refused", "reject", "deferred", "defer", "hold", "held", "tag", "tagged", "accept", "accepted"),
    *("rejudged", "released", "bounced", "failed", "deleted", "delivered"),
)
_HAS_IT = frozenset({"delivered"})
_ON_ITS_WAY = frozenset({"accepted", "accept", "tagged", "tag", "released", "rejudged"})


@dataclass(frozen=True, slots=True)
class Reached:
    """One recipient. `queue_id` leads to the message, "" where none is known; `entity` is the recipient's body."""

    recipient: str
    entity: str
    sender: str
    disposition: str
    when: datetime
    queue_id: str
    files: tuple[str, ...]

    @property
    def has_it(self) -> bool:
        """Whether the message lies in the mailbox."""
        return self.disposition in _HAS_IT

    @property
    def held(self) -> bool:
        """Whether it waits for a person."""
        return self.disposition in {"hold", "held"}


async def reach(store: Store, incident: Incident, entity: str | None, registry: Registry) -> tuple[Reached, ...]:
    """From the incident's alerts, from events with the same lure or file, and from what became of these messages.

    `entity` limits it to what one body's officer may see. StoreDown.
    """
    alerts = (await store.alerts(AlertQuery(incidents=incident.ids, entity=entity, limit=MAX_ALERTS))).found
    told = [(alert.timestamp, alert.facts) for alert in alerts if alert.facts.get(QUEUE_ID)]
    start, end = incident.first - AROUND, incident.last + AROUND
    tied = [key.partition(":") for key in incident.keys[:MAX_KEYS]]
    same = [f"{KEYS[word]}:{_quoted(value)}" for word, _, value in tied if word in KEYS]
    told += await _events(store, same, start, end, entity)
    messages = sorted({text for _, facts in told for text in texts(facts.get(QUEUE_ID))})[:MAX_MESSAGES]
    later = [f"{QUEUE_ID}:{_quoted(text)}" for text in messages]
    told += await _events(store, later, start, end, entity)
    return reached(told, lambda address: body_of(address, registry))


async def _events(
    store: Store, terms: Sequence[str], start: datetime, end: datetime, entity: str | None
) -> list[tuple[datetime, Mapping[str, object]]]:
    if not terms:
        return []
    text = f"event.dataset:hudhud.mail AND ({' OR '.join(terms)})"
    found = await store.search(Query(text, start, end, entity, limit=MAX_EVENTS))
    return [(event.timestamp, event.fields) for event in found.found]


def reached(told: Iterable[tuple[datetime, Mapping[str, object]]], body: Callable[[str], str]) -> tuple[Reached, ...]:
    """Pure. Each recipient once, by the message that most needs doing something: delivered, on its way, held, else."""
    ways: dict[tuple[str, str], Reached] = {}
    for when, facts in sorted(told, key=lambda pair: (pair[0], _order(_state(pair[1])))):
        queue_id, state = "".join(texts(facts.get(QUEUE_ID))[:1]), _state(facts)
        for recipient in texts(facts.get(RECIPIENT)):
            before = ways.get((recipient, queue_id))
            files = texts(facts.get(FILES)) or (before.files if before else ())
            sender = ", ".join(texts(facts.get(SENDER)))
            known = state if state in _ORDER else before.disposition if before else state
            ways[recipient, queue_id] = Reached(recipient, body(recipient), sender, known, when, queue_id, files)
    worst: dict[str, Reached] = {}
    for way in ways.values():
        if way.recipient not in worst or _need(way) < _need(worst[way.recipient]):
            worst[way.recipient] = way
    return tuple(sorted(worst.values(), key=lambda way: (_need(way), way.entity, way.recipient)))


def _state(facts: Mapping[str, object]) -> str:
    """The event's action; an alert without one has the disposition."""
    action = "".join(texts(facts.get("event.action"))[:1])
    return action if action in _ORDER else "".join(texts(facts.get(DISPOSITION))[:1])


def _order(state: str) -> int:
    return _ORDER.index(state) if state in _ORDER else -1


def _need(way: Reached) -> int:
    return 0 if way.has_it else 1 if way.disposition in _ON_ITS_WAY else 2 if way.held else 3


def body_of(address: str, registry: Registry) -> str:
    """The code of the body that the address belongs to, "" for none."""
    try:
        entity = registry.by_domain(a_label(address.rpartition("@")[2]))
    except ValueError:
        return ""
    return entity.code if entity is not None else ""


def _quoted(text: str) -> str:
    """A phrase of the query language (Lucene), whatever stands in it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def texts(value: object) -> tuple[str, ...]:
    """A fact as a tuple of texts, whether it came as one value or several."""
    if value is None or value == "":
        return ()
    return tuple(str(one) for one in value) if isinstance(value, list | tuple) else (str(value),)
