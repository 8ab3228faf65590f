"""Carries a query out in SQLite: one FTS5 expression as far as it goes, SQL conditions for the rest. Pure.

Tables: `events(row, document)` with documents as flat JSON, `terms` an FTS5 index of cert.terms with the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cert import condition, terms
from cert.condition import And, Between, Has, Is, Like, Node, Not, Or, Within, WordLike, Words
from cert.fields import MAX_KEYWORD, kind_of
from cert.partition import first_row
from hudhud.event import parse_time

HAS_PHRASE: Final = "hudhud_has_phrase"
"""SQL function (document, field, words): whether one of the field's values has these folded words in a row."""


@dataclass(frozen=True, slots=True)
class Sql:
    """What to look for: `match` an FTS5 expression ("" = everything), `where` conditions on `events`, "" = none."""

    match: str
    where: str
    bindings: tuple[str | int | float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """A translated node: an FTS5 expression that is exact, or a SQL condition with its bindings."""

    match: str = ""
    where: str = ""
    bindings: tuple[str | int | float, ...] = ()


def compile_sql(node: Node) -> Sql:
    """The whole query. An AND at the top is split, so that its terms narrow what its conditions must look at."""
    parts = node.parts if isinstance(node, And) else (node,)
    matches: list[str] = []
    wheres: list[_Part] = []
    for part in parts:
        matches += _narrowing(part)
        translated = _translate(part)
        if translated.match:
            matches.append(translated.match)
        else:
            wheres.append(translated)
    return Sql(
        " AND ".join(dict.fromkeys(f"({match})" for match in matches)),
        " AND ".join(f"({part.where})" for part in wheres),
        tuple(value for part in wheres for value in part.bindings),
    )


def _narrowing(node: Node) -> list[str]:
    """Terms that every event which fits must have, where the node itself is no exact FTS5 expression."""
    match node:
        case Words(field, words, begins) if len(words) > 1:
            return [_all_words(field, words, begins)]
        case Like(field, parts, anything) if not _is_begin(parts, anything) and parts[0]:
            return [f"{_quoted(terms.exact(field, parts[0]))} *"]
        case Like(field) if not _is_begin(node.parts, node.anything):
            return [_quoted(terms.has(field))]
        case Between(field) if field != condition.TIME:
            return [_quoted(terms.has(field))]
    return []


def _translate(node: Node) -> _Part:
    match node:
        case And(parts) | Or(parts):
            return _join(node, [_translate(part) for part in parts])
        case Not(part):
            inner = _translate(part)
            return _Part(where=f"NOT ({_as_where(inner).where})", bindings=_as_where(inner).bindings)
        case Is(field, value):
            if len(value) > MAX_KEYWORD:
                return _Part(where="0")
            return _Part(match=_quoted(terms.exact(field, value)))
        case Has(field):
            return _Part(match=_quoted(terms.has(field)))
        case Within(field, network):
            return _Part(match=_or([f"{_quoted(f'{field}:{begin}')} *" for begin in terms.begins(network)]))
        case Words(field, words, begins):
            if len(words) == 1 or begins:
                return _Part(match=_all_words(field, words, begins))
            return _Part(where=f"{HAS_PHRASE}(events.document, ?, ?)", bindings=(field, " ".join(words)))
        case WordLike(field, parts, anything):
            begin, end = terms.word_begin(field)
            where = "events.row IN (SELECT doc FROM instances WHERE term >= ? AND term < ? AND term GLOB ?)"
            return _Part(where=where, bindings=(begin, end, begin + _glob(parts, anything)))
        case Like(field, parts, anything):
            if _is_begin(parts, anything):
                return _Part(match=f"{_quoted(terms.exact(field, parts[0]))} *")
            return _value(field, "value GLOB ?", (_glob(parts, anything),))
        case Between():
            return _between(node)


def _join(node: And | Or, parts: list[_Part]) -> _Part:
    """FTS5 expressions together as one; conditions beside it."""
    sign = " AND " if isinstance(node, And) else " OR "
    if not parts:
        return _Part(where="1" if isinstance(node, And) else "0")
    matches = [part.match for part in parts if part.match]
    together = _Part(match=sign.join(f"({match})" for match in matches)) if matches else None
    if len(matches) == len(parts) and together:
        return together
    wheres = [*([_as_where(together)] if together else []), *(part for part in parts if not part.match)]
    return _Part(where=sign.join(f"({p.where})" for p in wheres), bindings=tuple(b for p in wheres for b in p.bindings))


def _as_where(part: _Part) -> _Part:
    if part.match:
        return _Part(where="events.row IN (SELECT rowid FROM terms WHERE terms MATCH ?)", bindings=(part.match,))
    return part


def _between(node: Between) -> _Part:
    field = node.field
    if field == condition.TIME:
        bounds = [
            (f"events.row {sign} ?", first_row(parse_time(str(moment))))
            for sign, moment in ((">=", node.low), ("<", node.high))
            if moment is not None
        ]
        return _Part(where=" AND ".join(text for text, _ in bounds), bindings=tuple(row for _, row in bounds))
    conditions, bindings = [], []
    if node.low is not None:
        conditions.append(f"value >{'=' if node.include_low else ''} ?")
        bindings.append(node.low)
    if node.high is not None:
        conditions.append(f"value <{'=' if node.include_high else ''} ?")
        bindings.append(node.high)
    return _value(field, " AND ".join(conditions), tuple(bindings))


def _value(field: str, condition: str, bindings: tuple[str | int | float, ...]) -> _Part:
    """One of the field's values fits; keywords too long to be searched are left out, as Elasticsearch does."""
    short = f" AND length(value) <= {MAX_KEYWORD}" if kind_of(field) == "keyword" else ""
    where = f"EXISTS (SELECT 1 FROM json_each(events.document, ?) WHERE {condition}{short})"  # noqa: S608 - our words
    return _Part(where=where, bindings=(f'$."{field}"', *bindings))


def _is_begin(parts: tuple[str, ...], anything: tuple[str, ...]) -> bool:
    return anything == ("*",) and not parts[1]


def _glob(parts: tuple[str, ...], anything: tuple[str, ...]) -> str:
    escaped = ["".join(f"[{c}]" if c in "*?[" else c for c in part) for part in parts]
    return escaped[0] + "".join(sign + part for sign, part in zip(anything, escaped[1:], strict=True))


def _all_words(field: str, words: tuple[str, ...], begins: bool) -> str:
    found = [_quoted(terms.word(field, word)) for word in words]
    if begins:
        found[-1] += " *"
    return " AND ".join(f"({one})" for one in found)


def _or(matches: list[str]) -> str:
    return " OR ".join(f"({match})" for match in matches)


def _quoted(token: str) -> str:
    """One token as an FTS5 string."""
    return '"' + token.replace('"', '""') + '"'
