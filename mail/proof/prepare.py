"""SASLprep (RFC 4013): a password typed on different keyboards becomes the same octets. Pure."""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9,
)  # fmt: skip


def prepared(text: str) -> str:
    """`text` as RFC 4013 has it, unassigned code points allowed (a "query string"); ValueError where it forbids one."""
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in text if stringprep.in_table_c12(c) or not _nothing(c)
    )
    ready = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(forbidden(c) for c in ready for forbidden in _PROHIBITED):
        raise ValueError("has a character that no password may have (RFC 4013)")
    right_to_left = [stringprep.in_table_d1(c) for c in ready]
    if any(right_to_left):  # section 2.3, RFC 3454 section 6
        if any(stringprep.in_table_d2(c) for c in ready):
            raise ValueError("mixes letters of both directions (RFC 4013)")
        if not (right_to_left[0] and right_to_left[-1]):
            raise ValueError("begins or ends otherwise than its right-to-left letters (RFC 4013)")
    return ready


def prepared_or_same(text: str) -> str:
    """`prepared`, or the text itself where RFC 4013 forbids it: it may still be right where it was set so."""
    try:
        return prepared(text)
    except ValueError:
        return text


def _nothing(character: str) -> bool:
    return stringprep.in_table_b1(character)
