"""The international link was cut or is back, as an ECS document. Pure."""

from __future__ import annotations

from datetime import datetime

from hudhud import codec
from hudhud.event import Value, format_time, nest


def link_changed(action: str, since: datetime | None, node: str, now: datetime) -> bytes:
    """`action` is link-cut or link-back; `since` is when foreign next hops began to be silent."""
    fields: dict[str, Value] = {
        "event.kind": "alert" if action == "link-cut" else "event",
        "event.category": ["network"],
        "event.type": ["info"],
        "event.action": action,
        "event.dataset": "hudhud.mail",
        "event.provider": "hudhud-relay",
        "event.outcome": "failure" if action == "link-cut" else "success",
        "event.severity": 60 if action == "link-cut" else 20,
        "observer.name": node,
        "observer.type": "relay",
    }
    if since is not None:
        fields["event.start"] = format_time(since)
    return codec.encode(nest(fields) | {"@timestamp": format_time(now)})
