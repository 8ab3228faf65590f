"""What the SQLite tables share: conditions with their bindings, versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hudhud.database import Connection


def version_of(connection: Connection, text: str, bindings: Sequence[str]) -> int:
    """The version that a SELECT finds, 0 where there is no such row."""
    found: Any = connection.execute(text, tuple(bindings)).fetchall()
    return int(found[0][0]) if found else 0


class Conditions:
    """Conditions of a SELECT, all of which must hold, and their bindings in order. Texts are words of our own."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._bindings: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        self._texts.append(text)
        self._bindings.extend(values)

    def one_of(self, column: str, values: Sequence[str]) -> None:
        self.add(f"{column} IN ({','.join('?' * len(values))})", *values)

    @property
    def where(self) -> str:
        return f" WHERE {' AND '.join(self._texts)}" if self._texts else ""

    def bindings(self, *more: Any) -> tuple[Any, ...]:
        return (*self._bindings, *more)
