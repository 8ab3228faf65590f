"""A text part as UTF-8 without character references: what rules that know words are held against. Pure."""

from __future__ import annotations

import html
import re
from typing import Final

from mail.content.params import to_text
from mail.content.parts import Part

MAX_TEXT: Final = 1024 * 1024  # octets of a part that are turned into text
_TYPES: Final = frozenset({"text", "html", "xml", "svg"})
_REFERENCE: Final = re.compile(rb"&#(?:x[0-9a-f]{1,6}|[0-9]{1,7});", re.IGNORECASE)
_UTF8: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})


def plain(part: Part) -> bytes | None:
    """The text, or None where it is the part's own bytes: UTF-8 already, and no references such as &#1593;."""
    if part.detected_type not in _TYPES and not part.media_type.startswith("text/"):
        return None
    data = part.data[:MAX_TEXT]
    coded = part.charset not in _UTF8 and not data.isascii()
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff") or (b"\0" in data[:200] and part.charset.startswith("utf-16"))
    if not (coded or wide or (b"&#" in data and _REFERENCE.search(data))):
        return None
    text = to_text(data, part.charset or ("utf-16" if wide else ""))
    return html.unescape(text).encode("utf-8", "replace")
