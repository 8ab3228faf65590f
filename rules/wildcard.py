"""Turns a Sigma text with wildcards into the cheapest question that means the same. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from rules.predicate import Exists, Glob, Node, Pattern, Regex, Text


class Wild(Enum):
    """A wildcard: `*` any text, `?` any one character."""

    MANY = ".*"
    ONE = "."


MANY: Final = Wild.MANY
ONE: Final = Wild.ONE


def node(
    names: tuple[str, ...], parts: Sequence[str | Wild], *, cased: bool, anywhere: bool, compile: Callable[[str], Regex]
) -> Node:
    """`parts` in order; `anywhere`: as if the text stood between two `*`; `compile`: an engine of linear time."""
    inner = list(parts)
    ends = anywhere or inner[:1] == [MANY]
    starts = anywhere or inner[-1:] == [MANY]
    while inner and inner[0] is MANY:
        del inner[0]
    while inner and inner[-1] is MANY:
        del inner[-1]
    folded = [part if cased or isinstance(part, Wild) else part.lower() for part in inner]
    literals = [part for part in folded if isinstance(part, str)]
    if len(folded) == len(literals) <= 1:
        literal = "".join(literals)
        return Text(names, literal, starts, ends, cased) if literal or not starts else Exists(names, True)
    if ONE not in folded:
        return Glob(names, tuple(literals), starts, ends, cased)
    body = "".join(part.value if isinstance(part, Wild) else re.escape(part) for part in folded)
    pattern = compile("(?s)" + ("" if ends else r"\A") + body + ("" if starts else r"\z"))
    return Pattern(names, pattern, max(literals, key=len, default="").lower(), lowered=not cased)
