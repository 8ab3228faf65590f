"""H-ID-01: who sends is who logged in; MAIL FROM is an address of the account or delegated to it. Pure."""

from __future__ import annotations

from mail.envelope import Envelope
from mail.facts import Facts, own_addresses, plain
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "identity", "H-ID-01", "1"


def check(envelope: Envelope, facts: Facts, policy: Policy) -> Finding | None:
    """On submission only: mail that comes in on the MX port has no account. RFC 6409 section 6.1."""
    if envelope.client.listener == "mx":
        return None
    account = envelope.account
    if account is None:
        return Finding(NAME, RULE, VERSION, Disposition.REJECT, "no-account")
    if not envelope.sender.raw:
        if policy.rules(account.entity).null_sender:
            return None
        return Finding(NAME, RULE, VERSION, Disposition.REJECT, "null-sender", facts={"account": account.name})
    sender = plain(envelope.sender)
    if sender in own_addresses(account):
        return None
    told = {"account": account.name, "sender": sender}
    return Finding(NAME, RULE, VERSION, Disposition.REJECT, "not-your-address", facts=told)
