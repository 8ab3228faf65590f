"""The form that asks for an exemption, read into one; what is wrong with it, in the person's language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from markupsafe import Markup

from console.visit import Visit
from console.words import _
from mail.exempt import ENTITY, MAX_DAYS, Exemption, Kind, normal_scope, normal_sender

MiB = 1024 * 1024
MAX_SIZE_MIB = 10_000
FIELDS = (
    "kind", "sender", "recipient", "starts", "days", "size", "level", "reason", "document",
    "owner", "contact", "review",
)  # fmt: skip
KINDS: tuple[Kind, ...] = ("ordinary", "partner", "break-glass")


class Mistake(Exception):  # noqa: N818 - an answer to the person who fills in the form
    """What is wrong with the form, in the person's language."""

    def __init__(self, words: Markup) -> None:
        super().__init__(str(words))
        self.words = words


def read(visit: Visit, typed: Mapping[str, str], now: datetime) -> Exemption:
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


def entity_of(visit: Visit, exemption: Exemption) -> str:
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


def _partner(visit: Visit, typed: Mapping[str, str]) -> dict[str, Any]:
    try:
        review = date.fromisoformat(typed["review"])
    except ValueError:
        raise Mistake(visit.say(_("Give the day of review as year-month-day, for example 2026-12-31."))) from None
    return {"owner": typed["owner"], "contact": typed["contact"], "review": review}


def _whole(text: str, largest: int) -> int | None:
    """The text as a whole number from 1 to `largest`, else None."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 and 0 < int(text) <= largest else None
