"""Nine hundred Sigma rules over events that fit (almost) nothing: lists of words, endings, some patterns and filters.

Deterministic. Shapes and proportions follow public rules for proxies and name servers: seven in ten are lists of
literals, one in ten is a pattern, one in seven has a filter.
"""

from __future__ import annotations

import random
import string
from collections.abc import Mapping, Sequence

COUNT = 900
PACK = "events/synthetic.yml"
FIELDS: Mapping[str, tuple[str, str]] = {
    "http": ("url.path", "user_agent.original"),
    "dns": ("dns.question.name", "dns.question.name"),
    "tls": ("tls.client.server_name", "tls.client.ja3"),
    "mail": ("url.domain", "email.from.address"),
}
"""For each kind of event (event.dataset hudhud.<kind>) the two fields that its rules look at."""


def rules(kinds: Sequence[str] = tuple(FIELDS), count: int = COUNT, seed: int = 5) -> bytes:
    """One file of `count` rules, shared among the kinds in turn."""
    dice = random.Random(seed)  # noqa: S311 - rules that are the same each time, no secret
    return "---\n".join(_rule(dice, number, kinds[number % len(kinds)]) for number in range(count)).encode()


def _rule(dice: random.Random, number: int, kind: str) -> str:
    first, second = FIELDS[kind]
    words = [f"'{_word(dice, dice.randint(5, 14))}'" for _ in range(dice.randint(1, 12))]
    listed = "\n".join(f"            - {word}" for word in words)
    how = "re" if number % 10 == 9 else "endswith" if number % 3 == 2 else "contains"
    if how == "re":
        listed = f"            - '/{_word(dice, 4)}[a-z0-9]{{4,12}}\\.(php|aspx)$'"
    more = f"        {second}|contains: '{_word(dice, 6)}'\n" if number % 4 == 0 and first != second else ""
    less = f"    filter_main_known:\n        {first}|contains: '{_word(dice, 6)}'\n" if number % 7 == 0 else ""
    condition = "selection and not 1 of filter_main_*" if less else "selection"
    return (
        f"title: Synthetic {kind} rule {number}\nid: 00000000-0000-4000-8000-{number:012d}\nstatus: test\n"
        f"logsource:\n    product: hudhud\n    service: {kind}\n"
        f"detection:\n    selection:\n        {first}|{how}:\n{listed}\n{more}{less}    condition: {condition}\n"
        f"level: medium\n"
    )


def _word(dice: random.Random, length: int) -> str:
    return "".join(dice.choices(string.ascii_lowercase + string.digits, k=length))
