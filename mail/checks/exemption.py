"""H-EXEMPT: an exemption that lets an account write to a foreign recipient; its use is a finding. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from mail.envelope import Address, Envelope, Recipient
from mail.exempt import Exemption
from mail.facts import Facts, plain
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "exemption", "H-EXEMPT", "2"
REFUSED = "H-NAT-02"


def check(envelope: Envelope, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """At RCPT size and classification are not known yet: what exceeds it is refused at DATA (`check_message`)."""
    account = envelope.account
    if account is None or policy.foreign(account.entity) == "allow":
        return ()
    found = []
    for recipient in envelope.recipients:
        if facts.standing(recipient.address.domain).national is not False:
            continue
        exemption = policy.exemption(envelope.sender, recipient.address, facts.now, None, spent=facts.spent)
        if exemption is not None:
            found.append(_used(exemption, recipient))
    return tuple(found)


def check_message(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """Refuses recipients that were taken for an exemption which does not cover the whole message, or ended meanwhile.

    Where another exemption covers it, that one is used: the last finding of a recipient says which.
    """
    return tuple(_at_data(message, facts, policy))


def _at_data(message: Message, facts: Facts, policy: Policy) -> Iterator[Finding]:
    exempted = {raw: f.facts.get("exemption") for f in facts.rcpt if f.rule == RULE for raw in f.recipients or ()}
    sender = message.envelope.sender
    for recipient in message.envelope.recipients:
        named = exempted.get(recipient.address.raw)
        if named is None:
            continue
        size, level = message.size, facts.level
        one = policy.exemption(sender, recipient.address, facts.now, size, level=level, spent=facts.spent)
        if one is None and not _answers(message, recipient, facts, policy):
            yield _refused(message, recipient.address, facts, policy)
        elif one is not None and one.id != named:
            yield _used(one, recipient)


def _answers(message: Message, recipient: Recipient, facts: Facts, policy: Policy) -> bool:
    """Whether the message needs no exemption: it answers who wrote first."""
    account = message.envelope.account
    may = account is not None and policy.foreign(account.entity) == "reply-only"
    return may and plain(recipient.address) in facts.answered


def _refused(message: Message, recipient: Address, facts: Facts, policy: Policy) -> Finding:
    """Why no exemption covers it: the dimension that one of them lacks."""
    found = list(policy.exempting(message.envelope.sender, recipient, facts.now, facts.spent))
    told: dict[str, object] = {"exemptions": [one.id for one in found]}
    fitting = [one for one in found if one.fits(message.size)]
    if not found:
        used = policy.exemption(message.envelope.sender, recipient, facts.now, None) is not None
        reason = "exemption-used" if used else "exemption-ended"
    elif not fitting:
        reason = "exemption-too-small"
        told |= {"size": message.size, "largest": max(one.max_size or 0 for one in found)}
    else:
        reason = "exemption-level"
        covered = max(policy.scheme.rank(one.classification) for one in fitting)
        told |= {"mark": facts.mark, "level": policy.scheme.name(facts.level), "covers": policy.scheme.name(covered)}
    return Finding(NAME, REFUSED, VERSION, Disposition.REJECT, reason, (recipient.raw,), told)


def _used(exemption: Exemption, recipient: Recipient) -> Finding:
    told: dict[str, object] = {
        "exemption": exemption.id,
        "ends": exemption.ends.isoformat(),
        "document": exemption.document,
    }
    if exemption.uses is not None:
        told["once"] = True
    return Finding(NAME, RULE, VERSION, Disposition.ACCEPT, "exempted", (recipient.address.raw,), told)
