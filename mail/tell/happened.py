"""What the relay did with a message, as an ECS document: one for each message, organisation and action. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from hudhud import event
from hudhud.event import Value
from mail.shelf.stored import Stored, shown_address

Action = Literal[
    "accepted",
    "tagged",
    "held",
    "deferred",
    "refused",
    "delivered",
    "bounced",
    "released",
    "resumed",
    "deleted",
    "notice",
    "exemption-used",
    "rule-stopped",
    "rejudged",
    "judged",
]
_TYPES: Mapping[Action, str] = {"refused": "denied", "held": "denied", "accepted": "allowed", "delivered": "allowed"}


def tell(
    stored: Stored,
    action: Action,
    node: str,
    now: datetime,
    *,
    recipients: Iterable[bytes],
    organization: str,
    direction: str = "",
    failure: bool = False,
    reason: str = "",
    rules: Sequence[str] = (),
    reply: str = "",
    actor: str = "",
) -> bytes:
    """One document. `organization` is the code of the official side; no subject, no content."""
    client = stored.client
    fields: dict[str, Value] = {
        "event.kind": "event",
        "event.category": ["email"],
        "event.type": [_TYPES.get(action, "info")],
        "event.action": action,
        "event.dataset": "hudhud.mail",
        "event.provider": "hudhud-relay",
        "event.outcome": "failure" if failure else "success",
        "event.reason": reason or None,
        "organization.id": organization or None,
        "observer.name": node,
        "observer.type": "relay",
        "email.message_id": stored.message_id or None,
        "email.from.address": [shown_address(stored.sender)] if stored.sender else [],
        "email.to.address": [shown_address(one) for one in recipients],
        "email.direction": direction or None,
        "source.ip": (client.ip or None) if client else None,
        "source.domain": (client.helo or None) if client else None,
        "rule.id": list(rules) or None,
        "user.name": actor or None,
        "hudhud.mail.queue_id": stored.queue_id,
        "hudhud.mail.listener": stored.listener,
        "hudhud.mail.account": stored.account or None,
        "hudhud.mail.size": stored.size,
        "hudhud.mail.sha256": stored.sha256,
        "hudhud.mail.reply": reply or None,
    }
    return event.encode(fields, now)


def damaged(shard: int, problem: str, lost: int, node: str, now: datetime) -> bytes:
    """An alert: a shard was found damaged and set apart; `lost` messages in it could not be read."""
    fields: dict[str, Value] = {
        "event.kind": "alert",
        "event.category": ["email"],
        "event.type": ["info"],
        "event.action": "shard-damaged",
        "event.dataset": "hudhud.mail",
        "event.provider": "hudhud-relay",
        "event.outcome": "failure",
        "event.reason": problem[:1000],
        "event.severity": 80,
        "observer.name": node,
        "observer.type": "relay",
        "hudhud.mail.shard": shard,
        "hudhud.mail.lost": lost,
    }
    return event.encode(fields, now)
