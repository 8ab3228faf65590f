"""An exemption as machines and people read it: JSON for the command line and the control API, words for both. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from hudhud.event import format_time
from mail.grants.asking import Request, Status


def _(text: str) -> str:
    """Marks a text for the catalogue."""
    return text


STATES: Mapping[str, str] = {
    "requested": _("requested"),
    "seconded": _("one approval of two"),
    "approved": _("approved"),
    "refused": _("declined"),
    "revoked": _("revoked"),
    "over": _("over"),
}
KINDS: Mapping[str, str] = {
    "ordinary": _("ordinary"),
    "partner": _("partner"),
    "break-glass": _("break-glass"),
}


def state(one: Request, now: datetime) -> str:
    """Its status; "over" where it ended by itself."""
    return "over" if one.over(now) else str(one.status)


def told(
    one: Request, now: datetime, *, used: tuple[int, datetime] | None = None, review_by: datetime | None = None
) -> dict[str, object]:
    """Everything of it. `used`: how often, and when last, where it is known."""
    e = one.exemption
    more: dict[str, object] = {}
    if e.kind == "partner":
        more |= {"owner": e.owner, "contact": e.contact, "review": e.review.isoformat() if e.review else None}
    if one.approved is not None and e.kind == "break-glass":
        found = one.reviewed
        more["reviewed"] = (
            None
            if found is None
            else {"at": format_time(found[0]), "by": found[1], "right": found[2] == "review", "reason": found[3]}
        )
        more["review_by"] = format_time(review_by) if review_by is not None else None
        more["review_overdue"] = review_by is not None and now > review_by
    return {
        "id": e.id,
        "kind": e.kind,
        "status": str(one.status),
        "state": state(one, now),
        "in_force": one.status is Status.APPROVED and e.in_force(now),
        "entity": one.entity,
        "sender": e.sender,
        "recipient": e.recipient,
        "starts": format_time(e.starts),
        "ends": format_time(e.ends),
        "max_size": e.max_size,
        "classification": e.classification,
        "uses": e.uses,
        "reason": e.reason,
        "document": e.document,
        "applicant": e.applicant,
        "approvers": list(e.approvers),
        "used": None if used is None else used[0],
        "last_used": format_time(used[1]) if used is not None and used[0] else None,
        **more,
    }


def history(one: Request) -> list[dict[str, str]]:
    """Who did what, oldest first."""
    return [
        {"at": format_time(moment), "actor": actor, "act": act, "reason": reason}
        for moment, actor, act, reason in one.history
    ]
