"""The posture of all bodies for people and machines: table rows, CSV that no spreadsheet runs, one HTML page, JSON."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hudhud.entity import Entity
from hudhud.i18n import DIRECTION, LANGUAGES, Catalogue, Language
from mail.posture.checks import Posture, State

say = Catalogue("mail")

TITLE: Final = "Posture of the public bodies"
STATES: Final[dict[State, str]] = {"good": "good", "weak": "weak", "bad": "bad", "unknown": "not known"}
COLOURS: Final[dict[State, str]] = {"good": "#1a7f37", "weak": "#9a6700", "bad": "#b42318", "unknown": "#57606a"}
MARKS: Final[dict[State, str]] = {"good": "✓", "weak": "!", "bad": "✗", "unknown": "?"}


@dataclass(frozen=True, slots=True)
class Body:
    """One body's domains; its score is that of the worst, because that is the one that is written to."""

    entity: Entity
    domains: tuple[Posture, ...]

    @property
    def score(self) -> int | None:
        return min((one.score for one in self.domains if one.score is not None), default=None)


def as_json(body: Body, at: datetime) -> dict[str, object]:
    """One object a body; texts in English, which is the key of the catalogue."""
    return {
        "code": body.entity.code,
        "name": {"ar": body.entity.name_ar, "en": body.entity.name_en},
        "at": at.isoformat(),
        "score": body.score,
        "domains": [
            {
                "domain": one.domain,
                "score": one.score,
                "points": [
                    {"name": p.name, "weight": p.weight, "state": p.state, "detail": p.detail, "remedy": p.remedy}
                    for p in one.points
                ],
            }
            for one in body.domains
        ],
    }


def as_csv(bodies: Iterable[Body], language: Language) -> str:
    """A row for each point. Cells that a spreadsheet would take for a formula begin with an apostrophe."""
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\r\n")
    heading = ("code", "name", "domain", "score", "point", "state", "detail", "remedy")
    writer.writerow(heading)
    for body in bodies:
        for one in body.domains:
            for p in one.points:
                row = (
                    body.entity.code, body.entity.name(language), one.domain, _score(one.score), say(language, p.name),
                    say(language, STATES[p.state]), p.detail, say(language, p.remedy) if p.remedy else "",
                )  # fmt: skip
                writer.writerow([_cell(text) for text in row])
    return sheet.getvalue()


def _score(score: int | None) -> str:
    return "?" if score is None else str(score)


def _cell(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def as_html(bodies: Sequence[Body], at: datetime, before: dict[str, int]) -> str:
    """One page with both languages, no script and nothing from elsewhere. `before`: earlier score of each body."""
    parts = [_HEAD]
    for language in LANGUAGES:
        parts.append(f'<section lang="{language}" dir="{DIRECTION[language]}">')
        parts.append(f"<h1>{_t(language, TITLE)}</h1>")
        parts.append(f'<p><time dir="ltr">{at:%Y-%m-%d %H:%M} UTC</time></p>')
        for body in sorted(bodies, key=lambda one: one.score if one.score is not None else -1):
            parts.append(_body(body, language, before.get(body.entity.code)))
        parts.append("</section>")
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _body(body: Body, language: Language, before: int | None) -> str:
    score = _score(body.score)
    change = "" if before is None or body.score in (None, before) else f" ({(body.score or 0) - before:+d})"
    parts = [
        f"<h2><bdi>{html.escape(body.entity.name(language))}</bdi> "
        f'<span class="score" dir="ltr">{score}/100{change}</span></h2>',
        f'<div class="bar" role="img" aria-label="{score}/100"><i style="width:{body.score or 0}%"></i></div>',
    ]
    for one in body.domains:
        parts.append(f'<h3><bdi dir="ltr">{html.escape(one.domain)}</bdi> {_score(one.score)}/100</h3><table>')
        for p in one.points:
            remedy = f"<br><em>{_t(language, p.remedy)}</em>" if p.remedy else ""
            parts.append(
                f'<tr><td style="color:{COLOURS[p.state]}">{MARKS[p.state]} {_t(language, STATES[p.state])}</td>'
                f"<td>{_t(language, p.name)}{remedy}</td>"
                f'<td><bdi dir="ltr">{html.escape(p.detail)}</bdi></td></tr>'
            )
        parts.append("</table>")
    return "\n".join(parts)


def _t(language: Language, text: str) -> str:
    return html.escape(say(language, text))


_HEAD: Final = """<!doctype html>
<html lang="ar"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Hudhud – هدهد</title>
<style>
body{font:16px/1.5 system-ui,"Noto Naskh Arabic","Amiri",sans-serif;
max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2328}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
td{border-top:1px solid #d0d7de;padding:.4rem .6rem;vertical-align:top;text-align:start}
td:first-child{white-space:nowrap;font-weight:600}
.bar{background:#d0d7de;border-radius:4px;height:8px}
.bar i{display:block;height:8px;border-radius:4px;background:#0969da}
.score{font-weight:400;color:#57606a}em{color:#57606a}
section+section{border-top:4px double #d0d7de;margin-top:3rem;padding-top:1rem}
</style></head><body>"""
