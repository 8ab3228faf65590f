"""An event: one thing that a sensor or the relay saw, as an ECS 9 document."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hudhud import codec

Value = str | int | float | bool | None | list[str] | list[int] | list[float]

SHAPES = 256  # sets of names whose layout is remembered
MAX_DEPTH = 20  # levels of nesting in a document from outside; deeper is an error, not a recursion


class EventError(ValueError):
    """A document that is no event: `place` is the field, `problem` what is wrong with it."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Event:
    """`fields` are flat ECS names ("source.ip"), without `@timestamp`; `timestamp` is aware, UTC."""

    id: str
    timestamp: datetime
    fields: Mapping[str, Value]


def event_id(source: str, sequence: int) -> str:
    """The id that a source's journal gives, once: a repeated batch has the same ids."""
    return hashlib.sha256(f"{source}\0{sequence}".encode()).hexdigest()


def import_id(source: str, file: str, offset: int, line: bytes) -> str:
    """The id of a line of an imported file: reading it again gives the same one."""
    return hashlib.sha256(f"{source}\0{file}\0{offset}\0".encode() + line).hexdigest()


def flatten(document: Mapping[str, object]) -> dict[str, Value]:
    """Nested to flat; a list of objects becomes lists side by side, as Elasticsearch reads it."""
    flat: dict[str, Value] = {}
    _flatten(document, "", flat, 0)
    return flat


def _flatten(document: Mapping[str, object], prefix: str, flat: dict[str, Value], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EventError(prefix, f"nested deeper than {MAX_DEPTH} levels")
    for key, value in document.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            _flatten(value, name, flat, depth + 1)
        elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
            for one in value:
                inner: dict[str, Value] = {}
                _flatten(one if isinstance(one, Mapping) else {"value": one}, name, inner, depth + 1)
                for inner_name, inner_value in inner.items():
                    flat[inner_name] = _joined(flat.get(inner_name), inner_value)
        elif isinstance(value, list | tuple):
            flat[name] = [one for one in value if one is not None]
        elif value is None or isinstance(value, str | int | float | bool):
            flat[name] = value
        else:
            raise EventError(name, f"a {type(value).__name__} cannot stand in an event")


def _joined(before: Value, more: Value) -> Value:
    first = before if isinstance(before, list) else [] if before is None else [before]
    then = more if isinstance(more, list) else [] if more is None else [more]
    return [*first, *then]


def nest(fields: Mapping[str, Value]) -> dict[str, object]:
    """Flat to nested; a name that is both a value and a branch is an EventError."""
    document: dict[str, object] = {}
    for name, value in fields.items():
        branch = document
        *path, last = name.split(".")
        for step in path:
            below = branch.setdefault(step, {})
            if not isinstance(below, dict):
                raise EventError(name, f"{step!r} is a value and a branch at once")
            branch = below
        if isinstance(branch.get(last), dict):
            raise EventError(name, "is a value and a branch at once")
        branch[last] = value
    return document


def encode(fields: Mapping[str, Value], timestamp: datetime) -> bytes:
    """The nested document of flat fields as JSON; those that are None are left out. What `nest` would give, encoded.

    Its shape is worked out once for each set of names: the relay writes two such documents for every mail.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    before, after = _shape(tuple(given))
    pieces = [b'{"@timestamp":"', format_time(timestamp).encode(), b'"']
    for name, start in before:
        pieces += (start, codec.encode(given[name]))
    pieces.append(after)
    return b"".join(pieces)


@functools.lru_cache(SHAPES)
def _shape(names: tuple[str, ...]) -> tuple[tuple[tuple[str, bytes], ...], bytes]:
    """The names in the document's order, each with the JSON that stands before its value; the JSON after the last."""
    before: list[tuple[str, bytes]] = []
    text = _laid(nest({name: name for name in names}), before, ",")
    return tuple(before), (text + "}").encode()


def _laid(branch: Mapping[str, object], before: list[tuple[str, bytes]], text: str) -> str:
    """Lays a branch out behind `text`; what is left to be said after its last value."""
    for key, below in branch.items():
        text += f"{codec.encode(key).decode()}:"
        if isinstance(below, dict):
            text = _laid(below, before, text + "{") + "}"
        else:
            before.append((str(below), text.encode()))
            text = ""
        text += ","
    return text[:-1]


def document(event: Event) -> dict[str, object]:
    """The nested ECS document that leaves a process."""
    nested = nest(event.fields)
    nested["@timestamp"] = format_time(event.timestamp)
    inner = nested.setdefault("event", {})
    if isinstance(inner, dict):
        inner.setdefault("id", event.id)
    return nested


def parse(document: Mapping[str, object]) -> Event:
    """A nested or flat document from outside as an Event; EventError names the field that is wrong."""
    stamp = document.get("@timestamp")
    if not isinstance(stamp, str):
        raise EventError("@timestamp", "is missing or not a string")
    timestamp = parse_time(stamp)
    fields = flatten({key: value for key, value in document.items() if key != "@timestamp"})
    identity = fields.get("event.id")
    if not isinstance(identity, str) or not identity:
        raise EventError("event.id", "is missing or not a string")
    return Event(identity, timestamp, fields)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: sorts as text."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def parse_time(text: str) -> datetime:
    """RFC 3339 or ISO 8601 with a zone; EventError where the zone is missing."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise EventError("@timestamp", f"{text[:40]!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise EventError("@timestamp", f"{text[:40]!r} has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # at the edge of year 1 or 9999
        raise EventError("@timestamp", f"{text[:40]!r} is no time in UTC") from None
