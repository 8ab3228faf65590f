"""Held mail: the list, one message with its findings in words, release, deletion, and a preview for a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from console import heldmail
from console.heldmail import HeldMail, entities, in_words
from console.relay import RelayRefused
from console.visit import Stop, Visit
from console.words import _
from mail.shelf.stored import parse_queue_id
from rules.rule import Rule

PAGE = 50  # messages on one page
MAX_LOOKED = 5000  # messages looked through for one page, where a person may see few of them
MAX_FACTS = 30  # of one finding


async def queue(visit: Visit) -> Response:
    """The list, newest first."""
    found, after = await listed(
        visit,
        PAGE,
        after if parse_queue_id(after := visit.query("after")) is not None else "",
        sender=visit.query("sender"),
        recipient=visit.query("recipient"),
        rule=visit.query("rule").upper(),
    )
    return visit.page(
        "held.html",
        messages=found,
        after=after,
        entities_of=lambda mail: entities(mail, visit.house.registry.value),
        rules=_rules(visit),
    )


async def message(visit: Visit) -> Response:
    """One message."""
    return _page(visit, await _found(visit))


async def preview(visit: Visit) -> Response:
    """The text of the message, for a reason; shown once, never kept."""
    mail = await _found(visit)
    reason = visit.reason()
    answer = await _ask(visit.house.relay.preview(visit.person.login, mail.id, reason))
    return _page(visit, mail, answer)


async def release(visit: Visit) -> Response:
    """Let it go on to its recipients."""
    mail = await _found(visit)
    await _ask(visit.house.relay.release(visit.person.login, mail.id, visit.reason()))
    return visit.go("/held", done="released")


async def delete(visit: Visit) -> Response:
    """Delete it for good."""
    mail = await _found(visit)
    await _ask(visit.house.relay.delete(visit.person.login, mail.id, visit.reason()))
    return visit.go("/held", done="deleted")


async def listed(visit: Visit, limit: int, after: str = "", **filters: str) -> tuple[list[HeldMail], str]:
    """Held messages that the person may see, at most `limit`, and the cursor of what follows; RelayDown."""
    registry, scope = visit.house.registry.value, visit.scope
    found: list[HeldMail] = []
    for _look in range(MAX_LOOKED // limit):
        answers, after = await visit.house.relay.queue(
            visit.person.login, state="held", limit=limit, cursor=after, **filters
        )
        for place, one in enumerate(answers):
            mail = heldmail.read(one)
            found += [mail] if scope.covers(entities(mail, registry)) else []
            if len(found) == limit:
                return found, mail.id if place + 1 < len(answers) else after
        if not after:
            break
    return found, after


async def _found(visit: Visit) -> HeldMail:
    try:
        mail = heldmail.read(await visit.house.relay.message(visit.person.login, visit.part("id")[:40]))
    except RelayRefused:
        raise _gone() from None
    if not visit.scope.covers(entities(mail, visit.house.registry.value)):
        raise _gone()
    return mail


async def _ask(call: Any) -> Mapping[str, Any]:
    """An act that the relay may refuse because the message is no longer held."""
    try:
        answer: Mapping[str, Any] = await call
    except RelayRefused as error:
        raise Stop(
            409, _("The relay did not do it"), _("Somebody may have decided already. It says: {why}"), why=error.problem
        ) from None
    return answer


def _gone() -> Stop:
    return Stop(
        404, _("There is no such message"), _("It is not known to the relay, or it does not concern your entity.")
    )


def _rules(visit: Visit) -> Mapping[str, Rule]:
    return {rule.id: rule for rule in visit.house.rules.value.yara.rules}


def _page(visit: Visit, mail: HeldMail, answer: Mapping[str, Any] | None = None) -> Response:
    return visit.page(
        "message.html",
        mail=mail,
        findings=in_words(mail, visit.language, _rules(visit)),
        entity_codes=entities(mail, visit.house.registry.value),
        content=None if answer is None else heldmail.read_content(answer),
        max_facts=MAX_FACTS,
        may_decide=visit.can("analyst", "administrator"),
    )
