"""Texts for people, Arabic and English: one catalogue a package, the English text is the key. The one door to Babel."""

from __future__ import annotations

from functools import cache
from importlib import resources
from io import BytesIO
from typing import Literal

from babel.messages.pofile import read_po

Language = Literal["ar", "en"]
LANGUAGES: tuple[Language, ...] = ("ar", "en")
DIRECTION: dict[Language, str] = {"ar": "rtl", "en": "ltr"}


def language(text: str | None) -> Language:
    """`text` as one of our languages; Arabic, the state's language, for anything else."""
    return text if text in LANGUAGES else "ar"


@cache
def translations(package: str) -> dict[str, str]:
    """The Arabic text of each English one in `<package>/locale/ar.po`; fuzzy and empty entries do not count."""
    source = resources.files(package).joinpath("locale", "ar.po")
    if not source.is_file():
        return {}
    catalogue = read_po(BytesIO(source.read_bytes()), locale="ar")
    return {str(m.id): str(m.string) for m in catalogue if m.id and m.string and not m.fuzzy}


class Catalogue:
    """The texts of one package: `say = Catalogue("mail")`, then `say("ar", "Held by {rule}", rule=…)`."""

    def __init__(self, package: str) -> None:
        self.package = package

    def __call__(self, language: Language, text: str, /, **values: object) -> str:
        """`text` in `language`, its {names} filled in. A missing Arabic text shows the English and fails the tests."""
        shown = translations(self.package).get(text, text) if language == "ar" else text
        return shown.format(**values) if values else shown
