"""By what a message is known again when it goes on: its Message-ID, its text, its files; as short hashes. Pure.

A redirect keeps the Message-ID; a rule that forwards keeps the text, with a copied header above or a footer below; both
keep the files. Words alone count, so that another encoding, line breaks or quote signs change nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mail.content.parts import Part

MIN_WORDS: Final = 12  # a shorter text is everybody's
FIRST_WORDS: Final = 40  # a longer text is also known by its beginning, whatever was put below it
MAX_WORDS: Final = 600  # two messages with the same first words are the same
MAX_TEXT: Final = 8 * 1024  # characters that are read
OWN_WORDS: Final = 8  # above a copied header; with more of them somebody wrote, and no rule forwarded
MAX_ABOVE: Final = 2048  # characters in which a copied header is looked for
MIN_FILE: Final = 1024  # octets; a smaller file is everybody's
MIN_IMAGE: Final = 64 * 1024  # octets; a smaller image is a letterhead
MAX_FILES: Final = 8

_WORDS: Final = bytes(
    byte | 0x20 if 65 <= byte <= 90 else byte if byte >= 128 or 97 <= byte <= 122 or 48 <= byte <= 57 else 32
    for byte in range(256)
)
_COPIED = re.compile(
    r"\n[ >*\t]*(?:from|von|de|من)[ *]*:[^\n]{0,300}\n(?:[ >*\t]*[^\s:][^:\n]{0,30}:[^\n]{0,500}\n){1,12}", re.I
)
_FORWARDED = re.compile(r"\n[ >\t]*-{4,}[^\n]{1,80}-{4,}[ \t\r]*\n")


@dataclass(frozen=True, slots=True)
class Marks:
    """`message` and `texts` say that it is the same message, `files` that the same files go on.

    `forwarded` are texts that stand below a copied header with hardly a word above it. `words`: of the whole text.
    """

    message: bytes = b""
    texts: tuple[bytes, ...] = ()
    files: tuple[bytes, ...] = ()
    forwarded: tuple[bytes, ...] = ()
    words: int = 0
    other_files: int = 0  # files that are too small to be known again

    @property
    def lasting(self) -> tuple[bytes, ...]:
        """What is remembered of a message that came in."""
        return (*((self.message,) if self.message else ()), *self.texts, *self.files)

    @property
    def asked(self) -> tuple[bytes, ...]:
        """What is looked up of a message that goes abroad."""
        return (*self.lasting, *self.forwarded)


def of(message_id: str, text: str, parts: Iterable[Part]) -> Marks:
    """The marks of a message; `text` is what a reader sees of it."""
    words = _words(text)
    files = [p for p in parts if p.depth == 0 and p.data and not p.is_body and not p.media_type.startswith("message/")]
    known = [p for p in files if p.size >= (MIN_IMAGE if p.media_type.startswith("image/") else MIN_FILE)]
    return Marks(
        message=_hash(b"id", message_id.encode()) if message_id else b"",
        texts=_texts(words),
        files=tuple(dict.fromkeys(_hash(b"file", p.sha256.encode()) for p in known[:MAX_FILES])),
        forwarded=_forwarded(text),
        words=len(words),
        other_files=sum(1 for p in files if p not in known and not p.media_type.startswith("image/")),
    )


def _forwarded(text: str) -> tuple[bytes, ...]:
    """What stands below a copied header (From:, Sent:, To:, …) or a line of dashes that says "forwarded"."""
    cut = "\n" + text[: MAX_TEXT + MAX_ABOVE].replace("\r", "")
    top = cut[:MAX_ABOVE]
    found: list[bytes] = []
    for pattern in (_COPIED, _FORWARDED):
        match = pattern.search(top)
        if match is not None and len(_words(top[: match.start()])) <= OWN_WORDS:
            found += _texts(_words(cut[match.end() :]))
    return tuple(dict.fromkeys(found))


def _words(text: str) -> list[bytes]:
    return text[:MAX_TEXT].encode("utf-8", "replace").translate(_WORDS).split(None, MAX_WORDS)[:MAX_WORDS]


def _texts(words: list[bytes]) -> tuple[bytes, ...]:
    if len(words) < MIN_WORDS:
        return ()
    whole = _hash(b"text", b" ".join(words))
    return (whole, _hash(b"text", b" ".join(words[:FIRST_WORDS]))) if len(words) > FIRST_WORDS else (whole,)


def _hash(kind: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16, person=kind).digest()
