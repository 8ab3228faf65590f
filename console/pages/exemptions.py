"""Exemptions: who may write to whom abroad and until when; asked for by one, approved by two others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from cert.store import Query, StoreDown
from console.visit import Stop, Visit
from console.words import _
from hudhud.i18n import Catalogue
from mail.exempt import ENTITY, MAX_DAYS, Exemption, Kind, normal_scope, normal_sender
from mail.grants.asking import REVIEWS, Act, NotAllowed, Request

USE_DAYS = 366  # how far back uses are counted
MiB = 1024 * 1024
MAX_SHOWN = 500
MAX_SIZE_MIB = 10_000
DEFAULT_DAYS = 30  # offered in the form
FIELDS = (
    "kind", "sender", "recipient", "starts", "days", "size", "level", "reason", "document",
    "owner", "contact", "review",
)  # fmt: skip
KINDS: tuple[Kind, ...] = ("ordinary", "partner", "break-glass")

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
        exemption = _read(visit, typed, now)
        entity = _entity_of(visit, exemption)
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


class Mistake(Exception):  # noqa: N818 - an answer to the person who fills in the form
    """What is wrong with the form, in the person's language."""

    def __init__(self, words: Markup) -> None:
        super().__init__(str(words))
        self.words = words


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


def _read(visit: Visit, typed: Mapping[str, str], now: datetime) -> Exemption:
    """The form as an exemption; Mistake says which field is wrong and what belongs there."""
    kind: Kind = next((one for one in KINDS if one == typed["kind"]), "ordinary")
    for name, normal in (("sender", normal_sender), ("recipient", normal_scope)):
        try:
            normal(typed[name])
        except ValueError:
            raise Mistake(visit.say(_("“{text}” is neither an address nor a domain."), text=typed[name])) from None
    try:
        first = datetime.combine(datetime.fromisoformat(typed["starts"]).date(), time(), UTC)
    except ValueError:
        raise Mistake(visit.say(_("Give the first day as year-month-day, for example 2026-12-31."))) from None
    days = _whole(typed["days"], MAX_DAYS)
    if days is None:
        raise Mistake(
            visit.say(_("The length is a whole number of days, {days} at most; ask again when it ends."), days=MAX_DAYS)
        )
    if first.date() < now.date():
        raise Mistake(visit.say(_("The first day is over already: nothing is allowed afterwards.")))
    starts = max(first, now)
    size = _whole(typed["size"], MAX_SIZE_MIB)
    if typed["size"] and size is None:
        raise Mistake(visit.say(_("The largest size is a whole number of MiB.")))
    document = typed["document"] or (kind if kind == "break-glass" else "")
    if len(typed["reason"]) < 5 or len(document) < 2:
        raise Mistake(
            visit.say(_("Reason and document are both needed: on what grounds, by which letter or decision."))
        )
    return Exemption(
        id="",
        sender=typed["sender"],
        recipient=typed["recipient"],
        starts=starts,
        ends=starts + timedelta(days=days),
        reason=typed["reason"],
        document=document,
        applicant=visit.person.login,
        max_size=size * MiB if size else None,
        classification=typed["level"],
        kind=kind,
        **(_partner(visit, typed) if kind == "partner" else {}),
    )


def _partner(visit: Visit, typed: Mapping[str, str]) -> dict[str, Any]:
    try:
        review = date.fromisoformat(typed["review"])
    except ValueError:
        raise Mistake(visit.say(_("Give the day of review as year-month-day, for example 2026-12-31."))) from None
    return {"owner": typed["owner"], "contact": typed["contact"], "review": review}


def _whole(text: str, largest: int) -> int | None:
    """The text as a whole number from 1 to `largest`, else None."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 and 0 < int(text) <= largest else None


def _entity_of(visit: Visit, exemption: Exemption) -> str:
    """The body that the sender belongs to; Mistake where there is none, or it is not the person's own."""
    registry = visit.house.registry.value
    scope = normal_sender(exemption.sender)
    whole = scope.startswith(ENTITY)
    entity = (
        registry.entities.get(scope.removeprefix(ENTITY)) if whole else registry.by_domain(scope.rpartition("@")[2])
    )
    if entity is None:
        raise Mistake(visit.say(_("“{text}” belongs to no public body of the registry."), text=exemption.sender))
    if not visit.scope.covers((entity.code,)):
        raise Mistake(visit.say(_("You ask for exemptions of your own entity only.")))
    if registry.is_national_domain(normal_scope(exemption.recipient).rpartition("@")[2]):
        raise Mistake(visit.say(_("“{text}” is national: writing there needs no exemption."), text=exemption.recipient))
    return entity.code


def _is_own(visit: Visit, request: Request) -> bool:
    return visit.person.login.casefold() == request.exemption.applicant.casefold()


def _has_approved(visit: Visit, request: Request) -> bool:
    return visit.person.login.casefold() in {name.casefold() for name in request.exemption.approvers}
