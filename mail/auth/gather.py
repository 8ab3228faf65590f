"""Gathers SPF, DKIM, ARC and DMARC of a message that came in from outside, names asked at the same time."""

from __future__ import annotations

import asyncio

from mail.auth import dkim, dmarc, spf
from mail.auth.results import Auth
from mail.content import addresses
from mail.dns import Resolver
from mail.message import Message


async def authenticate(message: Message, resolver: Resolver) -> Auth:
    """Everything about where the message comes from. Never raises for what stands in it or in the DNS."""
    envelope = message.envelope
    sender = f"{envelope.sender.local}@{envelope.sender.domain}" if envelope.sender else ""
    sent, keys = await asyncio.gather(
        spf.check(envelope.client.ip, sender, envelope.client.helo, resolver), dkim.keys(message, resolver)
    )
    signatures, chain = await dkim.check(message, keys)
    policy = await dmarc.check(authors(message), sent, signatures, resolver)
    return Auth(sent, signatures, policy, chain)


def authors(message: Message) -> frozenset[str]:
    """The domains of every address that some reader sees in From."""
    found = (addresses.domain_of(a) for field in message.all(b"from") for a in addresses.read(field.value).addresses)
    return frozenset(domain for domain in found if domain)
