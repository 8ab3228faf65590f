"""H-IN-01: mail from abroad to a body is taken, tagged or held as the body's policy says (rule C). Pure."""

from __future__ import annotations

from mail.envelope import Envelope
from mail.facts import Facts
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "inbound", "H-IN-01", "1"


def check(envelope: Envelope, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """Nothing to say where the sender is national or empty, or where the body takes mail from abroad as it is."""
    if envelope.account is not None or not envelope.sender.domain:
        return ()
    if facts.standing(envelope.sender.domain).national is not False:
        return ()
    found = []
    for recipient in envelope.recipients:
        entity = policy.registry.by_domain(recipient.address.domain)
        disposition = Disposition.of(policy.rules(entity.code if entity else None).inbound)
        if disposition > Disposition.ACCEPT:
            told = {"domain": envelope.sender.domain}
            raw = (recipient.address.raw,)
            found.append(Finding(NAME, RULE, VERSION, disposition, "from-abroad", raw, told))
    return tuple(found)
