"""The one door to pyahocorasick: finds the rules that fit an event without asking every rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import ahocorasick

from rules.anchors import Anchor, Weigh, anchors, guess, measured
from rules.eventrule import SigmaRule
from rules.view import View


class Matcher:
    """Rules over one event at a time. Events of a dataset meet only the rules of that dataset, and of these only
    those whose anchors the event has. Safe to share between threads once built."""

    def __init__(self, rules: Iterable[SigmaRule], *, seen: Iterable[Mapping[str, object]] = ()) -> None:
        """`seen`: some recent events, by which the rarest anchors are chosen; without them they are guessed."""
        self.rules = tuple(rules)
        views = [View(fields) for fields in seen]
        weigh = measured(views) if views else guess
        datasets = {name for rule in self.rules for name in rule.datasets or ()}
        self._by_dataset = {name: _Index([r for r in self.rules if _takes(r, name)], weigh) for name in datasets}
        self._other = _Index([rule for rule in self.rules if rule.datasets is None], weigh)

    def match(self, fields: Mapping[str, object]) -> list[SigmaRule]:
        """All rules that fit, in the order given."""
        view = View(fields)
        index = self._by_dataset.get(str(fields.get("event.dataset")), self._other)
        return [rule for rule in index.candidates(view) if rule.condition.fits(view)]


def _takes(rule: SigmaRule, dataset: str) -> bool:
    return rule.datasets is None or dataset in rule.datasets


class _Index:
    """The rules of one dataset by their anchors."""

    def __init__(self, rules: list[SigmaRule], weigh: Weigh) -> None:
        self._rules = rules
        self._always: set[int] = set()
        self._is: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._present: defaultdict[str, list[int]] = defaultdict(list)
        holds: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, rule in enumerate(rules):
            found = anchors(rule.condition, weigh)
            if found is None:
                self._always.add(number)
            for anchor in found or ():
                self._place(anchor, number, holds)
        anywhere = holds.pop("", None)
        self._anywhere = [_automaton(anywhere)] if anywhere else []
        self._holds = {name: _automaton(literals) for name, literals in holds.items()}

    def _place(self, anchor: Anchor, number: int, holds: Mapping[str, Mapping[str, list[int]]]) -> None:
        if anchor.kind == "present":
            self._present[anchor.field].append(number)
        elif anchor.kind == "is":
            self._is[anchor.field][anchor.literal].append(number)
        else:
            holds[anchor.field][anchor.literal].append(number)

    def candidates(self, view: View) -> list[SigmaRule]:
        """The rules that may fit, in order, each once."""
        found = set(self._always)
        for name, numbers in self._present.items():
            if view.values(name):
                found.update(numbers)
        for name, table in self._is.items():
            for text in view.lower(name):
                if text in table:
                    found.update(table[text])
        for name, automaton in self._holds.items():
            for text in view.lower(name):
                for _, numbers in automaton.iter(text):
                    found.update(numbers)
        if self._anywhere:
            texts = [text for name in view.fields for text in view.lower(name)]
            for _, numbers in self._anywhere[0].iter("\n".join(texts)):
                found.update(numbers)
        return [self._rules[number] for number in sorted(found)]


def _automaton(literals: Mapping[str, list[int]]) -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for literal, numbers in literals.items():
        automaton.add_word(literal, tuple(numbers))
    automaton.make_automaton()
    return automaton
