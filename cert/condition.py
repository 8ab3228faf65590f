"""What a search asks of an event, as values that both stores carry out. Pure; read from text by cert.query."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

TIME: Final = "@timestamp"


@dataclass(frozen=True, slots=True)
class And:
    """All parts; of none: everything."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any part; of none: nothing."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class Is:
    """One of the field's values is `value`, in the canonical text of its type."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Like:
    """One of the field's values fits: texts with a wildcard between each two; `anything` are "*" and "?"."""

    field: str
    parts: tuple[str, ...]
    anything: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """One of the field's values lies in the range; a bound that is None is open. Dates are texts, `high` excluded."""

    field: str
    low: str | int | float | None
    high: str | int | float | None
    include_low: bool
    include_high: bool


@dataclass(frozen=True, slots=True)
class Within:
    """One of the field's addresses lies in the network (CIDR)."""

    field: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Has:
    field: str


@dataclass(frozen=True, slots=True)
class Words:
    """One of the text field's values has these folded words, one after the other; the last may be a beginning."""

    field: str
    words: tuple[str, ...]
    begins: bool = False


@dataclass(frozen=True, slots=True)
class WordLike:
    """One folded word of the text field fits; as Like, the texts folded."""

    field: str
    parts: tuple[str, ...]
    anything: tuple[str, ...]


Node = And | Or | Not | Is | Like | Between | Within | Has | Words | WordLike

EVERYTHING: Final = And(())
NOTHING: Final = Or(())
