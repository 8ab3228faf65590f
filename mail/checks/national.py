"""H-NAT-02: an official account may write to a foreign recipient only as its body's policy allows (rule B). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mail import systems
from mail.envelope import Envelope, Recipient
from mail.facts import Facts, plain
from mail.national import Standing
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "national", "H-NAT-02", "2"

SYSTEM = "H-SYS-01"

_REASONS: Final = {"foreign-hosts": "foreign-mail-hosts", "no-domain": "no-such-domain", "no-mail": "no-such-domain"}


def check(envelope: Envelope, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """refuse; reply-only (who wrote first may be answered: `answer` looks at DATA whether it is one); allow.

    System classes pass by design: `system` has them proven at DATA.
    """
    if envelope.account is None:
        return ()
    return tuple(_findings(envelope, envelope.account.entity, facts, policy))


def _findings(envelope: Envelope, entity: str, facts: Facts, policy: Policy) -> Iterator[Finding]:
    system = systems.possible(envelope, policy)
    for recipient in envelope.recipients:
        standing = facts.standing(recipient.address.domain)
        if standing.national is None:
            yield _finding(Disposition.DEFER, "dns-failed", recipient, standing, "")
        elif standing.national is False and system is not None:
            told: dict[str, object] = {"class": system, "domain": standing.domain}
            yield Finding(NAME, SYSTEM, "1", Disposition.ACCEPT, "system-class", (recipient.address.raw,), told)
        elif standing.national is False and not _exempted(envelope, recipient, facts, policy):
            yield _foreign(recipient, standing, entity, facts, policy)


def _foreign(recipient: Recipient, standing: Standing, entity: str, facts: Facts, policy: Policy) -> Finding:
    mode = policy.foreign(entity)
    if mode == "allow":
        return _finding(Disposition.ACCEPT, "foreign-allowed", recipient, standing, mode)
    if mode == "reply-only" and plain(recipient.address) in facts.began:
        return _finding(Disposition.ACCEPT, "wrote-first", recipient, standing, mode)
    reason = _REASONS.get(standing.why, "foreign-recipient")
    return _finding(Disposition.REJECT, reason, recipient, standing, mode)


def _exempted(envelope: Envelope, recipient: Recipient, facts: Facts, policy: Policy) -> bool:
    return policy.exemption(envelope.sender, recipient.address, facts.now, None, spent=facts.spent) is not None


def _finding(disposition: Disposition, reason: str, recipient: Recipient, standing: Standing, mode: str) -> Finding:
    told: dict[str, object] = {"domain": standing.domain, "standing": standing.why}
    if mode:
        told["policy"] = mode
    if standing.hosts:
        told["hosts"] = list(standing.hosts)
    return Finding(NAME, RULE, VERSION, disposition, reason, (recipient.address.raw,), told)
