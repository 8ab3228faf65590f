"""`hudhud registry audit`: how well each body's domains stand, with the remedy in words, a history and reports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from deploy.live_registry import live_registry
from hudhud import codec, durable
from hudhud.cli import Exit, Problem, out, out_json, progress, table
from hudhud.clock import SYSTEM
from hudhud.entity import Entity, Registry
from hudhud.i18n import Language
from hudhud.settings import Settings
from mail.dns import DnsError, LiveResolver, Resolver, ZoneResolver
from mail.posture import report
from mail.posture.call import SmtpCaller
from mail.posture.checks import Point, judge
from mail.posture.facts import Caller, gather
from mail.posture.report import Body

AT_ONCE: Final = 8  # domains that are asked for at the same time
HISTORY: Final = "posture"  # folder below node.data, one file a day
KEPT: Final = 400  # files


async def audit(
    settings: Settings,
    codes: Sequence[str],
    *,
    zone: Path | None,
    connect: bool,
    language: Language,
    html: Path | None,
    sheet: Path | None,
    as_json: bool,
) -> int:
    """Ask, judge, write; exit code NO where a point is bad."""
    _, registry = live_registry(settings)
    unknown = [code for code in codes if code not in registry.entities]
    if unknown:
        raise Problem(f"the registry has no body {unknown[0]!r}; `hudhud registry show` lists them", Exit.NO)
    chosen = [registry.entities[code] for code in codes] or list(registry.entities.values())
    caller = SmtpCaller(settings.relay.hostname, settings.dial) if connect and zone is None else None
    bodies = await _bodies(chosen, registry, _resolver(zone, settings), settings.delivery.dkim_selector, caller)
    now, folder = SYSTEM.now(), settings.path(HISTORY)
    before = earlier(folder)
    keep(folder, bodies, now)
    if html is not None:
        durable.replace(html, report.as_html(bodies, now, dict(before)).encode())
    if sheet is not None:
        durable.replace(sheet, b"\xef\xbb\xbf" + report.as_csv(bodies, language).encode())
    for body in bodies if as_json else ():
        out_json(report.as_json(body, now))
    if not as_json:
        _show(bodies, before, language)
    bad = any(point.state == "bad" for body in bodies for one in body.domains for point in one.points)
    return Exit.NO if bad else Exit.DONE


def _resolver(zone: Path | None, settings: Settings) -> Resolver:
    try:
        return ZoneResolver.load(zone) if zone is not None else LiveResolver(settings.dns)
    except DnsError as error:
        raise Problem(f"--dns: {error}") from None


async def _bodies(
    entities: Sequence[Entity], registry: Registry, resolver: Resolver, selector: str, caller: Caller | None
) -> list[Body]:
    gate = asyncio.Semaphore(AT_ONCE)
    with progress("Asking the DNS", sum(len(entity.domains) for entity in entities)) as bar:

        async def body(entity: Entity) -> Body:
            found = []
            for domain in entity.domains:
                async with gate:
                    facts = await gather(domain, resolver, selectors=(selector,), caller=caller)
                found.append(judge(facts, registry))
                bar.advance(1, entity.code)
            return Body(entity, tuple(found))

        return list(await asyncio.gather(*map(body, entities)))


def earlier(folder: Path) -> Mapping[str, int]:
    """The score of each body at the last audit; empty before the first."""
    files = sorted(folder.glob("*.json"))
    if not files:
        return {}
    try:
        rows = codec.decode(files[-1].read_bytes())
        return {str(row["code"]): int(row["score"]) for row in rows if row["score"] is not None}
    except (OSError, codec.CodecError, KeyError, TypeError, ValueError):
        return {}


def keep(folder: Path, bodies: Sequence[Body], now: datetime) -> None:
    """Writes this audit beside the others, the oldest of which go."""
    folder.mkdir(parents=True, exist_ok=True)
    durable.replace(folder / f"{now:%Y-%m-%dT%H%M%SZ}.json", codec.encode([report.as_json(b, now) for b in bodies]))
    for old in sorted(folder.glob("*.json"))[:-KEPT]:
        old.unlink()


def _show(bodies: Sequence[Body], before: Mapping[str, int], language: Language) -> None:
    rows: list[Sequence[object]] = []
    for body in sorted(bodies, key=lambda one: one.score if one.score is not None else -1):
        last = before.get(body.entity.code, body.score)
        change = body.score - last if body.score is not None and last is not None else 0
        for one in body.domains:
            todo = [_todo(point, language) for point in one.points if point.state in ("bad", "weak")]
            score = "?" if one.score is None else one.score
            first = (body.entity.code, one.domain, score, f"{change:+d}" if change else "")
            rows += [(*(first if n == 0 else ("",) * 4), text) for n, text in enumerate(todo or [""])]
    columns = ("code", "domain", "of 100", "since last", "what to do")
    table(report.say(language, report.TITLE), columns, rows)
    for body in bodies:
        if not body.domains:
            out(f"{body.entity.code}: no domain")


def _todo(point: Point, language: Language) -> str:
    remedy = report.say(language, point.remedy) if point.remedy else point.detail
    return f"{report.MARKS[point.state]} {report.say(language, point.name)}: {remedy}"
