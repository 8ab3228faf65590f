"""Measures the matcher alone: HTTP events against 900 Sigma rules whose log source all of them fit.

Where the public rules and captures stand beside the project: those for proxies and web servers, filled up with copies
whose literals have other letters, and the HTTP of the captures. Elsewhere rules and events of our own making, which
is easier work; the figures say which.
"""

from __future__ import annotations

import io
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields as fields_of
from dataclasses import is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cert.enrich import enrich
from deploy.bench import events, sigmarules, traffic
from deploy.demo import demo_registry
from hudhud import codec
from hudhud.event import Event, event_id, flatten, parse_time
from rules.eventrule import SigmaRule
from rules.matcher import Matcher
from rules.rule import RuleError
from rules.sigma import parse_event_rules

KIND = "http"
DATASET = f"hudhud.{KIND}"
PUBLIC = Path(__file__).parents[3] / "shared" / "data" / "cert" / "sigma"
LETTERS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ecdfighjokblmnpqurstavwxyz")  # vowels and consonants apart


def enriched(count: int, *, kind: str | None = None, source: str = "sensor:bench") -> list[Event]:
    """Events of our own as they are when they come to the matcher."""
    return _read(events.documents(count, datetime.now(UTC), kind=kind), source)


def _read(lines: Any, source: str) -> list[Event]:
    registry, found = demo_registry(), []
    for sequence, line in enumerate(lines, 1):
        document = codec.decode(line)
        moment = parse_time(document.pop("@timestamp"))
        identity = event_id(source, sequence)
        found.append(enrich(Event(identity, moment, {**flatten(document), "event.id": identity}), registry))
    return found


def public_rules() -> list[SigmaRule]:
    """The public rules that we can run and that look at HTTP; [] where they are not there."""
    found: list[SigmaRule] = []
    for path in sorted(PUBLIC.rglob("*.yml")):
        try:
            rules, _ = parse_event_rules({path.name: path.read_bytes()})
        except RuleError:
            continue
        found += [rule for rule in rules if rule.datasets is None or DATASET in rule.datasets]
    return found


def filled_up(rules: Sequence[SigmaRule], count: int) -> list[SigmaRule]:
    """The rules and copies of them, until there are `count`."""
    return [
        *rules,
        *(_copy(rules[number % len(rules)], number, 1 + number // len(rules)) for number in range(count - len(rules))),
    ][:count]


def _copy(rule: SigmaRule, number: int, turns: int) -> SigmaRule:
    return replace(rule, id=f"{number:08d}-copy", condition=_varied(rule.condition, turns))


def _varied(value: Any, turns: int) -> Any:
    """A condition with other literals of the same shape."""
    if isinstance(value, tuple):
        return tuple(_varied(one, turns) for one in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes: dict[str, Any] = {}
    for field in fields_of(value):
        old = getattr(value, field.name)
        if field.name == "literal" and not hasattr(value, "pattern"):
            changes[field.name] = _turned(old, turns)
        elif field.name == "pieces":
            changes[field.name] = tuple(_turned(one, turns) for one in old)
        elif field.name in ("parts", "part"):
            changes[field.name] = _varied(old, turns)
    return replace(value, **changes)


def _turned(text: str, turns: int) -> str:
    for _ in range(turns):
        text = text.translate(LETTERS)
    return text


def public_events() -> list[Event]:
    """The HTTP of the public captures as our sensor tells it; [] where they are not there."""
    if not traffic.MAKER.is_file():
        return []
    from sensors.reading import read

    with tempfile.TemporaryDirectory(prefix="hudhud-bench-") as folder:
        capture, told = Path(folder) / "mixed.pcap", io.BytesIO()
        traffic.make(capture, 1)
        read([(capture.name, lambda: capture.open("rb"))], told, None)
    lines = [line for line in told.getvalue().splitlines() if f'"{DATASET}"'.encode() in line]
    return _read(lines, "sensor:captures")


def per_cpu_s(count: int) -> tuple[float, float, str]:
    """Events a CPU second of one thread, the share of them that fits a rule, and what both were."""
    found, seen = public_rules(), public_events()
    if found and seen:
        rules = filled_up(found, sigmarules.COUNT)
        said = (
            f"{len(found)} public Sigma rules and {len(rules) - len(found)} copies; {len(seen)} HTTP events of captures"
        )
    else:
        rules = list(parse_event_rules({sigmarules.PACK: sigmarules.rules((KIND,))})[0])
        seen = enriched(2000, kind=KIND)
        said = f"{len(rules)} rules and {len(seen)} events of our own making"
    matcher = Matcher(rules)
    dice = random.Random(1)  # noqa: S311 - an order, no secret
    fields = [one.fields for one in dice.choices(seen, k=count)]
    begun = time.thread_time()
    hits = sum(bool(matcher.match(one)) for one in fields)
    return count / (time.thread_time() - begun), hits / count, said
