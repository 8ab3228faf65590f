"""TOML files that people write, with the line of every key, so that an error can name its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeGuard, TypeVar

import msgspec

T = TypeVar("T")

_TABLE = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_PLACE = re.compile(r"\(at line (\d+), column \d+\)")


class PlaceError(ValueError):
    """A mistake in a file that people write: which file, which line (0: unknown), which key, what is wrong."""

    def __init__(self, file: str, line: int, key: str, problem: str) -> None:
        place = f"{file}:{line}" if line else file
        super().__init__(f"{place}: {key}: {problem}" if key else f"{place}: {problem}")
        self.file, self.line, self.key, self.problem = file, line, key, problem


def read(file: str, data: bytes) -> tuple[dict[str, object], dict[str, int]]:
    """The document, and the line of each dotted key and table in it. PlaceError where it is no TOML."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PlaceError(file, line, "", "is not UTF-8 text; save it as UTF-8") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        raise PlaceError(file, int(found[1]) if found else 0, "", _PLACE.sub("", str(error)).strip()) from None
    return document, lines(text)


def lines(text: str) -> dict[str, int]:
    """The line (from 1) of each table and key, by dotted name; arrays of tables are numbered: `rule[0].id`."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        if table := _TABLE.match(line):
            prefix = ".".join(part.strip("\"'") for part in _PART.findall(table[1]))
            if line.lstrip().startswith("[["):
                index = counts.get(prefix, 0)
                counts[prefix] = index + 1
                prefix = f"{prefix}[{index}]"
            found.setdefault(prefix, number)
        elif key := _KEY.match(line):
            name = ".".join(part.strip("\"'") for part in _PART.findall(key[1]))
            found.setdefault(f"{prefix}.{name}" if prefix else name, number)
    return found


def table(heading: str, values: Mapping[str, str | bool | int | datetime | Sequence[str]]) -> list[str]:
    """The lines of a table, `heading` with its brackets; what is empty or false is left out."""
    return [heading, *(f"{name} = {_written(value)}" for name, value in values.items() if value)]


def _written(value: str | bool | int | datetime | Sequence[str]) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool | int):
        return str(value).lower()
    return f"[{', '.join(map(quoted, value))}]"


def quoted(text: str) -> str:
    """A TOML basic string."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text) + '"'


def line_of(key: str, where: Mapping[str, int]) -> int:
    """The line of `key`, or of the nearest table above it; 0 where nothing is known."""
    while key:
        if key in where:
            return where[key]
        cut = max(key.rfind("."), key.rfind("["))
        key = key[:cut] if cut > 0 else ""
    return 0


_AT = re.compile(r" - at `\$?(.*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+?)`")
_MISSING = re.compile(r"Object missing required field `(.+?)`")


def convert(
    value: object, shape: type[T], *, file: str, where: Mapping[str, int], prefix: str = "", hidden: Sequence[str] = ()
) -> T:
    """`value` as a `shape` (a msgspec Struct or any type it knows); PlaceError names line and key of what is wrong.

    `hidden` names are `shape`'s own, which no file may set: no message offers them.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        message = str(error)
        at = _AT.search(message)
        problem = _AT.sub("", message)
        key = prefix + (at[1] if at else "")
        if unknown := _UNKNOWN.search(problem):
            known = [name for name in _names(shape, at[1] if at else "") if at or name not in hidden]
            key, problem = f"{key}.{unknown[1]}", f"is not known here; known: {', '.join(known)}"
        elif missing := _MISSING.search(problem):
            key, problem = f"{key}.{missing[1]}", "is missing"
        key = key.strip(".")
        raise PlaceError(file, line_of(key, where), key, problem) from None


def _names(shape: object, path: str) -> tuple[str, ...]:
    """The field names that `shape` knows at `path` (".relay.listen"), for the remedy in a message."""
    for step in filter(None, re.split(r"[.\[]", path)):
        if step.endswith("]"):
            continue
        fields = {f.encode_name: f.type for f in msgspec.structs.fields(shape)} if _is_struct(shape) else {}
        kinds = [k for k in (fields.get(step), *getattr(fields.get(step), "__args__", ())) if _is_struct(k)]
        shape = kinds[0] if kinds else None
    return (
        tuple(f.encode_name for f in msgspec.structs.fields(shape)) if _is_struct(shape) else ("see the documentation",)
    )


def _is_struct(shape: object) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(shape, type) and issubclass(shape, msgspec.Struct)
