"""Who already has it: every recipient of an incident's lure or file, alerted or not, and what became of the message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from cert.enrich import listed
from cert.incident import Incident
from cert.store import Query, Store
from hudhud.event import Event

FIELDS: Final[Mapping[str, str]] = {"lure": "hudhud.mail.lure", "file": "email.attachments.file.hash.sha256"}
AROUND: Final = timedelta(days=7)  # before the first and after the last alert
MAX_EVENTS: Final = 10_000  # that are looked at
PAGE: Final = 500
IDS: Final = 200  # queue ids in one question

# What may become of a message, the last that is true tells where it lies now.
ORDER: Final = (
    *("unjudged", "refused", "deferred", "held", "accepted", "tagged"),
    *("released", "delivered", "deleted", "bounced"),
)
LATER: Final = ("released", "delivered", "deleted", "bounced")


async def reach(store: Store, incident: Incident) -> dict[str, list[str]]:
    """Recipients by what became of their message (delivered, accepted, tagged, held …), each once, sorted."""
    asked = _question(incident)
    if not asked:
        return {}
    seen = await _all(store, incident, asked)
    ids = sorted({queue_id for event in seen for queue_id in listed(event.fields, "hudhud.mail.queue_id")})
    later: list[Event] = []
    actions = " OR ".join(LATER)
    for start in range(0, len(ids), IDS):
        some = " OR ".join(f'"{one}"' for one in ids[start : start + IDS])
        later += await _all(store, incident, f"hudhud.mail.queue_id:({some}) AND event.action:({actions})")
    return outcomes([*seen, *later])


def outcomes(events: Iterable[Event]) -> dict[str, list[str]]:
    """The last of ORDER that an event tells of each recipient. Pure."""
    found: dict[str, int] = {}
    for event in events:
        action = "".join(listed(event.fields, "event.action")[:1])
        if action in ORDER:
            for address in listed(event.fields, "email.to.address"):
                found[address] = max(found.get(address, 0), ORDER.index(action))
    return {
        action: sorted(address for address, rank in found.items() if rank == number)
        for number, action in enumerate(ORDER)
        if number in found.values()
    }


def _question(incident: Incident) -> str:
    """The query for every event with one of the incident's lures or files."""
    parts = []
    for word, field in FIELDS.items():
        values = [key.removeprefix(f"{word}:") for key in incident.keys if key.startswith(f"{word}:")]
        if values:
            parts.append(f"{field}:({' OR '.join(_quoted(value) for value in values)})")
    return f"event.dataset:hudhud.mail AND ({' OR '.join(parts)})" if parts else ""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


async def _all(store: Store, incident: Incident, text: str) -> list[Event]:
    found: list[Event] = []
    after = ""
    while len(found) < MAX_EVENTS:
        page = await store.search(Query(text, incident.first - AROUND, incident.last + AROUND, limit=PAGE, after=after))
        found += page.found
        after = page.after
        if not after:
            break
    return found
