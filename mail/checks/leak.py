"""H-LEAK-01 to 07: header fields that would draw answers, receipts or copies of official mail abroad (rule A). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mail.content.addresses import domain_of
from mail.facts import LEAKS, Carrier, Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, VERSION = "leak", "2"
AMBIGUOUS = "H-ADDR-01"

_REASONS: Final = {
    "H-LEAK-01": "foreign-reply-to",
    "H-LEAK-02": "foreign-sender",
    "H-LEAK-03": "foreign-resent",
    "H-LEAK-04": "foreign-receipt",
    "H-LEAK-05": "foreign-receipt",
    "H-LEAK-06": "foreign-errors-to",
    "H-LEAK-07": "foreign-followup",
}


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """On submission only: citizens abroad may ask to be answered wherever they like."""
    account = message.envelope.account
    if account is None:
        return ()
    carriers = [carrier for carrier in facts.carriers if carrier.name.encode() in LEAKS]
    return tuple(finding for carrier in carriers for finding in _findings(carrier, facts))


def _findings(carrier: Carrier, facts: Facts) -> Iterator[Finding]:
    rule = LEAKS[carrier.name.encode()]
    header = carrier.name.title()
    standings = {address: facts.standing(domain_of(address)) for address in carrier.reading.addresses}
    foreign = [address for address, standing in standings.items() if standing.national is False]
    unknown = [address for address, standing in standings.items() if standing.national is None]
    if foreign:
        told: dict[str, object] = {"header": header, "addresses": foreign}
        yield Finding(NAME, rule, VERSION, Disposition.REJECT, _REASONS[rule], facts=told)
    elif unknown:
        told = {"header": header, "addresses": unknown}
        yield Finding(NAME, rule, VERSION, Disposition.DEFER, "dns-failed", facts=told)
    if carrier.reading.ambiguous:
        told = {"header": header, "why": carrier.reading.ambiguous}
        yield Finding(NAME, AMBIGUOUS, VERSION, Disposition.REJECT, "ambiguous-address", facts=told)
