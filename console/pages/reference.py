"""The public page that every refusal links to: what happened, why, and what to do, in both languages."""

from __future__ import annotations

from starlette.responses import Response

from console.refusals import DETECTION, explanation
from console.render import Speaker
from console.visit import Stop, Visit
from console.words import _
from hudhud.i18n import DIRECTION, LANGUAGES, Language
from rules.rule import THREATS, Rule


async def show(visit: Visit) -> Response:
    """One rule of the policy, or one detection rule by its title and threat; nothing of how it detects."""
    name = visit.part("rule")[:40].upper()
    told, rule = explanation(name), None
    if told is None:
        rule = next((one for one in visit.house.rules.value.yara.rules if one.id == name), None)
        told = DETECTION if rule is not None else None
    if told is None:
        raise Stop(
            404, _("There is no rule with that name"), _("Copy the whole link from the message that you were sent.")
        )
    order = (visit.language, *(one for one in LANGUAGES if one != visit.language))
    sections = [(one, DIRECTION[one], Speaker(one), _titles(rule, one)) for one in order]
    return visit.page("reference.html", name=name, told=told, sections=sections)


def _titles(rule: Rule | None, language: Language) -> tuple[str, str] | None:
    """(title, threat) of a detection rule in the language."""
    if rule is None:
        return None
    threat = THREATS.get(rule.threat)
    title = rule.title.get(language, rule.id)
    return title, (threat.ar if language == "ar" else threat.en) if threat else rule.threat
