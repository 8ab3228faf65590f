"""Folds text for search, Arabic first: the same words whatever alef, ya, digits, marks or case they were written with.

Pure. Both stores search these words, so that neither needs an analyser of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from cert.fields import ALL, FIELDS, IN_ALL, texts
from hudhud.event import Value

_LETTERS: Final = {
    "أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ی": "ي", "ئ": "ي", "ؤ": "و", "ة": "ه", "ک": "ك", "ـ": "",
}  # fmt: skip
_DIGITS: Final = {chr(first + digit): str(digit) for first in (0x0660, 0x06F0) for digit in range(10)}
_TABLE: Final = str.maketrans({**_LETTERS, **_DIGITS})
_WORD: Final = re.compile(r"[^\W_]+")
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")

MAX_TEXT = 10_000  # characters of one value that are folded


def words(text: str) -> list[str]:
    """The folded words of a text, in order."""
    text = text[:MAX_TEXT]
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    composed = unicodedata.normalize("NFKC", text).translate(_TABLE)
    bare = "".join(
        c for c in unicodedata.normalize("NFKD", composed) if not unicodedata.category(c).startswith(("M", "Cf"))
    )
    return _WORD.findall(unicodedata.normalize("NFKC", bare.casefold()).translate(_TABLE))


@lru_cache(maxsize=32_768)
def fold(text: str) -> str:
    """The folded words with one space between them."""
    return " ".join(words(text))


TEXT_FIELDS: Final = tuple(name for name, kind in FIELDS.items() if kind == "text")


def folded(fields: Mapping[str, Value]) -> dict[str, list[str]]:
    """What is searched by words: each text field's folded values, and under ALL those of every field in IN_ALL."""
    found: dict[str, list[str]] = {}
    everything: list[str] = []
    for name in IN_ALL:
        value = fields.get(name)
        if value is None:
            continue
        lines = [line for line in map(fold, texts(value)) if line]
        everything += lines
        if lines and FIELDS[name] == "text":
            found[name] = lines
    if everything:
        found[ALL] = everything
    return found
