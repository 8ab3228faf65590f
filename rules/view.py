"""One event as rules look at it: its flat fields, with their texts made once however many rules ask. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EVERYTHING: Final = "*"


class View:
    """One event's flat fields with their texts made once, however many rules ask."""

    __slots__ = ("_lower", "_texts", "_whole", "fields")

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.fields = fields
        self._texts: dict[str, tuple[str, ...]] = {}
        self._lower: dict[str, tuple[str, ...]] = {}
        self._whole: View | None = None

    def values(self, name: str) -> tuple[object, ...]:
        """The field's values; () when it is absent, null or an empty list."""
        value = self.fields.get(name)
        if value is None:
            return ()
        return tuple(value) if isinstance(value, list | tuple) else (value,)

    def texts(self, name: str) -> tuple[str, ...]:
        """The field's values as text, booleans as "true" and "false"."""
        found = self._texts.get(name)
        if found is None:
            found = self._texts[name] = tuple(as_text(value) for value in self.values(name))
        return found

    def lower(self, name: str) -> tuple[str, ...]:
        """The same in lower case: Sigma compares without case unless `cased`."""
        found = self._lower.get(name)
        if found is None:
            found = self._lower[name] = tuple(text.lower() for text in self.texts(name))
        return found

    def whole(self) -> View:
        """The event as one field, EVERYTHING, that has all values of all fields."""
        if self._whole is None:
            self._whole = View({EVERYTHING: [value for name in self.fields for value in self.values(name)]})
        return self._whole


def as_text(value: object) -> str:
    """A value as rules compare it: booleans are "true" and "false"."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
