"""H-MIME-01, H-CONTENT-01 to 03: content that programs read differently, or that could not be examined. Pure."""

from __future__ import annotations

from mail.facts import Facts
from mail.message import MAX_FIELDS, Message
from mail.policy import Policy, Rules
from mail.verdict import Disposition, Finding

NAME, VERSION = "mime", "1"
AMBIGUOUS, UNJUDGEABLE, ENCRYPTED, UNREAD = "H-MIME-01", "H-CONTENT-01", "H-CONTENT-02", "H-CONTENT-03"


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """A cap that was hit holds: past it nobody looked. The rest is as strong as the official side's body wants."""
    contents = facts.contents
    rules = _rules(message, policy)
    found = []
    limits = [*contents.limits, *(["header-fields"] if len(message.headers) >= MAX_FIELDS else [])]
    if limits:
        told: dict[str, object] = {"limits": limits}
        found.append(Finding(NAME, UNJUDGEABLE, VERSION, Disposition.HOLD, "content-limit", facts=told))
    if contents.ambiguous:
        told = {"why": list(contents.ambiguous)}
        strength = Disposition.of(rules.ambiguous)
        found.append(Finding(NAME, AMBIGUOUS, VERSION, strength, "ambiguous-mime", facts=told))
    if contents.encrypted:
        told = {"parts": list(contents.encrypted)}
        strength = Disposition.of(rules.encrypted)
        found.append(Finding(NAME, ENCRYPTED, VERSION, strength, "encrypted-archive", facts=told))
    if contents.unread:
        told = {"parts": list(contents.unread)}
        found.append(Finding(NAME, UNREAD, VERSION, Disposition.TAG, "damaged-archive", facts=told))
    return tuple(found)


def _rules(message: Message, policy: Policy) -> Rules:
    """Those of the sender's body on submission, else those of the first recipient that is a body's."""
    if message.envelope.account is not None:
        return policy.rules(message.envelope.account.entity)
    bodies = (policy.registry.by_domain(r.address.domain) for r in message.envelope.recipients)
    return policy.rules(next((body.code for body in bodies if body is not None), None))
