"""Classification: which level a message says that it has, by its header or subject, as policy.toml defines it. Pure.

    [classification]
    levels = ["public", "internal", "restricted", "secret"]    # ordered, the lowest first
    unmarked = "public"                                        # what a message without a mark counts as
    headers = ["X-Classification", "msip_labels"]
    subject = true                                             # [secret] or (سري) in the subject
    [classification.marks]
    "سري" = "secret"
    "11111111-2222-3333-4444-555555555555" = "restricted"      # the id of a Microsoft label

A header that is there and says what the table does not know counts as the highest level: an error keeps mail at home.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Final

import msgspec

from hudhud import toml
from mail.message import Message

HEADERS: Final = ("Classification", "X-Classification", "X-Protective-Marking", "msip_labels")
MAX_VALUE: Final = 8192  # characters of one header field that are read; a longer one counts as not understood
MAX_FIELDS: Final = 20  # header fields that are read

_LABEL = re.compile(r"msip_label_([0-9a-f-]{36})_(\w+)")
_OFF = re.compile(r"msip_label_([0-9a-f-]{36})_enabled\s*=\s*(?!true\s*$)")
_BRACKETS = re.compile(r"\[([^\[\]]{1,80})\]|\(([^()]{1,80})\)")
_SEPARATORS = re.compile(r"[;,\r\n]|//")


class Scheme(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The levels of the country and how a message says its own. No levels: nothing is classified."""

    levels: tuple[str, ...] = ()
    unmarked: str = ""
    headers: tuple[str, ...] = HEADERS
    subject: bool = True
    marks: dict[str, str] = {}

    def rank(self, level: str) -> int:
        """The place of a level, 0 the lowest; "" and unknown ones count as what is not marked."""
        if level in self.levels:
            return self.levels.index(level)
        return self.levels.index(self.unmarked) if self.unmarked in self.levels else 0

    def name(self, rank: int) -> str:
        """The level at that place; "" where there are none."""
        return self.levels[rank] if 0 <= rank < len(self.levels) else ""


def check(scheme: Scheme, file: str, where: Mapping[str, int]) -> None:
    """PlaceError where a name is used that is no level, or a level stands twice."""

    def wrong(key: str, problem: str) -> toml.PlaceError:
        return toml.PlaceError(file, toml.line_of(key, where), key, problem)

    if len({_folded(one) for one in scheme.levels}) < len(scheme.levels) or "" in scheme.levels:
        raise wrong("classification.levels", "names a level twice, or an empty one")
    if scheme.unmarked and scheme.unmarked not in scheme.levels:
        raise wrong("classification.unmarked", f"is none of {', '.join(scheme.levels)}")
    for mark, level in scheme.marks.items():
        if level not in scheme.levels:
            raise wrong(f"classification.marks.{mark}", f"{level!r} is none of {', '.join(scheme.levels)}")
    if not all(re.fullmatch(r"[!-9;-~]+", name) for name in scheme.headers):
        raise wrong("classification.headers", "names what is no header field")


def level_of(message: Message, scheme: Scheme) -> tuple[int, str]:
    """The highest level that header and subject name, and the mark that says so ("" for none)."""
    if not scheme.levels:
        return 0, ""
    known = {_folded(level): scheme.rank(level) for level in scheme.levels}
    known |= {_folded(mark): scheme.rank(level) for mark, level in scheme.marks.items()}
    found = list(_in_headers(message, scheme, known))
    if scheme.subject:
        found += _in_subject(message, known)
    return max(found, default=(scheme.rank(""), ""))


def _in_headers(message: Message, scheme: Scheme, known: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    highest = len(scheme.levels) - 1
    for header in scheme.headers:
        fields = message.all(header.lower().encode())
        for number, field in enumerate(fields):
            text = _decoded(field.value)
            if text is None or number >= MAX_FIELDS:
                yield highest, "?"
                continue
            said = list(_said(text))
            ranks = [(known[_folded(one)], one[:80]) for one in said if _folded(one) in known]
            if ranks:
                yield max(ranks)
            elif said:
                yield highest, text.strip()[:80]


def _in_subject(message: Message, known: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    for field in message.all(b"subject")[:MAX_FIELDS]:
        for found in _BRACKETS.finditer(_decoded(field.value) or ""):
            mark = found[1] or found[2]
            if _folded(mark) in known:
                yield known[_folded(mark)], mark


def _said(text: str) -> Iterator[str]:
    """What a header's value may mean: the words themselves, values of name=value, labels that are switched on."""
    pairs = [part.strip() for part in _SEPARATORS.split(text) if part.strip()]
    off = {found[1] for part in pairs if (found := _OFF.match(part.lower()))}
    for part in pairs:
        name, equals, value = part.partition("=")
        label = _LABEL.match(name.strip().lower())
        if label is None:
            yield value.strip() if equals else part
        elif label[1] not in off and label[2] in ("enabled", "name"):
            yield label[1] if label[2] == "enabled" else value.strip()


def _decoded(text: str) -> str | None:
    """The value as text, encoded words decoded; None where it is too long or cannot be read."""
    if len(text) > MAX_VALUE:
        return None
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, ValueError):
        return None


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
