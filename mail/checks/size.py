"""H-SIZE-01: no message is larger than the sender's or the recipient's body takes. Pure. RFC 1870."""

from __future__ import annotations

from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "size", "H-SIZE-01", "1"


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """On submission the limit of the sender's body counts, else that of each recipient's."""
    account = message.envelope.account
    found = []
    for recipient in message.envelope.recipients:
        entity = policy.registry.by_domain(recipient.address.domain)
        code = account.entity if account is not None else entity.code if entity else None
        limit = policy.rules(code).max_size
        if message.size > limit:
            told = {"limit": limit, "size": message.size}
            raw = (recipient.address.raw,)
            found.append(Finding(NAME, RULE, VERSION, Disposition.REJECT, "too-large", raw, told))
    return tuple(found)
