"""H-ADDR-01: what comes in with an address that programs read differently is tagged; a submission's From or rule A
refuse it (author, leak). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mail.content import addresses
from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "ambiguous", "H-ADDR-01", "1"
FIELDS: Final = frozenset({b"from", b"sender", b"reply-to", b"to", b"cc"})  # what mail programs show or answer


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """Without an account only; a tag, as many honest programs abroad write strange addresses. Several From count."""
    if message.envelope.account is not None:
        return ()
    return tuple(
        Finding(NAME, RULE, VERSION, Disposition.TAG, "ambiguous-address", facts={"header": header, "why": why})
        for header, why in _doubts(message)
    )


def _doubts(message: Message) -> Iterator[tuple[str, str]]:
    if len(message.all(b"from")) > 1:
        yield "From", "several-from"
    told = set()
    for field in message.headers:
        if field.name in FIELDS and field.name not in told and (why := addresses.read(field.value).ambiguous):
            told.add(field.name)
            yield field.name.decode().title(), why
