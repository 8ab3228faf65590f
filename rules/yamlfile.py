"""The one door to PyYAML: documents with the lines of their keys; a key given twice is an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from rules.rule import RuleError

_MAX_DEPTH = 40  # levels; a rule has five or six
_MAX_BYTES = 1_000_000  # one rule file


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document. `lines`: path of keys to 1-based line; `text`: its source."""

    value: dict[str, object]
    line: int
    lines: dict[tuple[str, ...], int]
    text: str

    def line_of(self, *path: str) -> int:
        """The line of a key, or of the nearest key above it that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


def documents(file: str, data: bytes) -> Iterator[Document]:
    """Every document of a file. Raises RuleError(file, line, problem)."""
    if len(data) > _MAX_BYTES:
        raise RuleError(file, 0, f"larger than {_MAX_BYTES} bytes")
    text = _decode(file, data)
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            lines: dict[tuple[str, ...], int] = {}
            _walk(file, node, (), lines, 0)
            value = loader.construct_document(node)
            if not isinstance(value, dict):
                raise RuleError(file, node.start_mark.line + 1, "a rule is a mapping of keys to values")
            source = text[node.start_mark.index : node.end_mark.index].strip()
            yield Document(value, node.start_mark.line + 1, lines, source)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RuleError(file, line, f"not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, RuleError):
            raise
        raise RuleError(file, 0, f"not YAML: {error}") from error
    finally:
        loader.dispose()


def _decode(file: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RuleError(file, data[: error.start].count(b"\n") + 1, "not UTF-8") from error


def _walk(file: str, node: yaml.Node, path: tuple[str, ...], lines: dict[tuple[str, ...], int], depth: int) -> None:
    line = node.start_mark.line + 1
    if depth > _MAX_DEPTH:
        raise RuleError(file, line, "nested too deeply")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise RuleError(file, key.start_mark.line + 1, f"the key {name!r} is given twice")
            seen.add(name)
            lines[(*path, name)] = key.start_mark.line + 1
            _walk(file, value, (*path, name), lines, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _walk(file, value, (*path, "-"), lines, depth + 1)
