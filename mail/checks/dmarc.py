"""H-AUTH-01: From's domain asks that mail which only claims to be its own be refused or set apart (RFC 9989). Pure."""

from __future__ import annotations

from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "dmarc", "H-AUTH-01", "1"


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """As strong as each recipient's body wants; where the domain asks for quarantine only, a tag at most.

    Held, not refused: a list or a forwarder on the way breaks what the author's house signed, and a person sees that.
    """
    if facts.auth is None or facts.auth.dmarc.result != "fail" or facts.auth.dmarc.policy == "none":
        return ()
    dmarc = facts.auth.dmarc
    told = {
        "author": dmarc.author,
        "policy": dmarc.policy,
        "spf": facts.auth.spf.result,
        "dkim": [f"{one.domain} {one.result}" for one in facts.auth.dkim],
    }
    found = []
    for recipient in message.envelope.recipients:
        entity = policy.registry.by_domain(recipient.address.domain)
        disposition = Disposition.of(policy.rules(entity.code if entity else None).dmarc)
        if dmarc.policy != "reject":
            disposition = min(disposition, Disposition.TAG)
        if disposition > Disposition.ACCEPT:
            found.append(Finding(NAME, RULE, VERSION, disposition, "dmarc-fail", (recipient.address.raw,), told))
    return tuple(found)
