"""What a message contains: its parts by several readings at once (strict, lenient, carved)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reading = Literal["strict", "lenient", "carved"]


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of content. `path` is IMAP's ("1.2"), with "!n" for what was unpacked from it and "~n" for carved.

    `media_type` is declared, `detected_type` is what the bytes say; `size` in octets of the decoded `data`;
    `depth` 0 = in the message itself, 1 = in an archive or document in it.
    """

    path: str
    name: str
    media_type: str
    detected_type: str
    size: int
    sha256: str
    readings: tuple[Reading, ...]
    data: bytes
    disposition: str = ""
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that was found in a message. The tuples beside the parts hold slugs and paths, never contents.

    `ambiguous`: how mail programs may differ on it. `limits`: caps that were hit (settings [content]).
    `encrypted`: paths of parts that need a password. `unread`: paths that could not be unpacked, with the reason.
    """

    parts: tuple[Part, ...] = ()
    ambiguous: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    encrypted: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
