"""The texts of mail's commands in the language of the terminal."""

from __future__ import annotations

import os

from hudhud.i18n import Catalogue, Language

say = Catalogue("mail")


def language() -> Language:
    """Arabic where the terminal's locale is Arabic (LC_ALL, LC_MESSAGES, LANG), else English."""
    chosen = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return "ar" if chosen.lower().startswith("ar") else "en"


def _(text: str, /, **values: object) -> str:
    """`text` in the terminal's language, its {names} filled in."""
    return say(language(), text, **values)
