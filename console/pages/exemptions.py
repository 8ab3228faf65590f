"""Exemptions: who may write to whom abroad and until when; asked for by one, approved by two others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from markupsafe import Markup
from starlette.responses import Response

from cert.store import Query, StoreDown
from console.visit import Stop, Visit
from console.words import _
from mail.exempt import MAX_DAYS, Exemption, normal_scope
from mail.grants.asking import Act, NotAllowed, Request, Status

USE_DAYS = 366  # how far back uses are counted
MiB = 1024 * 1024
MAX_SHOWN = 500
MAX_SIZE_MIB = 10_000
DEFAULT_DAYS = 30  # offered in the form
FIELDS = ("sender", "recipient", "starts", "days", "size", "reason", "document")


@dataclass(frozen=True, slots=True)
class Line:
    """One exemption with what the clock and the events say of it."""

    request: Request
    state: str  # its status; "over" when it was approved and has ended
    left: timedelta
    uses: int | None


async def listing(visit: Visit) -> Response:
    """All that the person may see: in force first, then those that wait."""
    found = await visit.house.exempting.list(entity=visit.scope.entity)
    uses = await _uses(visit)
    now = visit.house.clock.now()
    lines = [_line(one, now, uses) for one in found]
    chosen = visit.query("state", "current")
    current = {"approved", "requested", "seconded"}
    shown = [
        one
        for one in lines
        if chosen == "all" or (one.state in current if chosen == "current" else one.state == chosen)
    ]
    shown.sort(key=lambda one: ({"requested": 0, "seconded": 0, "approved": 1}.get(one.state, 2), one.left))
    counts = {"current": sum(one.state in current for one in lines), "all": len(lines)}
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
    line = _line(request, visit.house.clock.now(), await _uses(visit))
    return visit.page(
        "exemption.html", line=line, request=request, acts=_open_acts(visit, request), own=_is_own(visit, request)
    )


async def form(visit: Visit) -> Response:
    """The request's form; a refusal's link may bring sender and recipient along."""
    today = visit.house.clock.now().date()
    typed = {
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
        request = await visit.house.exempting.request(exemption, entity, now)
    except Mistake as mistake:
        return _form(visit, typed, mistake.words, 422)
    except NotAllowed as error:
        return _form(visit, typed, visit.say(_("It cannot be asked for like this: {why}"), why=str(error)), 422)
    await visit.record(
        "exemption.request",
        request.exemption.id,
        reason=exemption.reason,
        after={"entity": entity, "ends": exemption.ends.isoformat(), "document": exemption.document},
    )
    return visit.go(f"/exemptions/{request.exemption.id}", done="requested")


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


class Mistake(Exception):  # noqa: N818 - an answer to the person who fills in the form
    """What is wrong with the form, in the person's language."""

    def __init__(self, words: Markup) -> None:
        super().__init__(str(words))
        self.words = words


async def _move(visit: Visit, act: Act) -> Response:
    request, now = await _found(visit), visit.house.clock.now()
    if not _is_granter(visit, request):
        raise Stop(403, _("This is not open to you"), _("An officer decides on exemptions of her own entity only."))
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
        raise Stop(409, _("The rules of exemptions do not allow this"), _("They say: {why}"), why=str(error)) from None
    await visit.record(
        f"exemption.{act}",
        request.exemption.id,
        reason=visit.form.get("reason", ""),
        before=str(request.status),
        after=str(after.status),
    )
    return visit.go(f"/exemptions/{request.exemption.id}", done=str(after.status))


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


def _line(request: Request, now: datetime, uses: Mapping[str, int] | None) -> Line:
    left = request.exemption.ends - now
    over = request.status in {Status.APPROVED, Status.REQUESTED, Status.SECONDED} and left <= timedelta(0)
    count = None if uses is None else uses.get(request.exemption.id, 0)
    return Line(request, "over" if over else str(request.status), left, count)


def _form(visit: Visit, typed: Mapping[str, str], problem: Markup | None = None, status: int = 200) -> Response:
    fields = {name: typed.get(name, "") for name in FIELDS}
    return visit.page("exemption_form.html", status, typed=fields, problem=problem, max_days=MAX_DAYS)


def _read(visit: Visit, typed: Mapping[str, str], now: datetime) -> Exemption:
    """The form as an exemption; Mistake says which field is wrong and what belongs there."""
    for name in ("sender", "recipient"):
        try:
            normal_scope(typed[name])
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
    starts = max(first, now)
    size = _whole(typed["size"], MAX_SIZE_MIB)
    if typed["size"] and size is None:
        raise Mistake(visit.say(_("The largest size is a whole number of MiB.")))
    if len(typed["reason"]) < 5 or len(typed["document"]) < 2:
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
        document=typed["document"],
        applicant=visit.person.login,
        max_size=size * MiB if size else None,
    )


def _whole(text: str, largest: int) -> int | None:
    """The text as a whole number from 1 to `largest`, else None."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 and 0 < int(text) <= largest else None


def _entity_of(visit: Visit, exemption: Exemption) -> str:
    """The body that the sender belongs to; Mistake where there is none, or it is not the person's own."""
    registry = visit.house.registry.value
    scope = normal_scope(exemption.sender)
    entity = registry.by_domain(scope.rpartition("@")[2])
    if entity is None:
        raise Mistake(visit.say(_("“{text}” belongs to no public body of the registry."), text=exemption.sender))
    if not visit.scope.covers((entity.code,)):
        raise Mistake(visit.say(_("You ask for exemptions of your own entity only.")))
    if registry.is_national_domain(normal_scope(exemption.recipient).rpartition("@")[2]):
        raise Mistake(visit.say(_("“{text}” is national: writing there needs no exemption."), text=exemption.recipient))
    return entity.code


def _open_acts(visit: Visit, request: Request) -> Sequence[str]:
    """What this person may do with it now."""
    if not _is_granter(visit, request):
        return ()
    over = request.exemption.ends <= visit.house.clock.now()
    closed_to_me = over or _is_own(visit, request) or _has_approved(visit, request)
    return [str(act) for act in Act if act in request.moves() and not (act is Act.APPROVE and closed_to_me)]


def _is_granter(visit: Visit, request: Request) -> bool:
    return visit.can("administrator") or (visit.can("officer") and visit.person.entity == request.entity)


def _is_own(visit: Visit, request: Request) -> bool:
    return visit.person.login.casefold() == request.exemption.applicant.casefold()


def _has_approved(visit: Visit, request: Request) -> bool:
    return visit.person.login.casefold() in {name.casefold() for name in request.exemption.approvers}
