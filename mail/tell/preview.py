"""What a held message says, as text a person may look at: no active content, no file, no hidden character. Pure."""

from __future__ import annotations

import unicodedata
from email.header import decode_header, make_header
from typing import Final

from mail.content import features
from mail.content.params import to_text
from mail.content.parts import Part
from mail.message import Message

MAX_TEXT: Final = 20_000  # characters of all text parts together
MAX_HEADER: Final = 1_000  # characters of one header field
MAX_PARTS: Final = 200


def preview(message: Message, parts: tuple[Part, ...]) -> dict[str, object]:
    """Subject, from, to and date, the text of the bodies, and what else is in it by name, type, size and hash."""
    texts, room = [], MAX_TEXT
    for part in parts:
        if part.is_body and room > 0:
            texts.append(_text(part)[:room])
            room -= len(texts[-1])
    return {
        "id": message.queue_id,
        **{name: _header(message, name.encode()) for name in ("subject", "from", "to", "date")},
        "text": "\n\n".join(filter(None, texts)),
        "cut": room <= 0,
        "parts": [
            {
                "path": part.path,
                "name": shown(part.name),
                "media_type": shown(part.media_type),
                "detected_type": part.detected_type,
                "size": part.size,
                "sha256": part.sha256,
            }
            for part in parts[:MAX_PARTS]
        ],
    }


def shown(text: str) -> str:
    """Control, bidi and other invisible characters stand as \\uXXXX; line feeds and tabs stay."""
    return "".join(c if c in "\n\t " or unicodedata.category(c)[0] not in "CZ" else _code(c) for c in text)


def _code(character: str) -> str:
    return " " if unicodedata.category(character) == "Zs" else f"\\u{ord(character):04x}"


def _header(message: Message, name: bytes) -> str:
    field = message.first(name)
    if field is None:
        return ""
    try:
        text = str(make_header(decode_header(field.value)))
    except (LookupError, ValueError):
        text = field.value
    return shown(text)[:MAX_HEADER]


def _text(part: Part) -> str:
    source = to_text(part.data[: MAX_TEXT * 8], part.charset).replace("\r\n", "\n").replace("\r", "\n")
    text = features.visible(source, is_html="html" in (part.detected_type, part.media_type[5:]))
    lines = [line.rstrip() for line in shown(text).split("\n")]
    kept = [line for n, line in enumerate(lines) if line or (n and lines[n - 1])]
    return "\n".join(kept).strip()
