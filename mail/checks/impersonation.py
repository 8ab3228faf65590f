"""H-IN-02: a message from abroad that says it comes from a public body is held: our bodies send from inside. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from hudhud.entity import Entity, Registry
from mail.content import addresses
from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "impersonation", "H-IN-02", "1"


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """Nothing to say of who logged in, of a registered server, or of a client inside the national prefixes.

    MAIL FROM and every reading of From count: mail programs show the one or the other. Travellers are not touched:
    they hand in with an account; nor is what an embassy's own network sends in the name of its body.
    """
    envelope = message.envelope
    if envelope.account is not None or not _abroad(envelope.client.ip, policy):
        return ()
    proven, here = _proven(facts), _embassy(envelope.client.ip, policy.registry)
    claims = set(_claims(message, policy))
    claimed = sorted(d for d in claims if d != proven and (here is None or policy.registry.by_domain(d) is not here))
    if not claimed:
        return ()
    told = {"claims": claimed, "client": envelope.client.ip}
    found = []
    for recipient in envelope.recipients:
        entity = policy.registry.by_domain(recipient.address.domain)
        disposition = Disposition.of(policy.rules(entity.code if entity else None).impersonation)
        if disposition > Disposition.ACCEPT:
            found.append(
                Finding(NAME, RULE, VERSION, disposition, "national-from-abroad", (recipient.address.raw,), told)
            )
    return tuple(found)


def _proven(facts: Facts) -> str:
    """The domain of From where the body itself has vouched for the message (DMARC: its own signature or sender)."""
    return facts.auth.dmarc.author if facts.auth is not None and facts.auth.dmarc.result == "pass" else ""


def _abroad(ip: str, policy: Policy) -> bool:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return not address.is_loopback and not policy.registry.is_national_address(address)


def _embassy(ip: str, registry: Registry) -> Entity | None:
    """The body whose own network abroad the client is in; a public one (its guests') is not meant."""
    found = registry.by_address(ip)
    return found[0] if found is not None and found[1].kind != "public" else None


def _claims(message: Message, policy: Policy) -> Iterator[str]:
    """The domains of public bodies that the message says it comes from."""
    if policy.registry.by_domain(message.envelope.sender.domain) is not None:
        yield message.envelope.sender.domain
    for header in message.all(b"from"):
        for address in addresses.read(header.value).addresses:
            domain = addresses.domain_of(address)
            if policy.registry.by_domain(domain) is not None:
                yield domain
