"""H-SIZE-01: no message is larger than the sender's or the recipient's body takes. Pure. RFC 1870."""

from __future__ import annotations

from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy, Rules
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "size", "H-SIZE-01", "1"


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """On submission the limit of the sender's body counts, else that of each recipient's."""
    account = message.envelope.account
    found = []
    for recipient in message.envelope.recipients:
        entity = policy.registry.by_domain(recipient.address.domain)
        code = account.entity if account is not None else entity.code if entity else None
        rules = policy.rules(code)
        if message.size > rules.max_size:
            found.append(too_large(message.size, rules.max_size, rules, (recipient.address.raw,)))
    return tuple(found)


def too_large(size: int, limit: int, rules: Rules, recipients: tuple[bytes, ...] | None = None) -> Finding:
    """What is said of a message of `size` octets where `limit` are taken: both, and the lawful way of that body."""
    told: dict[str, object] = {"limit": limit, "size": size}
    if rules.large_files_en and rules.large_files_ar:
        told |= {"large_en": rules.large_files_en, "large_ar": rules.large_files_ar}
    return Finding(NAME, RULE, VERSION, Disposition.REJECT, "too-large", recipients, told)
