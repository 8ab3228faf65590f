"""H-NAT-01: the MX port takes mail for bodies of the registry only, so that the relay is open to nobody else. Pure."""

from __future__ import annotations

from mail.envelope import Envelope
from mail.facts import Facts
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "recipient", "H-NAT-01", "1"


def check(envelope: Envelope, facts: Facts, policy: Policy) -> Finding | None:
    """Who is no account may only write to the domains that we serve."""
    if envelope.account is not None:
        return None
    other = tuple(r.address for r in envelope.recipients if policy.registry.by_domain(r.address.domain) is None)
    if not other:
        return None
    told = {"domains": sorted({address.domain for address in other})}
    return Finding(NAME, RULE, VERSION, Disposition.REJECT, "relay-denied", tuple(a.raw for a in other), told)
