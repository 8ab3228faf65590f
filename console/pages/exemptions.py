"""Exemptions: who may write to whom abroad and until when; asked for by one, approved by two others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup
from starlette.responses import Response

from cert.store import Query, StoreDown
from console.visit import Stop, Visit
from console.wish import FIELDS, KINDS, Mistake, entity_of, read
from console.words import _
from hudhud.i18n import Catalogue
from mail.exempt import MAX_DAYS
from mail.grants.asking import REVIEWS, Act, NotAllowed, Request

USE_DAYS = 366  # how far back uses are counted
MAX_SHOWN = 500
DEFAULT_DAYS = 30  # offered in the form
_MAIL = Catalogue("mail")  # whose rules exemptions follow


@dataclass(frozen=True, slots=True)
class Line:
    """One exemption with what the clock and the events say of it."""

    request: Request
    state: str  # its status; "over" when it was approved and has ended
    left: timedelta
    uses: int | None
    review_by: datetime | None = None


async def listing(visit: Visit) -> Response:
    """All that the person may see: in force first, then those that wait."""
    found = await visit.house.exempting.list(entity=visit.scope.entity)
    uses = await _uses(visit)
    now = visit.house.clock.now()
    lines = [_line(one, now, uses, visit.house.exempting.review_by(one)) for one in found]
    chosen = visit.query("state", "current")
    current = {"approved", "requested", "seconded"}
    shown = [
        one
        for one in lines
        if chosen == "all"
        or (one.review_by is not None if chosen == "unreviewed" else False)
        or (one.state in current if chosen == "current" else one.state == chosen)
    ]
    shown.sort(key=lambda one: ({"requested": 0, "seconded": 0, "approved": 1}.get(one.state, 2), one.left))
    counts = {"current": sum(one.state in current for one in lines), "all": len(lines)}
    counts["unreviewed"] = sum(one.review_by is not None for one in lines)
    counts |= {
        state: sum(one.state == state for one in lines)
        for state in ("requested", "seconded", "approved", "over", "refused", "revoked")
    }
    return visit.page(
        "exemptions.html",
        lines=shown[:MAX_SHOWN],
        chosen=chosen,
        counts=counts,
        may_ask=visit.can("officer", "administrator", "analyst"),
    )


async def one(visit: Visit) -> Response:
    """One exemption with its history and the acts that are open to this person."""
    request = await _found(visit)
    now = visit.house.clock.now()
    line = _line(request, now, await _uses(visit), visit.house.exempting.review_by(request))
    acts = [str(act) for act in await visit.house.exempting.open_acts(visit.person, request, now)]
    return visit.page("exemption.html", line=line, request=request, acts=acts, own=_is_own(visit, request))


async def form(visit: Visit) -> Response:
    """The request's form; a refusal's link may bring sender and recipient along."""
    today = visit.house.clock.now().date()
    typed = {
        "kind": visit.query("kind", "ordinary"),
        "sender": visit.query("sender"),
        "recipient": visit.query("recipient"),
        "starts": today.isoformat(),
        "days": str(DEFAULT_DAYS),
    }
    return _form(visit, typed)


async def ask(visit: Visit) -> Response:
    """Write the request down."""
    typed = {name: visit.form.get(name, "").strip() for name in FIELDS}
    now = visit.house.clock.now()
    try:
        exemption = read(visit, typed, now)
        entity = entity_of(visit, exemption)
        await visit.house.exempting.check_wish(visit.person, exemption)
        request = await visit.house.exempting.request(exemption, entity, now)
    except Mistake as mistake:
        return _form(visit, typed, mistake.words, 422)
    except NotAllowed as error:
        return _form(visit, typed, visit.say(_("It cannot be asked for like this: {why}"), why=_why(visit, error)), 422)
    await visit.record(
        "exemption.request",
        request.exemption.id,
        reason=exemption.reason,
        after={"entity": entity, "ends": request.exemption.ends.isoformat(), "document": exemption.document}
        | {"kind": exemption.kind},
    )
    done = "glass" if exemption.kind == "break-glass" else "requested"
    return visit.go(f"/exemptions/{request.exemption.id}", done=done)


async def approve(visit: Visit) -> Response:
    """The first approval of two, or the second, which puts it in force."""
    return await _move(visit, Act.APPROVE)


async def refuse(visit: Visit) -> Response:
    """Decline it, with a reason."""
    visit.reason()
    return await _move(visit, Act.REFUSE)


async def revoke(visit: Visit) -> Response:
    """Take it back, with a reason."""
    visit.reason()
    return await _move(visit, Act.REVOKE)


async def review(visit: Visit) -> Response:
    """A break-glass exemption was right, with what was found."""
    visit.reason()
    return await _move(visit, Act.REVIEW)


async def object_to(visit: Visit) -> Response:
    """It was not right; it ends."""
    visit.reason()
    return await _move(visit, Act.OBJECT)


async def _move(visit: Visit, act: Act) -> Response:
    request, now = await _found(visit), visit.house.clock.now()
    try:
        await visit.house.exempting.check_may(visit.person, request, act, now)
    except NotAllowed as error:
        raise Stop(403, _("This is not open to you"), _("The rules say: {why}"), why=_why(visit, error)) from None
    if act is Act.APPROVE and _is_own(visit, request):
        raise Stop(
            403, _("Nobody approves an exemption of their own"), _("Two other people approve what you asked for.")
        )
    if act is Act.APPROVE and _has_approved(visit, request):
        raise Stop(409, _("You have approved it already"), _("The second approval is another person's."))
    if act not in request.moves():
        raise Stop(
            409, _("Someone changed it meanwhile"), _("Look at the exemption as it stands now, and decide again.")
        )
    try:
        after = await visit.house.exempting.move(
            request.exemption.id, act, visit.person.login, now, visit.form.get("reason", "").strip()
        )
    except NotAllowed as error:
        raise Stop(
            409, _("The rules of exemptions do not allow this"), _("They say: {why}"), why=_why(visit, error)
        ) from None
    await visit.record(
        f"exemption.{act}",
        request.exemption.id,
        reason=visit.form.get("reason", ""),
        before=str(request.status),
        after=str(after.status),
    )
    return visit.go(f"/exemptions/{request.exemption.id}", done="reviewed" if act in REVIEWS else str(after.status))


async def _found(visit: Visit) -> Request:
    try:
        request = await visit.house.exempting.get(visit.part("id")[:40])
    except NotAllowed:
        request = None
    if request is None or not visit.scope.covers((request.entity,)):
        raise Stop(404, _("There is no such exemption"), _("It does not exist, or it does not concern your entity."))
    return request


async def _uses(visit: Visit) -> Mapping[str, int] | None:
    """How often each exemption was used, as events tell; None while the store is down."""
    now = visit.house.clock.now()
    query = Query(
        "event.action:exemption-used", now - timedelta(days=USE_DAYS), now + timedelta(minutes=5), visit.scope.entity
    )
    try:
        return {one.key: one.count for one in await visit.house.store.counts(query, "hudhud.mail.exemption", 1000)}
    except StoreDown:
        return None


def _line(request: Request, now: datetime, uses: Mapping[str, int] | None, review_by: datetime | None = None) -> Line:
    count = None if uses is None else uses.get(request.exemption.id, 0)
    state = "over" if request.over(now) else str(request.status)
    return Line(request, state, request.exemption.ends - now, count, review_by)


def _why(visit: Visit, error: NotAllowed) -> str:
    """What the rules of exemptions say, in the reader's language."""
    return _MAIL(visit.language, error.text, **error.values)


def _form(visit: Visit, typed: Mapping[str, str], problem: Markup | None = None, status: int = 200) -> Response:
    fields = {name: typed.get(name, "") for name in FIELDS}
    return visit.page(
        "exemption_form.html",
        status,
        typed=fields,
        problem=problem,
        max_days=MAX_DAYS,
        kinds=KINDS,
        levels=visit.house.exempting.levels,
    )


def _is_own(visit: Visit, request: Request) -> bool:
    return visit.person.login.casefold() == request.exemption.applicant.casefold()


def _has_approved(visit: Visit, request: Request) -> bool:
    return visit.person.login.casefold() in {name.casefold() for name in request.exemption.approvers}
