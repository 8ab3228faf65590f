"""Samples: what a rule must and must not match, read from `*.samples.toml` beside the rules, and tried."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rules.build import BuildError, build
from rules.matcher import Matcher
from rules.rule import RuleError
from rules.yara import EXTERNALS, YaraRules

SUFFIX: Final = ".samples.toml"
_KEYS: Final = frozenset({"name", "match", "silent", "data", "event", *EXTERNALS})


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes with externals (mail) or the flat fields of an event; `match` and `silent` are rule ids."""

    name: str
    match: tuple[str, ...]
    silent: tuple[str, ...]
    data: bytes | None
    externals: Mapping[str, str | int]
    event: Mapping[str, object] | None
    file: str
    line: int


def read_samples(files: Mapping[str, bytes]) -> tuple[Sample, ...]:
    """Every sample of the files that end in SUFFIX. Raises RuleError."""
    return tuple(sample for file in sorted(files) if file.endswith(SUFFIX) for sample in _read(file, files[file]))


def _read(file: str, data: bytes) -> Iterator[Sample]:
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise RuleError(file, 0, "not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise RuleError(file, 0, f"not TOML: {error}") from error
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == "[[sample]]"]
    rows = document.get("sample", [])
    if set(document) - {"sample"} or len(lines) != len(rows):
        raise RuleError(file, 0, "a samples file holds [[sample]] tables, each header on a line of its own")
    for line, row in zip(lines, rows, strict=True):
        yield _sample(file, line, row)


def _sample(file: str, line: int, row: Mapping[str, object]) -> Sample:
    unknown = set(row) - _KEYS
    if unknown:
        raise RuleError(file, line, f"unknown key in a sample: {', '.join(sorted(unknown))}")
    match, silent = _ids(file, line, row, "match"), _ids(file, line, row, "silent")
    if not row.get("name") or not (match or silent):
        raise RuleError(file, line, "a sample has a name, and rules in `match` or `silent`")
    event = row.get("event")
    if isinstance(event, Mapping):
        return Sample(str(row["name"]), match, silent, None, {}, dict(event), file, line)
    try:
        data = build(row.get("data", ""))
    except BuildError as error:
        raise RuleError(file, line, str(error)) from error
    externals: dict[str, str | int] = {"part": "attachment"}
    for key, default in EXTERNALS.items():
        value = row.get(key, externals.get(key, default))
        if not isinstance(value, type(default)):
            raise RuleError(file, line, f"{key} is {'text' if isinstance(default, str) else 'a number'}")
        externals[key] = value
    name = str(externals["filename"])
    if "extension" not in row and "." in name:
        externals["extension"] = name.rpartition(".")[2].lower()
    return Sample(str(row["name"]), match, silent, data, externals, None, file, line)


def _ids(file: str, line: int, row: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RuleError(file, line, f"`{key}` is a list of rule ids")
    return tuple(value)


def hits(sample: Sample, yara: YaraRules, events: Matcher) -> frozenset[str]:
    """The ids of all rules that fit the sample."""
    if sample.event is not None:
        return frozenset(rule.id for rule in events.match(sample.event))
    assert sample.data is not None
    return frozenset(hit.rule for hit in yara.scan(sample.data, externals=sample.externals))


def failures(samples: Iterable[Sample], yara: YaraRules, events: Matcher) -> Iterator[RuleError]:
    """What does not come out as the samples say, one error for each."""
    for sample in samples:
        found = hits(sample, yara, events)
        for rule in sample.match:
            if rule not in found:
                others = f"; it matches {', '.join(sorted(found))}" if found else ""
                yield RuleError(sample.file, sample.line, f"{rule} must match the sample {sample.name!r}{others}")
        for rule in sample.silent:
            if rule in found:
                yield RuleError(sample.file, sample.line, f"{rule} must not match the sample {sample.name!r}")
