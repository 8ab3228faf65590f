"""The rules in force: which release, who signed it, what each rule found, which stopped themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from starlette.responses import Response

from cert.store import Query, StoreDown
from console.relay import RelayDown, RelayRefused
from console.visit import Stop, Visit
from console.words import _
from hudhud.i18n import Language
from rules.ruleset import Ruleset

HITS_DAYS = 7
MAX_RULES = 2000  # whose hits are asked for


@dataclass(frozen=True, slots=True)
class Line:
    """One rule, whatever language it is written in."""

    id: str
    version: str
    title: Mapping[str, str]
    kind: str  # mail, event, correlation
    threat: str
    effect: str  # a disposition of mail rules, a level of the others
    hits: int | None
    stopped: bool

    def shown(self, language: Language) -> str:
        """The title in the language, else in English, else the id."""
        return self.title.get(language) or self.title.get("en") or self.id


async def overview(visit: Visit) -> Response:
    """All of them, the busiest first."""
    release, ruleset = visit.house.rules.state
    stopped = await _stopped(visit)
    hits = await _hits(visit)
    text = visit.query("q").casefold()
    lines = [one for one in _lines(ruleset, hits, stopped or frozenset()) if _fits(one, text)]
    lines.sort(key=lambda one: (not one.stopped, -(one.hits or 0), one.id))
    kinds = {kind: (live.release, live.problem) for kind, live in visit.house.releases.items()}
    return visit.page(
        "rules.html",
        release=release,
        lines=lines,
        total=sum(1 for _line in _lines(ruleset, None, frozenset())),
        stopped_known=stopped is not None,
        hits_days=HITS_DAYS,
        releases=kinds,
    )


async def unstop(visit: Visit) -> Response:
    """Let a rule run again that stopped itself."""
    rule = visit.part("id")
    try:
        await visit.house.relay.unstop(visit.person.login, rule)
    except RelayRefused:
        raise Stop(
            404, _("The relay does not know this rule as stopped"), _("Somebody may have let it run already.")
        ) from None
    return visit.go("/rules", done="unstopped")


async def _stopped(visit: Visit) -> frozenset[str] | None:
    """Ids of rules that stopped themselves; None where the relay cannot be asked."""
    try:
        status = await visit.house.relay.status(visit.person.login)
    except (RelayDown, RelayRefused):
        return None
    found = status.get("stopped", status.get("stopped_rules", ()))
    return frozenset(str(one.get("rule", "")) if isinstance(one, Mapping) else str(one) for one in found)


async def _hits(visit: Visit) -> Mapping[str, int] | None:
    """Events per rule of the last days, within the person's scope; None while the store is down."""
    now = visit.house.clock.now()
    query = Query("", now - timedelta(days=HITS_DAYS), now + timedelta(minutes=5), visit.scope.entity)
    try:
        return {one.key: one.count for one in await visit.house.store.counts(query, "rule.id", MAX_RULES)}
    except StoreDown:
        return None


def _fits(line: Line, text: str) -> bool:
    return not text or any(text in one.casefold() for one in (line.id, line.threat, *line.title.values()))


def _lines(ruleset: Ruleset, hits: Mapping[str, int] | None, stopped: frozenset[str]) -> Iterable[Line]:
    count = (lambda rule: None) if hits is None else (lambda rule: hits.get(rule, 0))
    for mail in ruleset.yara.rules:
        effect = mail.disposition or ""
        yield Line(mail.id, mail.version, mail.title, "mail", mail.threat, effect, count(mail.id), mail.id in stopped)
    for kind, rules in (("event", ruleset.sigma), ("correlation", ruleset.correlations)):
        for one in rules:
            yield Line(one.id, one.version, one.title, kind, one.threat, one.level, count(one.id), one.id in stopped)
