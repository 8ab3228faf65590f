"""What somebody has to be told of exemptions: they end soon, have ended, are to be reviewed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from hudhud.entity import Registry
from hudhud.people import Person
from hudhud.workdays import Workdays
from mail.grants.asking import Request, Status
from mail.grants.desk import REVIEW_DAYS

What = Literal["ending", "ended", "review", "broken", "unreviewed"]
MAILED: Final[frozenset[What]] = frozenset({"ending", "review", "broken", "unreviewed"})
EVENTS: Final[dict[What, str]] = {
    "ending": "exemption-ending",
    "ended": "exemption-ended",
    "review": "exemption-review-due",
    "broken": "exemption-break-glass",
    "unreviewed": "exemption-unreviewed",
}
FORGOTTEN: Final = timedelta(days=30)  # an end that lies back so far is no news


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to tell, once; `by` is the day that it is about."""

    what: What
    request: Request
    by: datetime


def due(requests: Iterable[Request], now: datetime, days: float, workdays: Workdays) -> Iterator[Due]:
    """Everything that is to be told by now; whoever calls knows what was told already. `days`: before an end."""
    for one in requests:
        if one.approved is None:
            continue
        e = one.exemption
        if e.kind == "break-glass":
            until = workdays.end_of(one.approved, REVIEW_DAYS)
            yield Due("broken", one, until)
            if one.reviewable and now > until:
                yield Due("unreviewed", one, until)
            continue
        if one.status is not Status.APPROVED:
            continue
        first = max(e.ends - timedelta(days=days), e.starts + (e.ends - e.starts) / 2)
        if first <= now < e.ends:
            yield Due("ending", one, e.ends)
        if e.ends <= now < e.ends + FORGOTTEN:
            yield Due("ended", one, e.ends)
        if e.review is not None and e.review <= now.date() and now < e.ends:
            yield Due("review", one, e.ends)


def hearers(found: Due, people: Iterable[Person], registry: Registry) -> tuple[str, ...]:
    """Who gets the mail: the applicant, the body's officers (its contact where none has an address), the sender.

    National addresses only: what is about official mail does not leave the country.
    """
    e, known = found.request.exemption, list(people)
    officers = [p.email for p in known if "officer" in p.roles and p.entity == found.request.entity and p.email]
    body = registry.entities.get(found.request.entity)
    contact = body.contact("security") if body is not None else None
    if not officers and contact is not None:
        officers = [contact.email]
    named = [p.email for p in known if p.login == e.applicant and p.email]
    if found.what in ("broken", "unreviewed"):
        named += [p.email for p in known if "administrator" in p.roles and p.email]
    elif "@" in e.sender:
        named.append(e.sender)
    wanted = dict.fromkeys(address.strip().lower() for address in (*named, *officers))
    return tuple(one for one in wanted if "@" in one and registry.is_national_domain(one.rpartition("@")[2]))
