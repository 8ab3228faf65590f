"""When a rule stops itself: it held more than its share of the last messages. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable


class Budget:
    """Counts, over the last `window` messages, which rules held them.

    A rule is over when it held more than share * window of them (20 of 1,000 by default), whether or not `window`
    messages have been seen: a bad rule is stopped at the 21st message, not at the 1,000th.
    """

    def __init__(self, share: float = 0.02, window: int = 1000) -> None:
        if not 0 < share <= 1 or window < 1:
            raise ValueError("share is above 0 and up to 1, window at least 1 message")
        self._limit = share * window
        self._window = window
        self._messages: deque[frozenset[str]] = deque()
        self._held: Counter[str] = Counter()

    def record(self, held_by: Iterable[str] = ()) -> frozenset[str]:
        """One message was judged; `held_by`: the rules that held it, none when it passed. Returns those over now."""
        rules = frozenset(held_by)
        self._messages.append(rules)
        self._held.update(rules)
        if len(self._messages) > self._window:
            self._forget_oldest()
        return frozenset(rule for rule in rules if self.over(rule))

    def _forget_oldest(self) -> None:
        for rule in self._messages.popleft():
            self._held[rule] -= 1
            if not self._held[rule]:
                del self._held[rule]

    def over(self, rule: str) -> bool:
        """Whether the rule held more than its share."""
        return self._held[rule] > self._limit

    def held(self, rule: str) -> int:
        """How many of the last `window` messages the rule held."""
        return self._held[rule]

    def forget(self, rule: str) -> None:
        """Begin anew for a rule that a person lets run again."""
        self._messages = deque(rules - {rule} for rules in self._messages)
        del self._held[rule]
