"""What analysts type: Lucene syntax, read once into one small tree that both stores carry out. The one door to luqum.

`field:value`, `field:"exact value"`, `field:begin*`, `field:[10 TO 20}`, `field:>=10`, `field:*` (has it),
`destination.ip:192.0.2.0/24`, `@timestamp:[2026-11-23 TO now-1h]`, AND, OR, NOT, parentheses; words side by side are
AND. Bare words are looked for, folded, in everything people read (cert.fields.IN_ALL).
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from datetime import datetime
from typing import Final

import luqum.tree as lucene
from luqum.exceptions import ParseError
from luqum.thread import parse as parse_lucene

from cert.condition import (
    EVERYTHING,
    TIME,
    And,
    Between,
    Has,
    Is,
    Like,
    Node,
    Not,
    Or,
    Within,
    WordLike,
    Words,
)
from cert.fields import ALL, FIELDS, OTHER, Type, kind_of
from cert.folding import fold, words
from cert.moment import moments
from cert.store import QueryError

MAX_TEXT: Final = 4_000  # characters of one query
MAX_DEPTH: Final = 40  # levels of parentheses
MAX_LEAVES: Final = 300


def parse(text: str, now: datetime) -> Node:
    """The tree of a query; QueryError names the place and says what to write instead. `now` is what "now" means."""
    if len(text) > MAX_TEXT:
        raise QueryError(MAX_TEXT, f"a query has at most {MAX_TEXT} characters")
    if not text.strip():
        return EVERYTHING
    try:
        tree = parse_lucene(text)
    except ParseError as error:
        place = re.search(r"at position (\d+)", str(error))
        raise QueryError(int(place[1]) if place else len(text), f"not understood: {error}") from None
    except RecursionError:
        raise QueryError(0, "nested too deep") from None
    return _Reader(now).node(tree, "", 0)


class _Reader:
    def __init__(self, now: datetime) -> None:
        self._now = now
        self._leaves = 0

    def node(self, tree: lucene.Item, field: str, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise QueryError(_at(tree), f"nested deeper than {MAX_DEPTH} levels")
        below = depth + 1
        match tree:
            case lucene.OrOperation():
                return Or(tuple(self.node(one, field, below) for one in tree.children))
            case lucene.AndOperation() | lucene.UnknownOperation():
                return And(tuple(self.node(one, field, below) for one in tree.children))
            case lucene.Not() | lucene.Prohibit():
                return Not(self.node(tree.children[0], field, below))
            case lucene.Group() | lucene.FieldGroup() | lucene.Plus():
                return self.node(tree.children[0], field, below)
            case lucene.SearchField():
                if field:
                    raise QueryError(_at(tree), 'a field within a field; a ":" in a value is written \\: or in quotes')
                return self._field(tree, below)
        self._leaves += 1
        if self._leaves > MAX_LEAVES:
            raise QueryError(_at(tree), f"more than {MAX_LEAVES} conditions")
        return self._leaf(tree, field)

    def _field(self, tree: lucene.SearchField, depth: int) -> Node:
        if tree.name == "_exists_":
            return Has(resolve(_plain(tree.expr), _at(tree)))
        return self.node(tree.expr, TIME if tree.name == TIME else resolve(tree.name, _at(tree)), depth)

    def _leaf(self, tree: lucene.Item, field: str) -> Node:
        match tree:
            case lucene.Phrase():
                return self._value(field, _unescape(tree.value[1:-1]), tree)
            case lucene.Word():
                return self._word(field, tree)
            case lucene.Range():
                return self._range(field, tree, (tree.low, tree.include_low), (tree.high, tree.include_high))
            case lucene.From():
                return self._range(field, tree, (tree.children[0], tree.include), None)
            case lucene.To():
                return self._range(field, tree, None, (tree.children[0], tree.include))
        names = {lucene.Fuzzy: "~", lucene.Proximity: "~", lucene.Boost: "^", lucene.Regex: "/…/"}
        sign = next((sign for kind, sign in names.items() if isinstance(tree, kind)), "this")
        raise QueryError(_at(tree), f"{sign} is not offered; write words, values, wildcards or ranges")

    def _word(self, field: str, tree: lucene.Word) -> Node:
        if tree.value in {"&&", "||"} or (tree.value.startswith("!") and not field):
            raise QueryError(_at(tree), f"{tree.value!r}: write AND, OR, NOT")
        if not tree.has_wildcard():
            return self._value(field, tree.unescaped_value, tree)
        texts, signs = _wildcards(tree)
        if not any(texts) and set(signs) == {"*"}:
            return Has(field) if field and field != TIME else EVERYTHING
        kind: Type = kind_of(field) if field else "text"
        if kind == "keyword" and not field.startswith(f"{OTHER}."):
            return Like(field, texts, signs)
        at_end = signs == ("*",) and not texts[1]
        if kind == "text":
            found = tuple(words(texts[0]))
            if at_end:
                return Words(field or ALL, found, begins=True) if found else EVERYTHING
            return _word_like(field or ALL, texts, signs, tree)
        if at_end and kind == "keyword":
            return Like(field, texts, signs)
        if kind == "ip" and (network := _octets(texts, signs)):
            return Within(field, network)
        raise QueryError(_at(tree), f"in {field} a * may only stand at the end of a value")

    def _value(self, field: str, text: str, tree: lucene.Item) -> Node:
        if field == TIME:
            return self._moment(field, text, tree)
        kind: Type = kind_of(field) if field else "text"
        match kind:
            case "text":
                found = tuple(words(text))
                return Words(field or ALL, found) if found else EVERYTHING
            case "keyword":
                return Is(field, text)
            case "boolean":
                if text not in {"true", "false"}:
                    raise QueryError(_at(tree), f"{field} is true or false, not {text!r}")
                return Is(field, text)
            case "date":
                return self._moment(field, text, tree)
            case "ip":
                return _address(field, text, tree)
            case "kept":
                raise QueryError(_at(tree), f"{field} is kept as it came and cannot be searched")
        return Is(field, str(_number(kind, text, tree)))

    def _moment(self, field: str, text: str, tree: lucene.Item) -> Between:
        start, end = self._moments(text, tree)
        return Between(field, start, end, include_low=True, include_high=False)

    def _moments(self, text: str, tree: lucene.Item) -> tuple[str, str]:
        try:
            return moments(text, self._now)
        except ValueError as error:
            raise QueryError(_at(tree), str(error)) from None

    def _range(
        self,
        field: str,
        tree: lucene.Item,
        low: tuple[lucene.Item, bool] | None,
        high: tuple[lucene.Item, bool] | None,
    ) -> Node:
        if not field:
            raise QueryError(_at(tree), "a range needs a field before it, as in event.severity:[50 TO 100]")
        first = None if low is None else _bound(low[0])
        last = None if high is None else _bound(high[0])
        include_low, include_high = low is None or low[1], high is None or high[1]
        kind = "date" if field == TIME else kind_of(field)
        if first is None and last is None:
            return Has(field) if field != TIME else EVERYTHING
        if kind == "date":
            starts = None if first is None else self._moments(first, tree)[0 if include_low else 1]
            ends = None if last is None else self._moments(last, tree)[1 if include_high else 0]
            return Between(field, starts, ends, include_low=True, include_high=False)
        if kind in {"text", "boolean", "kept", "ip"}:
            hint = "; write a network, as in 192.0.2.0/24" if kind == "ip" else ""
            raise QueryError(_at(tree), f"{field} has no ranges{hint}")
        if kind == "keyword":
            return Between(field, first, last, include_low, include_high)
        numbers = [None if one is None else _number(kind, one, tree) for one in (first, last)]
        return Between(field, numbers[0], numbers[1], include_low, include_high)


def resolve(name: str, position: int = 0) -> str:
    """The stored field for a name in a query; QueryError with near names where there can be none such."""
    if name in FIELDS:
        return name
    if '"' in name or not name.isprintable():
        raise QueryError(position, f"{name!r} cannot be the name of a field")
    roots = {known.partition(".")[0] for known in FIELDS}
    if name.startswith(f"{OTHER}."):
        return name
    if "." in name and name.partition(".")[0] in roots:
        return f"{OTHER}.{name}"
    near = difflib.get_close_matches(name, FIELDS, 3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise QueryError(position, f"there is no field {name!r}{hint}")


def _at(tree: lucene.Item) -> int:
    return tree.pos if isinstance(tree.pos, int) else 0


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _plain(tree: lucene.Item) -> str:
    if isinstance(tree, lucene.Word):
        return str(tree.unescaped_value)
    if isinstance(tree, lucene.Phrase):
        return _unescape(tree.value[1:-1])
    raise QueryError(_at(tree), "a plain value is expected here")


def _bound(tree: lucene.Item) -> str | None:
    text = _plain(tree)
    return None if text == "*" else text


def _wildcards(tree: lucene.Word) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(texts between, wildcards): "a*b?" gives ("a", "b", ""), ("*", "?")."""
    texts, signs = [""], []
    for escaped, sign, rest in re.findall(r"\\(.)|([*?])|([^\\*?]+)", tree.value):
        if sign:
            signs.append(sign)
            texts.append("")
        else:
            texts[-1] += escaped or rest
    return tuple(texts), tuple(signs)


