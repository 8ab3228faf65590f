"""H-HOP-01: what the next hop is known not to take (SIZE, 8BITMIME, SMTPUTF8) is refused here, not bounced later. Pure.

RFC 1870 section 6, RFC 6152 section 3, RFC 6531 sections 3.2 and 3.5. Of a next hop of which nothing is known, nothing
is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mail.envelope import Envelope, Recipient
from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "nexthop", "H-HOP-01", "1"

OURS: Final = 2048  # octets that our trace headers and signature add at most, near enough


def check(envelope: Envelope, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """At RCPT: by what MAIL declared and by the addresses."""
    return tuple(
        found
        for one in envelope.recipients
        for found in _found(
            one,
            facts,
            size=envelope.size,
            eight_bit=envelope.body == "8BITMIME",
            utf8=not (envelope.sender.raw.isascii() and one.address.raw.isascii()),
        )
    )


def check_message(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """At DATA: by what came."""
    envelope = message.envelope
    wide = envelope.smtputf8 and not message.data[: message.body_at].isascii()
    eight_bit = not message.data.isascii()
    return tuple(
        found
        for one in envelope.recipients
        for found in _found(one, facts, size=message.size, eight_bit=eight_bit, header=wide)
    )


def _found(
    to: Recipient, facts: Facts, *, size: int | None, eight_bit: bool, utf8: bool = False, header: bool = False
) -> Iterator[Finding]:
    offer = facts.offers.get(to.address.domain)
    if offer is None:
        return
    told: dict[str, object] = {"domain": to.address.domain}
    if offer.size is not None and size is not None and size + OURS > offer.size:
        yield _finding("next-hop-size", to, told | {"limit": offer.size, "size": size})
    if utf8 and not offer.utf8:
        yield _finding("next-hop-utf8", to, told)
    if header and not offer.utf8:
        yield _finding("next-hop-utf8-header", to, told)
    if eight_bit and not offer.eight_bit:
        yield _finding("next-hop-8bit", to, told)


def _finding(reason: str, to: Recipient, told: dict[str, object]) -> Finding:
    return Finding(NAME, RULE, VERSION, Disposition.REJECT, reason, (to.address.raw,), told)
