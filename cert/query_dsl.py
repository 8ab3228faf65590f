"""Carries a query out in Elasticsearch: the tree as query DSL, in filter context. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from cert import condition
from cert.condition import And, Between, Has, Is, Like, Node, Not, Or, Within, WordLike, Words
from cert.fields import EARLIEST, kind_of
from hudhud.event import format_time

Dsl = dict[str, object]
FOLDED = "hudhud.folded"  # the object of folded text beside the event's own fields


def compile_dsl(node: Node) -> Dsl:
    """The query as DSL."""
    match node:
        case And(parts):
            return {"bool": {"filter": [compile_dsl(part) for part in parts]}} if parts else {"match_all": {}}
        case Or(parts):
            if not parts:
                return {"match_none": {}}
            return {"bool": {"should": [compile_dsl(part) for part in parts], "minimum_should_match": 1}}
        case Not(part):
            return {"bool": {"must_not": [compile_dsl(part)]}}
        case Is(field, value):
            return {"term": {field: {"value": value}}}
        case Has(field):
            return {"exists": {"field": _searched(field)}}
        case Within(field, network):
            return {"term": {field: {"value": str(network)}}}
        case Words():
            return _words(node)
        case WordLike(field, parts, anything):
            return {"wildcard": {folded_name(field): {"value": _pattern(parts, anything)}}}
        case Like(field, parts, anything):
            if anything == ("*",) and not parts[1]:
                return {"prefix": {field: {"value": parts[0]}}}
            return {"wildcard": {field: {"value": _pattern(parts, anything)}}}
        case Between():
            return _between(node)


def _searched(field: str) -> str:
    """Text is kept without an index of its own: what has it has its folded words."""
    return folded_name(field) if kind_of(field) == "text" else field


def folded_name(field: str) -> str:
    """Where the folded words of a text field stand; dots would make objects of them."""
    return f"{FOLDED}.{field.replace('.', '_')}"


def _words(node: Words) -> Dsl:
    name = folded_name(node.field)
    if node.begins:
        *whole, last = node.words
        found: list[object] = [{"term": {name: {"value": word}}} for word in whole]
        return {"bool": {"filter": [*found, {"prefix": {name: {"value": last}}}]}}
    if len(node.words) == 1:
        return {"term": {name: {"value": node.words[0]}}}
    return {"match_phrase": {name: {"query": " ".join(node.words)}}}


def _pattern(parts: tuple[str, ...], anything: tuple[str, ...]) -> str:
    escaped = ["".join(f"\\{c}" if c in "*?\\" else c for c in part) for part in parts]
    return escaped[0] + "".join(sign + part for sign, part in zip(anything, escaped[1:], strict=True))


def _between(node: Between) -> Dsl:
    bounds: Dsl = {}
    if node.low is not None:
        bounds["gte" if node.include_low else "gt"] = node.low
    if node.high is not None:
        bounds["lte" if node.include_high else "lt"] = node.high
    if node.field == condition.TIME or kind_of(node.field) == "date":
        return dates(node.field, bounds)
    return {"range": {node.field: bounds}}


def dates(field: str, bounds: Mapping[str, object]) -> Dsl:
    """A range of times. An open begin is closed: date_histogram counts from it, and fails before 1970 (9.5.3)."""
    low = {} if "gte" in bounds or "gt" in bounds else {"gte": format_time(EARLIEST)}
    return {"range": {field: {**low, **bounds, "format": "strict_date_optional_time_nanos"}}}
