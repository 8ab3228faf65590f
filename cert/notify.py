"""Tells the bodies that an incident is theirs: one message for each body and incident, in both languages, in an outbox.

The outbox is a folder of messages (RFC 5322) for the relay's submission; a message that is there, or among those sent,
is not made again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from cert.incident import Incident
from cert.words import say
from hudhud import durable
from hudhud.entity import Contact, Entity, Registry
from hudhud.i18n import LANGUAGES, Language

FROM_SEVERITY: Final = 70  # incidents below it are told by a person
SENDER: Final = "cert@hudhud.example"
TLP: Final = "TLP:AMBER"  # never translated (FIRST TLP 2.0)
MAX_BODIES: Final = 200  # bodies told of one incident


@dataclass(frozen=True, slots=True)
class Notice:
    """What a body is told of an incident."""

    incident: str
    entity: str
    to: str
    message: bytes


def notices(incident: Incident, registry: Registry, sender: str, now: datetime) -> tuple[Notice, ...]:
    """A notice for the security contact of each body that it is about; none below FROM_SEVERITY. Pure."""
    if incident.severity < FROM_SEVERITY or incident.audience != "analysts":
        return ()
    found = []
    for code in incident.entities[:MAX_BODIES]:
        entity = registry.entities.get(code)
        contact = entity.contact("security") if entity is not None else None
        if entity is not None and contact is not None:
            found.append(Notice(incident.id, code, contact.email, _message(incident, entity, contact, sender, now)))
    return tuple(found)


def keep(outbox: Path, made: Iterable[Notice]) -> list[Notice]:
    """Lay notices into the outbox; those that were not there yet, nor were sent."""
    fresh = []
    for notice in made:
        name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{notice.incident}-{notice.entity}") + ".eml"
        if (outbox / name).exists() or (outbox / "sent" / name).exists():
            continue
        outbox.mkdir(parents=True, exist_ok=True)
        durable.replace(outbox / name, notice.message)
        fresh.append(notice)
    return fresh


def _message(incident: Incident, entity: Entity, contact: Contact, sender: str, now: datetime) -> bytes:
    """Her language first, then the other."""
    ordered: list[Language] = sorted(LANGUAGES, key=lambda language: language != contact.language)
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = contact.email
    message["Subject"] = f"[{TLP}] [{incident.id}] {incident.title(ordered[0])}"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{incident.id}.{entity.code}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834
    message.set_content("\n\n– – –\n\n".join(_text(language, incident, entity, contact) for language in ordered))
    return message.as_bytes()


def _text(language: Language, incident: Incident, entity: Entity, contact: Contact) -> str:
    return "\n".join(
        (
            TLP,
            "",
            say(language, "To {name}, {body}", name=contact.name, body=entity.name(language)),
            "",
            say(
                language,
                "The national response centre has opened an incident that concerns your body: {title}.",
                title=incident.title(language),
            ),
            say(language, "Reference: {id}", id=incident.id),
            say(language, "Severity: {severity} of 100", severity=incident.severity),
            say(language, "First seen: {first} UTC", first=f"{incident.first:%Y-%m-%d %H:%M}"),
            say(language, "Alerts so far: {alerts}", alerts=incident.alerts),
            "",
            say(language, "Please answer this message and keep the reference in the subject."),
        )
    )
