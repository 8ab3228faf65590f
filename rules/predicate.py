"""What a Sigma rule asks of one event, as frozen values that answer `fits(view)`. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal, Protocol

from rules.view import View

CompareName = Literal["lt", "lte", "gt", "gte", "eq", "neq"]
COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge, "eq": operator.eq, "neq": operator.ne,
}  # fmt: skip


class Regex(Protocol):
    """A compiled expression; `search` takes time linear in the text."""

    def search(self, text: str) -> object | None: ...


class Node(Protocol):
    """A condition over one event."""

    def fits(self, view: View) -> bool: ...


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Node, ...]

    def fits(self, view: View) -> bool:
        return all(part.fits(view) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Node, ...]

    def fits(self, view: View) -> bool:
        return any(part.fits(view) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    part: Node

    def fits(self, view: View) -> bool:
        return not self.part.fits(view)


@dataclass(frozen=True, slots=True)
class Text:
    """Any of the fields holds a text that begins with, ends with, contains or is the literal; lists: any element."""

    names: tuple[str, ...]
    literal: str  # lower case unless `cased`
    starts: bool = False  # the literal may be followed by anything
    ends: bool = False  # anything may come before the literal
    cased: bool = False

    def fits(self, view: View) -> bool:
        read = view.texts if self.cased else view.lower
        return any(self._one(text) for name in self.names for text in read(name))

    def _one(self, text: str) -> bool:
        if self.starts and self.ends:
            return self.literal in text
        if self.starts:
            return text.startswith(self.literal)
        return text.endswith(self.literal) if self.ends else text == self.literal


@dataclass(frozen=True, slots=True)
class Glob:
    """Any of the fields holds a text with these pieces in order and anything between; see Text for the rest."""

    names: tuple[str, ...]
    pieces: tuple[str, ...]  # two or more, none empty; lower case unless `cased`
    starts: bool = False
    ends: bool = False
    cased: bool = False

    def fits(self, view: View) -> bool:
        read = view.texts if self.cased else view.lower
        return any(self._one(text) for name in self.names for text in read(name))

    def _one(self, text: str) -> bool:
        pieces, begin, end = self.pieces, 0, len(text)
        if not self.ends:
            if not text.startswith(pieces[0]):
                return False
            begin, pieces = len(pieces[0]), pieces[1:]
        if not self.starts:
            end -= len(pieces[-1])
            if end < begin or not text.endswith(pieces[-1]):
                return False
            pieces = pieces[:-1]
        for piece in pieces:
            begin = text.find(piece, begin, end) + len(piece)
            if begin < len(piece):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Pattern:
    """Any of the fields holds a text in which the expression is found (Sigma's `re`, and `?` inside a text)."""

    names: tuple[str, ...]
    pattern: Regex
    literal: str = ""  # lower case text that any fit contains; "" = unknown
    lowered: bool = False  # the pattern is of lower case and so is what it is held against

    def fits(self, view: View) -> bool:
        read = view.lower if self.lowered else view.texts
        return any(self.pattern.search(text) is not None for name in self.names for text in read(name))


@dataclass(frozen=True, slots=True)
class Number:
    """Any of the fields holds a number for which the comparison is true. Text that is a number counts as one."""

    names: tuple[str, ...]
    compare: CompareName
    number: float

    def fits(self, view: View) -> bool:
        test = COMPARE[self.compare]
        return any(
            (number := _as_number(value)) is not None and test(number, self.number)
            for name in self.names
            for value in view.values(name)
        )


def _as_number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    try:
        return float(str(value))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Truth:
    """Any of the fields is the boolean."""

    names: tuple[str, ...]
    wanted: bool

    def fits(self, view: View) -> bool:
        wanted = "true" if self.wanted else "false"
        return any(text == wanted for name in self.names for text in view.lower(name))


@dataclass(frozen=True, slots=True)
class Exists:
    """One of the fields has a value (`wanted`), or none of them has (`null`, `exists: false`)."""

    names: tuple[str, ...]
    wanted: bool

    def fits(self, view: View) -> bool:
        return any(view.values(name) for name in self.names) is self.wanted


@dataclass(frozen=True, slots=True)
class Network:
    """Any of the fields is an address inside the network; what is no address is outside."""

    names: tuple[str, ...]
    network: IPv4Network | IPv6Network

    def fits(self, view: View) -> bool:
        return any(
            (address := _address(text)) is not None and address in self.network
            for name in self.names
            for text in view.texts(name)
        )


@lru_cache(maxsize=65_536)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class SameAs:
    """A field's text equals (or begins, ends, contains) another field's, without case."""

    names: tuple[str, ...]
    others: tuple[str, ...]
    starts: bool = False
    ends: bool = False

    def fits(self, view: View) -> bool:
        return any(
            Text(self.names, other, self.starts, self.ends).fits(view)
            for name in self.others
            for other in view.lower(name)
        )


@dataclass(frozen=True, slots=True)
class TimePart:
    """Any of the fields is an RFC 3339 time whose part (in the time's own zone) compares true."""

    names: tuple[str, ...]
    part: Literal["minute", "hour", "day", "week", "month", "year"]
    compare: CompareName
    number: float

    def fits(self, view: View) -> bool:
        test = COMPARE[self.compare]
        return any(
            (value := self._value(text)) is not None and test(value, self.number)
            for name in self.names
            for text in view.texts(name)
        )

    def _value(self, text: str) -> int | None:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            return None
        if self.part == "week":
            return time.isocalendar().week
        value: int = getattr(time, self.part)
        return value


@dataclass(frozen=True, slots=True)
class Keyword:
    """Any text of the event, whatever its field, fits `part`, which asks for the one field EVERYTHING.

    `literal`: lower-case text that every fit contains; "" = unknown.
    """

    part: Node
    literal: str = ""

    def fits(self, view: View) -> bool:
        return self.part.fits(view.whole())


Leaf = Text | Glob | Pattern | Number | Truth | Exists | Network | SameAs | TimePart
"""Every node that reads named fields."""


def leaves(node: Node) -> Iterable[Leaf | Keyword]:
    """Every question the condition asks, left to right."""
    if isinstance(node, And | Or):
        for part in node.parts:
            yield from leaves(part)
    elif isinstance(node, Not):
        yield from leaves(node.part)
    elif isinstance(node, Leaf | Keyword):
        yield node


def field_names(node: Node) -> tuple[str, ...]:
    """The fields the condition reads, sorted, each once. A keyword reads all and names none."""
    names = {name for leaf in leaves(node) if not isinstance(leaf, Keyword) for name in leaf.names}
    names |= {name for leaf in leaves(node) if isinstance(leaf, SameAs) for name in leaf.others}
    return tuple(sorted(names))
