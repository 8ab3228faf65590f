"""H-NAT-04: national name, foreign house: a body's own domain whose mail hosts stand abroad. Pure."""

from __future__ import annotations

from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "house", "H-NAT-04", "1"


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """On submission: the sender's domain concerns every recipient (answers go there), a recipient's only its own."""
    envelope = message.envelope
    if envelope.account is None or not facts.houses:
        return ()
    found = []
    for domain, house in facts.houses.items():
        recipients = tuple(r.address.raw for r in envelope.recipients if r.address.domain == domain)
        sender = domain == envelope.sender.domain
        if not recipients and not sender:
            continue
        told: dict[str, object] = {
            "domain": domain,
            "hosts": list(house.hosts),
            "whose": "sender" if sender else "recipient",
        }
        if house.first:
            told["first"] = True
        found.append(
            Finding(NAME, RULE, VERSION, Disposition.REJECT, "foreign-house", None if sender else recipients, told)
        )
    return tuple(found)
