"""How a password typed on different keyboards becomes the same octets: SASLprep (RFC 4013), else RFC 8265. Pure.

RFC 4013 forbids what is ordinary in Arabic: a password of Arabic letters that ends with a digit. RFC 8265, which
replaced it, does not; so what the first forbids is prepared as the second says, and what both allow is alike by both.
"""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9,
)  # fmt: skip


def prepared(text: str) -> str:
    """`text` as RFC 4013 has it (a "query string"), else as an OpaqueString of RFC 8265; ValueError: not even that."""
    if text.isascii() and text.isprintable():
        return text
    found = _saslprep(text)
    if found is not None:
        return found
    opaque = unicodedata.normalize("NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in text))
    if any(unicodedata.category(c) in ("Cc", "Cs", "Cn", "Co") for c in opaque):
        raise ValueError("has a character that no password may have (RFC 8265)")
    return opaque


def prepared_or_same(text: str) -> str:
    """`prepared`, or the text itself where it cannot be."""
    try:
        return prepared(text)
    except ValueError:
        return text


def _saslprep(text: str) -> str | None:
    """RFC 4013; None for what it forbids."""
    kept = [c for c in text if stringprep.in_table_c12(c) or not stringprep.in_table_b1(c)]
    spaced = "".join(" " if stringprep.in_table_c12(c) else c for c in kept)
    ready = unicodedata.ucd_3_2_0.normalize("NFKC", spaced)
    if any(forbidden(c) for c in ready for forbidden in _PROHIBITED):
        return None
    right_to_left = [stringprep.in_table_d1(c) for c in ready]
    if any(right_to_left):  # section 2.3, RFC 3454 section 6
        mixed = any(stringprep.in_table_d2(c) for c in ready)
        return None if mixed or not (right_to_left[0] and right_to_left[-1]) else ready
    return ready
