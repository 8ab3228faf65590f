"""Text from outside made safe to read: isolated, capped, hidden characters shown; times and sizes in words. Pure."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

from markupsafe import Markup, escape

from hudhud.i18n import DIRECTION, Catalogue, Language

say = Catalogue("console")

DEFAULT_CAP = 300  # characters of one value from outside on a page

# Format characters (category Cf) that have a shape of their own: Arabic number signs and their like.
_HONEST = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_hidden(character: str) -> bool:
    """Whether the character has no shape, or turns the direction of others (bidi controls)."""
    return unicodedata.category(character) in _HIDDEN_CATEGORIES and character not in _HONEST


def capped(text: str, cap: int = DEFAULT_CAP) -> str:
    """The first `cap` characters; what was cut is told by an ellipsis."""
    return text if len(text) <= cap else text[: max(cap - 1, 0)] + "…"


def visible(text: str, *, lines: bool = False) -> Markup:
    """Escaped, with each hidden character shown by its number; with `lines`, line feeds and tabs stay as they are."""
    shown: list[str] = []
    for character in text:
        if lines and character in "\n\t":
            shown.append(character)
        elif is_hidden(character):
            shown.append(f'<span class="hidden-char">U+{ord(character):04X}</span>')
        else:
            shown.append(str(escape(character)))
    return Markup("".join(shown))  # noqa: S704 - each piece was escaped above


def outside(value: object, cap: int = DEFAULT_CAP) -> Markup:
    """One value from outside, in an isolation of its own so that it cannot turn the words around it."""
    return Markup("<bdi>{}</bdi>").format(visible(capped("" if value is None else str(value), cap)))


def code(value: object, cap: int = DEFAULT_CAP) -> Markup:
    """An address, name or number for machines: isolated, left to right, in the fixed font."""
    return Markup('<bdi class="code" dir="ltr">{}</bdi>').format(visible(capped(str(value), cap)))


def moment(when: datetime | None) -> Markup:
    """A time in UTC with the zone named, the same in every language; a dash where there is none."""
    if when is None:
        return Markup("–")
    utc = when.astimezone(UTC)
    return Markup('<time dir="ltr" datetime="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M UTC")
    )


def exact_moment(when: datetime | None) -> Markup:
    """The same to the second."""
    if when is None:
        return Markup("–")
    utc = when.astimezone(UTC)
    return Markup('<time dir="ltr" datetime="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def size(octets: int) -> Markup:
    """A size in the unit that fits: octets as B, KiB, MiB, GiB."""
    amount, unit = float(octets), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    figure = f"{octets} B" if unit == "B" else f"{amount:.1f} {unit}"
    return Markup('<bdi dir="ltr">{}</bdi>').format(figure)


def span(length: timedelta, language: Language = "en") -> Markup:
    """A length of time in its two largest units: 3 d 4 h, 5 h 12 min, 40 s; in Arabic words in Arabic."""
    seconds = max(int(length.total_seconds()), 0)
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        figure = say(language, "{days} d {hours} h", days=days, hours=hours)
    elif hours:
        figure = say(language, "{hours} h {minutes} min", hours=hours, minutes=minutes)
    elif minutes:
        figure = say(language, "{minutes} min", minutes=minutes)
    else:
        figure = say(language, "{seconds} s", seconds=left)
    return Markup('<bdi dir="{}">{}</bdi>').format(DIRECTION[language], figure)
