"""Small words that the SQLite tables share: times as microseconds, conditions with their bindings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hudhud.database import Connection

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Since 1970, as the tables keep times."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


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
