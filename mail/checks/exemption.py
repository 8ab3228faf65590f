"""H-EXEMPT: an exemption that lets an account write to a foreign recipient; its use is a finding. Pure."""

from __future__ import annotations

from mail.envelope import Envelope
from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "exemption", "H-EXEMPT", "1"


def check(envelope: Envelope, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """At RCPT the size is not known yet: what exceeds it is refused at DATA (`check_size`)."""
    account = envelope.account
    if account is None or policy.foreign(account.entity) == "allow":
        return ()
    found = []
    for recipient in envelope.recipients:
        if facts.standing(recipient.address.domain).national is not False:
            continue
        exemption = policy.exemption(envelope.sender, recipient.address, facts.now, None)
        if exemption is not None:
            told = {"exemption": exemption.id, "ends": exemption.ends.isoformat(), "document": exemption.document}
            raw = (recipient.address.raw,)
            found.append(Finding(NAME, RULE, VERSION, Disposition.ACCEPT, "exempted", raw, told))
    return tuple(found)


def check_size(message: Message, facts: Facts, policy: Policy) -> Finding | None:
    """Refuses the recipients that were taken for an exemption which does not cover the message's size or has ended."""
    exempted = {raw for f in facts.rcpt if f.rule == RULE for raw in f.recipients or ()}
    sender = message.envelope.sender
    over = tuple(
        r.address.raw
        for r in message.envelope.recipients
        if r.address.raw in exempted and policy.exemption(sender, r.address, facts.now, message.size) is None
    )
    if not over:
        return None
    told = {"size": message.size}
    return Finding(NAME, "H-NAT-02", VERSION, Disposition.REJECT, "exemption-too-small", over, told)
