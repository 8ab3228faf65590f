"""Who already has it: the recipients that an incident's alerts tell of, each once, with what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cert.store import Alert

# The ECS names of the relay's event that alerts carry on as facts.
RECIPIENT = "email.to.address"
SENDER = "email.from.address"
DISPOSITION = "hudhud.mail.disposition"
QUEUE_ID = "hudhud.mail.queue_id"
FILES = "email.attachments.file.name"

# Which of several dispositions of one recipient is told: the one that most needs doing something.
_RANK = {
    name: rank
    for rank, name in enumerate(("released", "delivered", "accepted", "accept", "tagged", "tag", "held", "hold"))
}


@dataclass(frozen=True, slots=True)
class Reached:
    """One recipient. `queue_id` leads to the held message, "" where none is known."""

    recipient: str
    entity: str
    sender: str
    disposition: str
    when: datetime
    queue_id: str
    files: tuple[str, ...]
    messages: int

    @property
    def has_it(self) -> bool:
        """Whether the message lies in the mailbox, as far as the alerts know."""
        return self.disposition in {"released", "delivered", "accepted", "accept", "tagged", "tag"}


def reached(alerts: Iterable[Alert]) -> list[Reached]:
    """Those whose message was let through first, then those whose message is held, each by address."""
    found: dict[str, Reached] = {}
    for alert in alerts:
        for recipient in texts(alert.facts.get(RECIPIENT)):
            fresh = Reached(
                recipient=recipient,
                entity=alert.entity,
                sender=", ".join(texts(alert.facts.get(SENDER))),
                disposition="".join(texts(alert.facts.get(DISPOSITION))[:1]),
                when=alert.timestamp,
                queue_id="".join(texts(alert.facts.get(QUEUE_ID))[:1]),
                files=texts(alert.facts.get(FILES)),
                messages=1,
            )
            known = found.get(recipient)
            found[recipient] = fresh if known is None else _joined(known, fresh)
    return sorted(found.values(), key=lambda one: (not one.has_it, one.recipient))


def _joined(one: Reached, other: Reached) -> Reached:
    worse = min(one, other, key=lambda reach: (_RANK.get(reach.disposition, len(_RANK)), reach.when))
    messages = one.messages + (other.messages if other.queue_id != one.queue_id else 0)
    return Reached(
        worse.recipient,
        worse.entity,
        worse.sender,
        worse.disposition,
        worse.when,
        worse.queue_id,
        worse.files,
        messages,
    )


def texts(value: object) -> tuple[str, ...]:
    """A fact as a tuple of texts, whether it came as one value or several."""
    if value is None or value == "":
        return ()
    return tuple(str(one) for one in value) if isinstance(value, list) else (str(value),)
