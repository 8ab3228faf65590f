"""Which rules an event fits: the one alert it comes to, and the matches that correlations count. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Final

from cert import words
from cert.enrich import is_count_of_people, listed
from cert.store import Alert, Counted, Match
from hudhud.event import Event, Value
from rules.eventrule import Compare, CorrelationRule, SigmaRule
from rules.rule import SEVERITY, Rule
from rules.ruleset import Ruleset
from rules.sigma import Matcher

MAX_KEYS: Final = 50  # correlation keys of one match and rule: lists multiply
MAX_FACTS: Final = 60  # fields of an event that its alert carries
MAX_FACT: Final = 1_000  # characters of one value
MAX_LISTED: Final = 100  # values of one field
BETWEEN_VALUES: Final = "\x1f"  # between the values of a list that a correlation counts

_NOT_FACTS: Final = ("event.original", "event.hash", "event.created", "event.ingested", "related.", "organization.name")
KEPT_TOGETHER: Final[Mapping[str, str]] = {
    "hudhud.mail.lure": "lure",
    "email.attachments.file.hash.sha256": "file",
}
"""Fields whose values tie alerts of any rule and body together, and the word before them in a key."""


@dataclass(frozen=True, slots=True)
class Matched:
    alert: Alert | None
    matches: tuple[Match, ...]


class Matching:
    """The event rules of one ruleset, ready to run."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.version = ruleset.version
        self._matcher = Matcher(ruleset.sigma)
        self._known: Mapping[str, Rule] = {rule.id: rule for rule in ruleset.rules}
        self.correlations: Mapping[str, CorrelationRule] = {rule.id: rule for rule in ruleset.correlations}
        self._counting: dict[str, list[CorrelationRule]] = {}
        for correlation in ruleset.correlations:
            for base in correlation.rules:
                self._counting.setdefault(base, []).append(correlation)

    def match(self, event: Event) -> Matched:
        """What the rules say of an enriched event."""
        fits = self._matcher.match(event.fields)
        matches = tuple(match for rule in fits if (match := self._counted(rule, event)) is not None)
        if is_count_of_people(event.fields):
            return Matched(None, matches)
        alerting = [rule for rule in fits if rule.alerts]
        if not alerting and (event.fields.get("event.kind") != "alert" or _is_weighed(event.fields, fits)):
            return Matched(None, matches)
        return Matched(self._alert(event, alerting), matches)

    def _counted(self, rule: SigmaRule, event: Event) -> Match | None:
        counted = tuple(
            Counted(correlation.id, key, value_of(correlation, rule.id, event.fields))
            for correlation in self._counting.get(rule.id, ())
            for key in keys_of(correlation, rule.id, event.fields)
        )
        return (
            Match(digest("match", rule.id, event.id), rule.id, event.id, event.timestamp, counted) if counted else None
        )

    def _alert(self, event: Event, alerting: Sequence[SigmaRule]) -> Alert:
        """One alert for an event, whatever many rules fit: named by the gravest."""
        fields = event.fields
        told = [self._known[name] for name in listed(fields, "rule.id") if name in self._known]
        named: list[SigmaRule | Rule] = sorted([*alerting] or told, key=lambda rule: (-SEVERITY[rule.level], rule.id))
        said = fields.get("event.severity")
        graded = [SEVERITY[rule.level] for rule in named] or [said if isinstance(said, int) else 50]
        first = named[0] if named else None
        name = next(iter(listed(fields, "rule.name")), "") or next(iter(listed(fields, "rule.id")), "alert")
        detector = next(iter(listed(fields, "rule.id")), "")
        rules = [*(rule.id for rule in named), *listed(fields, "rule.id")]
        entity = next(iter(listed(fields, "organization.id")), "")
        return Alert(
            id=digest("alert", event.id),
            timestamp=event.timestamp,
            rule=first.id if first else next(iter(listed(fields, "rule.id")), "unknown"),
            title_ar=first.title["ar"] if first else words.detector("ar", detector, name),
            title_en=first.title["en"] if first else words.detector("en", detector, name),
            severity=max(0, min(100, graded[0])),
            threat=first.threat if first else "",
            entity=entity,
            event=event.id,
            keys=grouping_keys(fields, rules[:1] or ["unknown"], entity),
            source=next(iter(listed(fields, "event.provider")), "") or str(fields.get("event.dataset") or ""),
            facts={**facts(fields), "rules": list(dict.fromkeys(rules))},
        )


def _is_weighed(fields: Mapping[str, Value], fits: Sequence[SigmaRule]) -> bool:
    """Whether rules have said of a detector's alert that it is only counted. What a mail rule held always stands."""
    return fields.get("event.dataset") == "hudhud.alert" and bool(fits)


def grouping_keys(fields: Mapping[str, Value], rules: Iterable[str], entity: str) -> tuple[str, ...]:
    """What ties an alert to others: its lure and files; where it has none, its rule and body."""
    tied = [f"{word}:{value}" for name, word in KEPT_TOGETHER.items() for value in listed(fields, name)]
    return tuple(dict.fromkeys(tied or [f"rule:{rule}|{entity}" for rule in rules]))


def keys_of(correlation: CorrelationRule, rule: str, fields: Mapping[str, Value]) -> Iterator[str]:
    """The correlation keys of an event: each combination of its group-by values; none where one is missing."""
    values = [listed(fields, correlation.field_of(name, rule)) for name in correlation.group_by]
    return (key_text(chosen) for chosen in islice(product(*values), MAX_KEYS))


def key_text(values: Iterable[str]) -> str:
    """Group-by values as one text."""
    return "|".join(value.replace("\\", "\\\\").replace("|", "\\|") for value in values)


def key_values(text: str) -> list[str]:
    """The values that `key_text` joined."""
    values, escaped = [""], False
    for sign in text:
        if sign == "|" and not escaped:
            values.append("")
        elif sign == "\\" and not escaped:
            escaped = True
            continue
        else:
            values[-1] += sign
        escaped = False
    return values


def value_of(correlation: CorrelationRule, rule: str, fields: Mapping[str, Value]) -> str:
    """What a counting correlation reads of an event: the values of its condition's field."""
    condition = correlation.condition
    if not isinstance(condition, Compare) or not condition.fields:
        return ""
    values = (listed(fields, correlation.field_of(name, rule)) for name in condition.fields)
    return BETWEEN_VALUES.join(key_text(chosen) for chosen in islice(product(*values), MAX_KEYS))


def facts(fields: Mapping[str, Value]) -> dict[str, object]:
    """What of an event its alert carries, so that people need not look the event up."""
    chosen = [name for name in sorted(fields) if not name.startswith(_NOT_FACTS) and fields[name] is not None]
    return {name: _cut(fields[name]) for name in chosen[:MAX_FACTS]}


def _cut(value: Value) -> object:
    if isinstance(value, list):
        return [_cut(one) for one in value[:MAX_LISTED]]
    return value[:MAX_FACT] if isinstance(value, str) else value


def digest(*parts: str) -> str:
    """An id that the same parts always give."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
