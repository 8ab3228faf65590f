"""Verifies DKIM signatures (RFC 6376, 8463) with records that were gathered before. The one door to dkimpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import dkim

MAX_SIGNATURES = 10  # looked at in one message; more are work for nothing

TxtLookup = Callable[[str], str | None]
"""The TXT record of a name, its strings joined; None where there is none."""


def verified(data: bytes, txt: TxtLookup) -> frozenset[str]:
    """The domains whose signature over `data` (CRLF line ends) is valid; no part of the body may be unsigned (l=)."""

    def ask(name: bytes, timeout: int = 5) -> bytes | None:
        record = txt(name.decode("ascii", "replace").rstrip("."))
        return record.encode() if record is not None else None

    message = dkim.DKIM(data)
    count = sum(1 for name, _ in message.headers if name.lower() == b"dkim-signature")
    found = set()
    for index in range(min(count, MAX_SIGNATURES)):
        try:
            if message.verify(idx=index, dnsfunc=ask) and b"l" not in message.signature_fields:
                found.add(cast("bytes", message.domain).decode("ascii", "replace").lower())
        except (dkim.DKIMException, ValueError, KeyError, IndexError, TypeError):
            continue  # a signature that cannot be read is no valid signature
    return frozenset(found)
