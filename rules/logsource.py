"""What a Sigma log source means here: which `event.dataset` values, and the ECS names of its fields. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from rules.eventrule import LogSource

OURS: Final = "hudhud"

_ROOTS: Final = """
agent as client cloud code_signature container data_stream destination device dll dns ecs elf email error event faas
file geo group hash host http interface log network observer orchestrator organization os package pe process registry
related risk rule server service source threat tls trace url user user_agent vlan volume vulnerability x509 hudhud
"""
ECS_ROOTS: Final = frozenset(_ROOTS.split())
"""The first names of ECS 9's field sets (elastic/ecs, generated/csv/fields.csv) and our own namespace."""

ECS_SHORT: Final = frozenset({"message", "tags", "labels"})


@dataclass(frozen=True, slots=True)
class Source:
    """One line of the table. `datasets` None = events of any dataset."""

    logsource: LogSource
    datasets: frozenset[str] | None
    fields: Mapping[str, tuple[str, ...]]

    def names(self, field: str) -> tuple[str, ...]:
        """The ECS names a rule's field stands for. Raises KeyError when there is none."""
        if field in self.fields:
            return self.fields[field]
        if field in ECS_SHORT or ("." in field and field.split(".", 1)[0] in ECS_ROOTS):
            return (field,)
        raise KeyError(field)


@cache
def table() -> tuple[Source, ...]:
    """The table of rules/logsources.toml."""
    document = tomllib.loads((resources.files("rules") / "logsources.toml").read_text("utf-8"))
    return tuple(
        Source(
            LogSource(row.get("category", ""), row.get("product", ""), row.get("service", "")),
            frozenset(row["datasets"]),
            {name: tuple(fields) for name, fields in row["fields"].items()},
        )
        for row in document["source"]
    )


def source_of(wanted: LogSource) -> Source | None:
    """What `wanted` means here, or None when no event of ours comes from such a source."""
    if wanted.product == OURS:
        return Source(wanted, frozenset({f"{OURS}.{wanted.service}"}) if wanted.service else None, {})
    for source in table():
        ours = source.logsource
        if (ours.product, ours.service) == (wanted.product, wanted.service) and ours.category == wanted.category:
            return source
    return None
