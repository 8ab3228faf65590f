"""DKIM and ARC of a message: keys first, from the relay's resolver, then the signatures. RFC 6376, 8601, 8617."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from mail import dkim_door
from mail.auth.results import Arc, Dkim, Word
from mail.dns import Answer, Resolver, failed
from mail.message import Message

MAX_KEYS: Final = 30  # names that are asked for in one message
INLINE_BYTES: Final = 64 * 1024  # a larger message is hashed in a thread, so that others are not kept waiting
SIGNED: Final = (b"dkim-signature", b"arc-seal", b"arc-message-signature")

Keys = Mapping[str, Answer]

_WORDS: Final[Mapping[str, Word]] = {
    "no-key": "permerror", "revoked": "permerror", "other-service": "permerror", "other-hash": "permerror",
    "other-domain": "permerror", "syntax": "permerror", "unreadable-header": "permerror", "unsigned-end": "policy",
}  # fmt: skip


async def keys(message: Message, resolver: Resolver) -> Keys:
    """The key records that the message's signatures name, and why there are none. Names are asked all at once."""
    names: dict[str, None] = {}
    for field in message.headers:
        if field.name in SIGNED and len(names) < MAX_KEYS:
            said = dkim_door.tags(field.body)
            selector, domain = (said.get(tag, b"").decode("ascii", "replace").lower() for tag in (b"s", b"d"))
            if selector and domain:
                names[f"{selector}._domainkey.{domain.rstrip('.')}"] = None
    answers = await asyncio.gather(*(resolver.txt(name) for name in names))
    return dict(zip(names, answers, strict=True))


async def check(message: Message, found: Keys) -> tuple[tuple[Dkim, ...], Arc]:
    """Every signature, and the chain of those who handed the message on."""
    if not any(field.name in SIGNED for field in message.headers):
        return (), Arc("none")
    if message.size > INLINE_BYTES:
        return await asyncio.to_thread(_check, message, found)
    return _check(message, found)


def _check(message: Message, found: Keys) -> tuple[tuple[Dkim, ...], Arc]:
    def txt(name: str) -> str | None:
        answer = found.get(name, "NXDOMAIN")
        if isinstance(answer, str) or not answer:
            return None
        return next((record for record in answer if "p=" in record), answer[0])

    def word(one: dkim_door.Checked) -> Word:
        if failed(found.get(f"{one.selector}._domainkey.{one.domain}", ())):
            return "temperror"
        return "pass" if one.valid else _WORDS.get(one.reason, "fail")

    signatures = tuple(
        Dkim(one.domain, one.selector, word(one), one.reason) for one in dkim_door.checked(message.data, txt)
    )
    if message.first(b"arc-seal") is None:
        return signatures, Arc("none")
    if any(failed(answer) for answer in found.values()):
        return signatures, Arc("temperror")
    chain = dkim_door.chain(message.data, txt)
    return signatures, Arc("pass" if chain == "pass" else "none" if chain == "none" else "fail")
