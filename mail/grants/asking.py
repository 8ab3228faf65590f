"""What may be asked for and who may do what with it: the rules of exemptions as a table and pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from mail.exempt import BREAK_GLASS_S, MAX_DAYS, Exemption, normal_scope, normal_sender

MAX_AHEAD_DAYS: Final = 366  # days from the request to the beginning
SLACK_S: Final = 300  # seconds that the beginning may lie back: clocks, and the time it takes to type
LAPSE_HOURS: Final = 24  # a break-glass request that nobody approved by then is over


def _(text: str) -> str:
    """Marks a text for the catalogue."""
    return text


class NotAllowed(Exception):  # noqa: N818 - it is an answer to a person, not a fault
    """An act that the rules of exemptions forbid: `text` is of the catalogue and says which and why."""

    def __init__(self, text: str, /, **values: object) -> None:
        super().__init__(text.format(**values))
        self.text, self.values = text, values


class Status(StrEnum):
    REQUESTED = "requested"
    SECONDED = "seconded"  # one approver of two
    APPROVED = "approved"
    REFUSED = "refused"
    REVOKED = "revoked"


class Act(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"
    REVOKE = "revoke"
    REVIEW = "review"  # a break-glass exemption was right …
    OBJECT = "object"  # … or it was not


MOVES: Final[Mapping[tuple[Status, Act], Status]] = {
    (Status.REQUESTED, Act.APPROVE): Status.SECONDED,
    (Status.REQUESTED, Act.REFUSE): Status.REFUSED,
    (Status.REQUESTED, Act.REVOKE): Status.REVOKED,
    (Status.SECONDED, Act.APPROVE): Status.APPROVED,
    (Status.SECONDED, Act.REFUSE): Status.REFUSED,
    (Status.SECONDED, Act.REVOKE): Status.REVOKED,
    (Status.APPROVED, Act.REVOKE): Status.REVOKED,
    (Status.APPROVED, Act.REVIEW): Status.APPROVED,
    (Status.APPROVED, Act.OBJECT): Status.REVOKED,
    (Status.REVOKED, Act.REVIEW): Status.REVOKED,
    (Status.REVOKED, Act.OBJECT): Status.REVOKED,
}
REVIEWS: Final = frozenset({Act.REVIEW, Act.OBJECT})
_DONE: Final[Mapping[Act, str]] = {
    Act.APPROVE: _("{id} is {status}: it cannot be approved"),
    Act.REFUSE: _("{id} is {status}: it cannot be declined"),
    Act.REVOKE: _("{id} is {status}: it cannot be revoked"),
    Act.REVIEW: _("{id} is {status}: it cannot be reviewed"),
    Act.OBJECT: _("{id} is {status}: it cannot be reviewed"),
}
_NEEDED: Final[Mapping[str, str]] = {
    "reason": _("an exemption needs a reason"),
    "document": _("an exemption needs the number of a document"),
    "applicant": _("an exemption needs an applicant"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """An exemption on its way: its status and who did what (moment, actor, act, reason)."""

    exemption: Exemption
    status: Status
    entity: str
    history: tuple[tuple[datetime, str, str, str], ...] = ()

    def moves(self) -> frozenset[Act]:
        """The acts that its status allows."""
        acts = frozenset(act for status, act in MOVES if status is self.status)
        return acts if self.reviewable else acts - REVIEWS

    @property
    def approved(self) -> datetime | None:
        """When the last approval that it needed was given."""
        given = [moment for moment, _, act, _ in self.history if act == Act.APPROVE]
        return given[-1] if len(given) >= self.exemption.needed else None

    @property
    def reviewed(self) -> tuple[datetime, str, str, str] | None:
        """Who reviewed the break-glass exemption, and what was found: `review` right, `object` wrong."""
        return next((entry for entry in self.history if entry[2] in REVIEWS), None)

    @property
    def reviewable(self) -> bool:
        """Whether somebody has to look at it afterwards, and nobody has yet."""
        return self.exemption.kind == "break-glass" and self.approved is not None and self.reviewed is None

    def over(self, now: datetime) -> bool:
        """Whether it ended by itself; a break-glass request that waits lapses."""
        if self.status in (Status.REFUSED, Status.REVOKED):
            return False
        if self.exemption.kind == "break-glass" and self.approved is None:
            return now >= self.history[0][0] + timedelta(hours=LAPSE_HOURS)
        return self.exemption.ends <= now


def requested(exemption: Exemption, entity: str, now: datetime) -> Request:
    """Pure. A new request; NotAllowed where it is open-ended, begins in the past, or has no reason or document."""
    for name, problem in _NEEDED.items():
        if not str(getattr(exemption, name)).strip():
            raise NotAllowed(problem)
    if exemption.kind == "break-glass":
        ends = now + timedelta(seconds=BREAK_GLASS_S)
        exemption = msgspec.structs.replace(exemption, starts=now, ends=ends, uses=1)
    _check_period(exemption, now)
    if exemption.max_size is not None and exemption.max_size <= 0:
        raise NotAllowed(_("the size is a number of octets above zero"))
    _check_partner(exemption)
    scope = msgspec.structs.replace(exemption, approvers=(), **_scopes(exemption))
    if exemption.kind == "break-glass" and ("@" not in scope.sender or "@" not in scope.recipient):
        raise NotAllowed(_("break-glass is for one message from one address to one other"))
    return Request(scope, Status.REQUESTED, entity, ((now, exemption.applicant, "request", exemption.reason),))


def _check_period(exemption: Exemption, now: datetime) -> None:
    if exemption.starts.tzinfo is None or exemption.ends.tzinfo is None:
        raise NotAllowed(_("times need their zone"))
    if exemption.ends <= max(now, exemption.starts):
        raise NotAllowed(_("the exemption would end before it begins"))
    if exemption.starts < now - timedelta(seconds=SLACK_S):
        raise NotAllowed(_("the exemption would begin in the past; nothing is allowed afterwards"))
    if exemption.starts > now + timedelta(days=MAX_AHEAD_DAYS):
        raise NotAllowed(_("the exemption would begin in more than {days} days"), days=MAX_AHEAD_DAYS)
    if exemption.ends - exemption.starts > timedelta(days=MAX_DAYS):
        raise NotAllowed(_("an exemption lasts at most {days} days; this one would last longer"), days=MAX_DAYS)


def _check_partner(exemption: Exemption) -> None:
    if exemption.kind != "partner":
        if exemption.owner or exemption.contact or exemption.review is not None:
            raise NotAllowed(_("only a partner's exemption has an owner, a contact and a day of review"))
        return
    if not exemption.owner.strip() or not exemption.contact.strip():
        raise NotAllowed(_("a partner's exemption needs an owner, who answers for it, and a contact at the partner"))
    if exemption.review is None or not exemption.starts.date() <= exemption.review <= exemption.ends.date():
        raise NotAllowed(_("a partner's exemption is reviewed on a day between its beginning and its end"))


def _scopes(exemption: Exemption) -> dict[str, str]:
    found = {}
    for name, normal in (("sender", normal_sender), ("recipient", normal_scope)):
        text = str(getattr(exemption, name))
        try:
            found[name] = normal(text)
        except ValueError:
            raise NotAllowed(_("“{text}” is neither an address nor a domain, or covers too much"), text=text) from None
    return found


def moved(request: Request, act: Act, actor: str, now: datetime, reason: str = "") -> Request:
    """Pure. The request after `actor` did `act`; NotAllowed says which rule forbids it."""
    after = MOVES.get((request.status, act))
    exemption = request.exemption
    if after is None:
        raise NotAllowed(_DONE[act], id=exemption.id, status=str(request.status))
    if act is Act.APPROVE:
        request = _approved(request, actor, now)
        exemption = request.exemption
        after = after if len(exemption.approvers) < exemption.needed else Status.APPROVED
    elif not reason.strip():
        raise NotAllowed(_("say why: a reason is needed"))
    elif act in REVIEWS:
        _check_review(request, actor)
    history = (*request.history, (now, actor, str(act), reason))
    return replace(request, exemption=exemption, status=after, history=history)


def _approved(request: Request, actor: str, now: datetime) -> Request:
    exemption = request.exemption
    if actor.casefold() == exemption.applicant.casefold():
        raise NotAllowed(_("nobody approves an exemption of their own"))
    if actor.casefold() in {name.casefold() for name in exemption.approvers}:
        raise NotAllowed(_("{actor} has approved it already: the second approver is another person"), actor=actor)
    if request.over(now):
        raise NotAllowed(_("{id} is over since {when}"), id=exemption.id, when=f"{exemption.ends:%Y-%m-%d %H:%M}")
    times = {}
    if exemption.kind == "break-glass":  # its hour begins when it is approved
        times = {"starts": now, "ends": now + timedelta(seconds=BREAK_GLASS_S)}
    return replace(
        request, exemption=msgspec.structs.replace(exemption, approvers=(*exemption.approvers, actor), **times)
    )


def _check_review(request: Request, actor: str) -> None:
    exemption = request.exemption
    if not request.reviewable:
        raise NotAllowed(_("{id} is not waiting for a review"), id=exemption.id)
    if actor.casefold() in {name.casefold() for name in (exemption.applicant, *exemption.approvers)}:
        raise NotAllowed(_("whoever asked for it or approved it does not review it: another person does"))
