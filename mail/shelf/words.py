"""The words of a subject as keyed hashes: a trace can be searched by them under an order, and nobody reads them off it.

Whole words, whatever their case, marks or spelling of alif; in the order of the subject, each once. Pure.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from email.header import decode_header, make_header
from typing import Final

from mail.message import Message

MAX_WORDS: Final = 24  # of one subject
HASH: Final = 8  # octets of one word's hash
MAX_SUBJECT: Final = 1000  # characters that are read

_WORD: Final = re.compile(r"\w+")
_SPELLINGS: Final = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ة": "ه", "ـ": None})
_PERSON: Final = b"subject words"


def split(text: str) -> tuple[str, ...]:
    """The words that count, in the form that is compared."""
    text = text[:MAX_SUBJECT]
    if not text.isascii():
        marked = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in marked if not unicodedata.combining(c)).translate(_SPELLINGS)
    return tuple(dict.fromkeys(_WORD.findall(text.casefold())))[:MAX_WORDS]


def derived(key: bytes) -> bytes:
    """The key of the hashes, from the one that wraps held bodies: each key has one use."""
    return hashlib.blake2b(key, person=b"subject key").digest()


def of(message: Message, key: bytes) -> bytes:
    """The hashed words of the message's first Subject."""
    field = message.first(b"subject")
    return hashed(subject(field.value), key) if field is not None else b""


def hashed(text: str, key: bytes) -> bytes:
    """The words' hashes, HASH octets each, one after the other; b"" where there are none."""
    return b"".join(
        hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=HASH, key=key, person=_PERSON).digest()
        for word in split(text)
    )


def subject(value: str) -> str:
    """A Subject field's value as its reader sees it (RFC 2047); as it stands where that cannot be read."""
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value[: 8 * MAX_SUBJECT])))
    except (LookupError, ValueError):
        return value


def each(hashes: bytes) -> tuple[bytes, ...]:
    """What `hashed` made, word by word."""
    return tuple(hashes[at : at + HASH] for at in range(0, len(hashes), HASH))
