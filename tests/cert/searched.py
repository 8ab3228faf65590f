"""Made-up events and queries for the stores, and a plain reading of what a query means. Seeded."""

from __future__ import annotations

import ipaddress
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cert import condition
from cert.condition import And, Between, Has, Is, Like, Node, Not, Or, Within, WordLike, Words
from cert.fields import MAX_KEYWORD, kind_of, shape, texts
from cert.folding import folded
from hudhud.event import Event, Value, event_id, format_time

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

VALUES: dict[str, list[Value]] = {
    "event.dataset": ["hudhud.mail", "hudhud.dns", "hudhud.alert", "Hudhud.Mail"],
    "event.severity": [0, 10, 50, 95, -3],
    "organization.id": ["FIN", "INT", "fin", "F I N"],
    "source.ip": ["192.0.2.7", "192.0.2.70", "198.51.100.1", "2001:db8::1", "2001:db8:1::7"],
    "related.ip": [["192.0.2.7", "203.0.113.9"], ["2001:db8::1"]],
    "destination.port": [25, 587, 65535],
    "email.to.address": [["amal@finance.saba.example", "Salim@interior.saba.example"], ["نور@مثال.example"], ["a*b?c"]],
    "message": ["بلاغ من وزارة الماليّة", "Report of the Ministry", "the of Ministry", "foo-bar_baz 12", "وزارة ٤٥"],
    "rule.name": ["ماكرو في مستند", "Macro in a document"],
    "url.path": ["/a/b", "/a/B?c=[1]", 'quo"te', "~tilde ~", "x" * (MAX_KEYWORD + 1), ""],
    "event.created": ["2026-11-23T10:00:00Z", "2026-11-22T23:59:59.999999Z", "2025-01-01T00:00:00+03:00"],
    "tls.established": [True, False],
    "event.risk_score": [0.5, 10.0],
    "made.up": ["x", 7],
    "hudhud.odd": ["A", "B b"],
}  # fmt: skip

LEAVES = tuple(Path(__file__).with_name("queries.txt").read_text(encoding="utf-8").splitlines())


def some_events(seed: int, number: int) -> list[Event]:
    chance = random.Random(seed)
    made = []
    for n in range(number):
        chosen = [name for name in VALUES if chance.random() < 0.6]
        fields: dict[str, Value] = {name: chance.choice(VALUES[name]) for name in chosen}
        at = NOW - timedelta(seconds=chance.choice((n, n * 600, n * 40_000)), microseconds=n)
        made.append(Event(event_id(f"searched {seed}", n), at, fields))
    return made


def some_query(chance: random.Random, depth: int = 0) -> str:
    if depth > 2 or chance.random() < 0.35:
        return chance.choice(LEAVES)
    parts = [some_query(chance, depth + 1) for _ in range(chance.choice((1, 2, 2, 3)))]
    joined = chance.choice((" AND ", " OR ", " ")).join(f"({part})" for part in parts)
    return f"NOT ({joined})" if chance.random() < 0.25 else joined


def fits(node: Node, event: Event) -> bool:
    """The plain reading: does this one event fit?"""
    shaped = shape(event)
    fields = shaped.fields
    match node:
        case And(parts):
            return all(fits(part, event) for part in parts)
        case Or(parts):
            return any(fits(part, event) for part in parts)
        case Not(part):
            return not fits(part, event)
        case Words(field, words, begins):
            lines = folded(fields).get(field, [])
            if begins:
                there = {word for line in lines for word in line.split()}
                return set(words[:-1]) <= there and any(word.startswith(words[-1]) for word in there)
            return any(f" {' '.join(words)} " in f" {line} " for line in lines)
        case WordLike(field, parts, anything):
            there = {word for line in folded(fields).get(field, []) for word in line.split()}
            return any(_like(parts, anything, word) for word in there)
        case Has(field) if kind_of(field) == "text":
            return field in folded(fields)
    if node.field == condition.TIME:
        values: list[Value] = [format_time(event.timestamp)]
    else:
        value = fields.get(node.field)
        values = list(value) if isinstance(value, list) else [] if value is None else [value]
    values = [one for one in values if not isinstance(one, str) or len(one) <= MAX_KEYWORD]
    return any(_one(node, one) for one in values)


def _one(node: Node, value: Value) -> bool:
    text = next(iter(texts(value)))
    match node:
        case Has():
            return True
        case Is(field, wanted):
            return text == wanted if kind_of(field) != "double" else float(text) == float(wanted)
        case Within(_, network):
            return ipaddress.ip_address(text) in network
        case Like(_, parts, anything):
            escaped = [re.escape(part) for part in parts]
            pattern = escaped[0] + "".join(
                {"*": ".*", "?": "."}[s] + e for s, e in zip(anything, escaped[1:], strict=True)
            )
            return re.fullmatch(pattern, text, re.DOTALL) is not None
        case Between(_, low, high, include_low, include_high):
            own: Any = value
            above = low is None or (own >= low if include_low else own > low)
            below = high is None or (own <= high if include_high else own < high)
            return above and below
    raise AssertionError(node)


def _like(parts: tuple[str, ...], anything: tuple[str, ...], text: str) -> bool:
    first, *rest = [re.escape(part) for part in parts]
    pattern = first + "".join({"*": ".*", "?": "."}[s] + e for s, e in zip(anything, rest, strict=True))
    return re.fullmatch(pattern, text, re.DOTALL) is not None
