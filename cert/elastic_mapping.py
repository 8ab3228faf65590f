"""Mappings and settings of our indices, made from the one table of fields. Pure."""

from __future__ import annotations

from typing import Any, Final

from cert.fields import ALL, FIELDS, MAX_KEYWORD, OTHER, Type
from cert.query_dsl import FOLDED, folded_name

Mapping = dict[str, Any]

KEYWORD: Final[Mapping] = {"type": "keyword"}
LONG: Final[Mapping] = {"type": "long"}
WORDS: Final[Mapping] = {"type": "text", "analyzer": "whitespace", "norms": False}
KEPT: Final[Mapping] = {"type": "object", "enabled": False}

TYPES: Final[dict[Type, Mapping]] = {
    "keyword": {"type": "keyword", "ignore_above": MAX_KEYWORD},
    "text": {"type": "keyword", "ignore_above": MAX_KEYWORD, "index": False},  # counted; searched by folded words
    "kept": {"type": "keyword", "index": False, "doc_values": False},
    "ip": {"type": "ip"},
    "long": {"type": "long"},
    "double": {"type": "double"},
    "boolean": {"type": "boolean"},
    "date": {"type": "date_nanos"},
}

SETTINGS: Final[Mapping] = {
    "index": {
        "number_of_shards": 1,
        "auto_expand_replicas": "0-1",
        "refresh_interval": "1s",
        "mapping.total_fields.limit": 2000,
    }
}


def events() -> Mapping:
    """Strict: a field that is not in the table stands below `hudhud.other`, which is flattened."""
    properties: Mapping = {"@timestamp": {"type": "date_nanos"}}
    for name, kind in FIELDS.items():
        _place(properties, name, TYPES[kind])
    _place(properties, OTHER, {"type": "flattened", "ignore_above": MAX_KEYWORD})
    for name in (ALL, *(name for name, kind in FIELDS.items() if kind == "text")):
        _place(properties, folded_name(name), WORDS)
    return {"dynamic": "strict", "_source": {"excludes": [FOLDED]}, "properties": properties}


def matches() -> Mapping:
    names = ("under", "id", "rule", "value")
    return _strict({**dict.fromkeys(names, KEYWORD), "time": LONG})


def alerts() -> Mapping:
    names = ("id", "rule", "entity", "threat", "disposition", "incident", "keys")
    return _strict({**dict.fromkeys(names, KEYWORD), "time": LONG, "severity": LONG, "document": KEPT})


def results() -> Mapping:
    return _strict({"document": KEPT})


def incidents() -> Mapping:
    names = ("id", "status", "owner", "audience", "entities")
    numbers = {"severity": LONG, "opened": LONG, "version": LONG}
    return _strict({**dict.fromkeys(names, KEYWORD), **numbers, "words": WORDS, "document": KEPT, "entries": KEPT})


def timeline() -> Mapping:
    return _strict({"incident": KEYWORD, "version": LONG, "number": LONG, "document": KEPT})


def _strict(properties: Mapping) -> Mapping:
    return {"dynamic": "strict", "properties": properties}


def _place(properties: Mapping, name: str, mapping: Mapping) -> None:
    *path, last = name.split(".")
    for step in path:
        properties = properties.setdefault(step, {"properties": {}})["properties"]
    properties[last] = mapping
