"""Resolves what correlations refer to: names become ids, and which rules may still alert is decided. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rules.eventrule import CorrelationRule, Expression, SigmaRule
from rules.rule import RuleError


def resolve(
    rules: list[SigmaRule], correlations: list[CorrelationRule]
) -> tuple[tuple[SigmaRule, ...], tuple[CorrelationRule, ...]]:
    """Names and UUIDs become ids; what a correlation without `generate` names stops alerting."""
    known: dict[str, str] = {}
    everything: list[SigmaRule | CorrelationRule] = [*rules, *correlations]
    for rule in everything:
        for key in {rule.id, rule.uuid, rule.name} - {""}:
            if key in known:
                raise RuleError(rule.file, rule.line, f"another rule is called {key!r} already")
            known[key] = rule.id
    resolved = tuple(_resolved(rule, known) for rule in correlations)
    silent = {name for rule in resolved if not rule.generate for name in rule.rules}
    return (
        tuple(replace(rule, alerts=rule.alerts and rule.id not in silent) for rule in rules),
        tuple(replace(rule, alerts=rule.alerts and rule.id not in silent) for rule in resolved),
    )


def _resolved(rule: CorrelationRule, known: Mapping[str, str]) -> CorrelationRule:
    def look_up(name: str) -> str:
        if name not in known:
            raise RuleError(rule.file, rule.line, f"the correlation names a rule that is not there: {name!r}")
        return known[name]

    def expression(part: Expression) -> Expression:
        name = look_up(part.rule) if part.join == "rule" else ""
        return Expression(part.join, tuple(expression(inner) for inner in part.parts), name)

    aliases = {name: {look_up(key): field for key, field in fields.items()} for name, fields in rule.aliases.items()}
    condition = expression(rule.condition) if isinstance(rule.condition, Expression) else rule.condition
    return replace(rule, rules=tuple(look_up(name) for name in rule.rules), aliases=aliases, condition=condition)
