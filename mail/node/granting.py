"""Exemptions through the control API, where the desk is on this machine: in the name of a person of people.toml."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeVar

from hudhud.audit import AuditError
from hudhud.clock import SYSTEM
from hudhud.i18n import Catalogue
from hudhud.people import People, Person
from hudhud.release import ReleaseError
from hudhud.settings import Settings
from mail.exempt import Exemption, Kind
from mail.grants.asking import Act, NotAllowed, Request, Status
from mail.grants.desk import Desk
from mail.grants.opening import NoDesk, opened
from mail.grants.telling import history, told
from mail.node import asked
from mail.node.asking import Refused
from mail.shelf import uses

FIELDS: Final = (
    "sender", "recipient", "starts", "ends", "days", "reason", "document", "max_size", "classification", "kind",
    "owner", "contact", "review",
)  # fmt: skip
ACTS: Final[Mapping[str, Act]] = {
    "approve": Act.APPROVE,
    "reject": Act.REFUSE,
    "refuse": Act.REFUSE,
    "revoke": Act.REVOKE,
    "review": Act.REVIEW,
    "object": Act.OBJECT,
}
KINDS: Final[tuple[Kind, ...]] = ("ordinary", "partner", "break-glass")
NATIONAL: Final = frozenset({"analyst", "administrator", "auditor"})  # who sees the whole country

say: Final = Catalogue("mail")
T = TypeVar("T")


class Granting:
    """Every act is done in a thread: it reads and signs files."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def list(self, actor: str, status: str, entity: str) -> object:
        """Those that the person may see, in the order of their requests."""
        try:
            wanted = Status(status) if status else None
        except ValueError:
            raise Refused(400, f"there is no status {status!r}; there are {', '.join(Status)}") from None

        def work(desk: Desk, person: Person) -> object:
            now, counts = SYSTEM.now(), uses.counted(self._uses())
            found = desk.ledger.list(status=wanted, entity=entity or None)
            return {
                "exemptions": [
                    told(one, now, used=counts.get(one.exemption.id, (0, now)), review_by=desk.review_by(one))
                    for one in found
                    if _sees(person, one)
                ]
            }

        return await self._do(actor, work)

    async def show(self, actor: str, id: str) -> object:
        """One with its history, this node's use log, and what the person may do with it."""

        def work(desk: Desk, person: Person) -> object:
            one = _found(desk, person, id)
            log, now = self._uses(id), SYSTEM.now()
            used = uses.counted(log).get(id, (0, now))
            return {
                **told(one, now, used=used, review_by=desk.review_by(one)),
                "history": history(one),
                "use_log": [
                    {"at": u.moment.isoformat(), "queue_id": u.reference, "recipient": u.recipient, "size": u.size}
                    for u in log
                ],
                "acts": [str(act) for act in desk.open_acts(person, one, now)],
            }

        return await self._do(actor, work)

    async def request(self, actor: str, given: Mapping[str, Any]) -> object:
        """Ask for one; the applicant is the person who acts."""

        def work(desk: Desk, person: Person) -> object:
            now = SYSTEM.now()
            return told(desk.request(person, _wish(given, person.login, now), now), now)

        return await self._do(actor, work)

    async def act(self, actor: str, id: str, name: str, reason: str) -> object:
        """Approve, reject, revoke, review."""
        if name not in ACTS:
            raise Refused(404, f"there is no act {name!r}; there are {', '.join(ACTS)}")

        def work(desk: Desk, person: Person) -> object:
            _found(desk, person, id)
            done = desk.act(person, id, ACTS[name], SYSTEM.now(), reason)
            return told(done, SYSTEM.now(), review_by=desk.review_by(done))

        return await self._do(actor, work)

    async def _do(self, actor: str, work: Callable[[Desk, Person], T]) -> T:
        def both() -> T:
            person = People.load(self._settings.path("people.toml")).get(actor)
            if person is None:
                raise Refused(403, f"{actor!r} is nobody of people.toml")
            with opened(self._settings) as desk:
                return work(desk, person)

        try:
            return await asyncio.to_thread(both)
        except NotAllowed as error:
            raise Refused(409, f"{error} / {say('ar', error.text, **error.values)}") from None
        except NoDesk:
            raise Refused(404, "the desk of exemptions is on another machine") from None
        except (AuditError, ReleaseError, OSError) as error:
            raise Refused(503, f"not done: {error}") from None

    def _uses(self, id: str = "") -> Any:
        return uses.of_node(self._settings.path(self._settings.spool.folder), id)


def _sees(person: Person, one: Request) -> bool:
    return bool(person.roles & NATIONAL) or person.entity == one.entity


def _found(desk: Desk, person: Person, id: str) -> Request:
    """The exemption; whoever may not see it hears that there is none."""
    try:
        one = desk.ledger.get(id)
    except NotAllowed:
        one = None
    if one is None or not _sees(person, one):
        raise Refused(404, f"there is no exemption {id!r}")
    return one


def _wish(given: Mapping[str, Any], applicant: str, now: datetime) -> Exemption:
    named = asked.text(given, "kind") or "ordinary"
    kind = next((one for one in KINDS if one == named), None)
    if kind is None:
        raise Refused(400, f"kind is one of {', '.join(KINDS)}")
    starts = _moment(given, "starts") or now
    days, size = given.get("days"), given.get("max_size")
    for name, number in (("days", days), ("max_size", size)):
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**12):
            raise Refused(400, f"{name} is a whole number above zero")
    ends = _moment(given, "ends") or (starts + timedelta(days=min(days, 10_000)) if isinstance(days, int) else now)
    try:
        review = date.fromisoformat(text) if (text := asked.text(given, "review")) else None
    except ValueError:
        raise Refused(400, "review is a day, 2026-12-31") from None
    return Exemption(
        id="",
        sender=asked.text(given, "sender"),
        recipient=asked.text(given, "recipient"),
        starts=starts,
        ends=ends,
        reason=asked.text(given, "reason"),
        document=asked.text(given, "document") or (kind if kind == "break-glass" else ""),
        applicant=applicant,
        max_size=size,
        classification=asked.text(given, "classification"),
        kind=kind,
        owner=asked.text(given, "owner"),
        contact=asked.text(given, "contact"),
        review=review,
    )


def _moment(given: Mapping[str, Any], name: str) -> datetime | None:
    text = asked.text(given, name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, f"{name} is a time, 2026-12-31T00:00:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