def _word_like(field: str, texts: tuple[str, ...], signs: tuple[str, ...], tree: lucene.Word) -> WordLike:
    """A pattern of one word; QueryError where it has signs between that folding makes word ends of."""
    folded = [words(text) for text in texts]
    for text, found in zip(texts, folded, strict=True):
        if text and found != [fold(text)]:
            raise QueryError(_at(tree), f"{text!r} beside a wildcard is more than one word; write words apart")
    return WordLike(field, tuple("".join(found) for found in folded), signs)


def _octets(texts: tuple[str, ...], signs: tuple[str, ...]) -> ipaddress.IPv4Network | None:
    """192.0.2.* as a network."""
    found = re.fullmatch(r"((?:\d{1,3}\.){1,3})", texts[0])
    if found is None or signs != ("*",) or texts[1]:
        return None
    octets = found[1].rstrip(".").split(".")
    try:
        return ipaddress.IPv4Network(".".join([*octets, *["0"] * (4 - len(octets))]) + f"/{8 * len(octets)}")
    except ValueError:
        return None


def _address(field: str, text: str, tree: lucene.Item) -> Node:
    try:
        if "/" in text:
            return Within(field, ipaddress.ip_network(text, strict=False))
        return Is(field, str(ipaddress.ip_address(text)))
    except ValueError:
        raise QueryError(_at(tree), f"{text!r} is no address or network; {field} holds addresses") from None


def _number(kind: Type, text: str, tree: lucene.Item) -> int | float:
    try:
        return int(text) if kind == "long" else float(text)
    except ValueError:
        raise QueryError(_at(tree), f"{text!r} is not a number") from None
