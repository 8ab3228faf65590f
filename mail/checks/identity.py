"""H-ID-01: who sends is who logged in; MAIL FROM is an address of the account or delegated to it. Pure.

A body's own server speaks for the people of its body: MAIL FROM is in a domain of that body, or empty (reports).
"""

from __future__ import annotations

from mail.envelope import Envelope
from mail.facts import Facts, may_use, plain
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "identity", "H-ID-01", "1"


def check(envelope: Envelope, facts: Facts, policy: Policy) -> Finding | None:
    """Of accounts only: who sends to us from outside has none, and comes in on the MX port. RFC 6409 section 6.1."""
    account = envelope.account
    if account is None:
        if envelope.client.listener == "mx":
            return None
        return Finding(NAME, RULE, VERSION, Disposition.REJECT, "no-account")
    if not envelope.sender.raw:
        if account.kind == "server" or policy.rules(account.entity).null_sender:
            return None
        return Finding(NAME, RULE, VERSION, Disposition.REJECT, "null-sender", facts={"account": account.name})
    sender = plain(envelope.sender)
    if may_use(account, sender, policy.registry):
        return None
    told = {"account": account.name, "sender": sender}
    reason = "not-your-domain" if account.kind == "server" else "not-your-address"
    return Finding(NAME, RULE, VERSION, Disposition.REJECT, reason, facts=told)
