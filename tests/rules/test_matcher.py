"""The index finds what asking every rule would find, and finds it fast."""

from __future__ import annotations

import random
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.rule import RuleError
from rules.ruleset import compile_ruleset, library
from rules.sigma import Matcher, SigmaRule, parse_event_rules

FIELDS = ("url.path", "url.domain", "user_agent.original", "rule.id", "destination.port", "event.action")
WORDS = ("alpha", "beta", "gamma", "ALPHAbeta", "ab", "x", "", "a.b", "10", "443")
MODIFIERS = ("", "|contains", "|startswith", "|endswith", "|contains|all", "|re", "|exists", "|cased")


def _detection(rng: random.Random, name: str) -> str:
    lines = [f"    {name}:"]
    for field in rng.sample(FIELDS, rng.randint(1, 3)):
        modifier = rng.choice(MODIFIERS)
        words = rng.sample(WORDS, rng.randint(1, 3))
        if modifier == "|exists":
            value = rng.choice(("true", "false"))
        elif modifier == "|re":
            value = (
                "'" + rng.choice(("a.p", "^b", "a$|x", "[0-9]+", "alph[ab]", "be(ta|x)", "gam{1,2}a", r"a\\.b?")) + "'"
            )
        elif rng.random() < 0.15 and not modifier:
            value = rng.choice(("null", "443", "'al*a'", "'?eta'", "'a*b*a'", "'*l*h?*'", "'al*pha'"))
        else:
            value = "[" + ", ".join(f"'{word}'" for word in words) + "]"
        lines.append(f"        {field}{modifier}: {value}")
    return "\n".join(lines)


def _rules(seed: int, count: int) -> tuple[SigmaRule, ...]:
    rng = random.Random(seed)
    files = {}
    for number in range(count):
        names = ["a", "b"][: rng.randint(1, 2)]
        condition = "a" if len(names) == 1 else rng.choice(("a and b", "a or b", "a and not b", "not a", "1 of them"))
        parts = [_detection(rng, name) for name in names]
        if rng.random() < 0.1:
            parts.append("    k:\n        - gamma\n        - 'alp*a'")
            condition = f"({condition}) or k"
        files[f"{number}.yml"] = "\n".join(
            [
                f"title: rule {number}",
                f"id: {uuid.UUID(int=rng.getrandbits(128))}",
                "logsource: {product: hudhud, service: " + rng.choice(("mail", "http", "http")) + "}",
                "detection:",
                *parts,
                f"    condition: {condition}",
            ]
        ).encode()
    return parse_event_rules(files)[0]


RULES = _rules(7, 150)
EVENTS = st.fixed_dictionaries(
    {"event.dataset": st.sampled_from(["hudhud.mail", "hudhud.http", "hudhud.dns"])},
    optional={
        name: st.one_of(
            st.sampled_from(WORDS),
            st.lists(st.sampled_from(WORDS), max_size=2),
            st.integers(0, 500),
            st.none(),
            st.text(max_size=6),
        )
        for name in FIELDS
    },
)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_the_index_finds_exactly_what_asking_every_rule_finds(event: dict[str, object]) -> None:
    naive = [rule.id for rule in RULES if rule.matches(event)]
    assert _found(event) == naive


_BY_GUESS = Matcher(RULES)
_BY_MEASURE = Matcher(RULES, seen=[{"event.dataset": "hudhud.http", "url.path": "alpha", "destination.port": 443}] * 5)


def _found(event: dict[str, object]) -> list[str]:
    guessed = [rule.id for rule in _BY_GUESS.match(event)]
    assert guessed == [rule.id for rule in _BY_MEASURE.match(event)]
    return guessed


def test_an_event_of_another_dataset_meets_no_rule_of_ours() -> None:
    matcher = Matcher(compile_ruleset(library(), "x").sigma)
    assert matcher.match({"event.dataset": "elsewhere", "rule.id": "HY-0101", "event.action": "held"}) == []


def _many(shared_data: Path, count: int) -> tuple[SigmaRule, ...]:
    """Public rules, and variants of them with other literals, until there are `count`."""
    texts = []
    for path in sorted((shared_data / "cert" / "sigma" / "rules").rglob("*.yml")):
        try:
            parse_event_rules({path.name: path.read_bytes()})
        except RuleError:
            continue
        texts.append(path.read_text(encoding="utf-8"))
    rng = random.Random(3)
    files: dict[str, bytes] = {}
    number = 0
    while len(files) < count:
        text = texts[number % len(texts)]
        lines = []
        for line in text.splitlines():
            literal = line.lstrip().startswith("- '") and line.endswith("'") and "re:" not in line
            if line.startswith("id: "):
                lines.append(f"id: {uuid.UUID(int=rng.getrandbits(128))}")
            elif number >= len(texts) and literal:
                lines.append(line[:-1].rstrip("\\*") + f"{number:x}'")
            else:
                lines.append(line)
        name = f"{number:04}.yml"
        number += 1
        try:
            parse_event_rules({name: "\n".join(lines).encode()})
        except RuleError:
            continue
        files[name] = "\n".join(lines).encode()
    return parse_event_rules(files)[0]


def test_nine_hundred_rules_of_one_source_leave_time_for_thousands_of_events(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = _many(shared_data, 900)
    web = [rule for rule in rules if rule.datasets and "hudhud.http" in rule.datasets]
    rng = random.Random(5)
    agents = (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/124.0 Safari/537.36",
        "curl/8.5.0",
        "Mozilla/5.0 Firefox/115.0",
    )
    events: list[dict[str, object]] = [
        {
            "event.dataset": "hudhud.http", "event.kind": "event", "organization.id": "FIN",
            "source.ip": f"192.0.2.{n % 250}", "destination.ip": "198.51.100.7", "destination.port": 80,
            "http.request.method": rng.choice(("GET", "POST")),
            "http.response.status_code": 200, "url.domain": rng.choice(("www.saba.example", "cdn.example.net")),
            "url.path": rng.choice(("/", "/index.html", "/api/v1/items", "/images/logo.png")) + str(n),
            "user_agent.original": rng.choice(agents),
        }
        for n in range(3000)
    ]  # fmt: skip
    matcher = Matcher(rules, seen=events[:200])
    begun = time.process_time()
    for event in events:
        matcher.match(event)
    rate = len(events) / (time.process_time() - begun)
    with capsys.disabled():
        print(
            f"\nmatching: {rate:,.0f} events per CPU second, {len(rules)} rules, {len(web)} of the events' own source"
        )
    assert rate > 4_000  # the goal of 10,000 is the bench's; here other work runs beside
    for event in events[:20]:
        assert [r.id for r in matcher.match(event)] == [r.id for r in rules if r.matches(event)]
