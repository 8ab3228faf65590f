"""The checks and their order, as two tables; a new check is a file here and a line. Pure: each returns what it found.

Envelope checks run at RCPT, for the recipient that was just named; message checks run at DATA, for all that were taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

from hudhud import log
from mail.checks import (
    ambiguous,
    answer,
    author,
    content,
    dmarc,
    exemption,
    forwarding,
    house,
    identity,
    impersonation,
    inbound,
    leak,
    mentions,
    mime,
    national,
    nexthop,
    onward,
    recipient,
    routed,
    size,
    system,
    unlisted,
)
from mail.checks.strength import FIELDS, applied
from mail.envelope import Envelope
from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

Found = Finding | tuple[Finding, ...] | None
EnvelopeCheck = Callable[[Envelope, Facts, Policy], Found]
MessageCheck = Callable[[Message, Facts, Policy], Found]

ENVELOPE_CHECKS: Final[tuple[EnvelopeCheck, ...]] = (
    identity.check,
    routed.check,
    recipient.check,
    exemption.check,
    national.check,
    inbound.check,
    nexthop.check,
)
MESSAGE_CHECKS: Final[tuple[MessageCheck, ...]] = (
    size.check,
    nexthop.check_message,
    author.check,
    ambiguous.check,
    impersonation.check,
    dmarc.check,
    leak.check,
    exemption.check_message,
    system.check,
    answer.check,
    forwarding.check,
    onward.check,
    house.check,
    unlisted.check,
    mentions.check,
    content.check,
    mime.check,
)

Check = TypeVar("Check", EnvelopeCheck, MessageCheck)

FAULT: Final = "H-FAULT"
NATIONAL_POLICY: Final = frozenset(FIELDS)  # what a body may try in shadow before it bites
_log = log.get(__name__)


def run_envelope(envelope: Envelope, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """What the envelope checks find, in the table's order. A check that fails by our fault defers (invariant 2)."""
    found = _run(ENVELOPE_CHECKS, lambda check: check(envelope, facts, policy))
    return tuple(applied(finding, envelope, policy) for finding in found)


def run(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """What the message checks find, in the table's order. A check that fails by our fault defers (invariant 2)."""
    found = _run(MESSAGE_CHECKS, lambda check: check(message, facts, policy))
    return tuple(suspended(applied(finding, message.envelope, policy), facts.now, policy) for finding in found)


def fault(check: str, error: BaseException) -> Finding:
    """The finding for a check, or a step before the checks, that failed by our fault."""
    return Finding(check, FAULT, "1", Disposition.DEFER, "our-fault", facts={"error": type(error).__name__})


def suspended(finding: Finding, now: datetime, policy: Policy) -> Finding:
    """The finding, or where two people suspended its check a tag that says what it would have meant."""
    if finding.disposition <= Disposition.TAG:
        return finding
    suspension = policy.suspended(finding.check, now)
    if suspension is None:
        return finding
    told = {**finding.facts, "would": finding.disposition.word, "suspended": suspension.id}
    return replace(finding, disposition=Disposition.TAG, facts=told)


def _run(checks: tuple[Check, ...], call: Callable[[Check], Found]) -> Iterator[Finding]:
    for check in checks:
        try:
            found = call(check)
        except Exception as error:
            name = check.__module__.rpartition(".")[2]
            _log.exception("a check failed", check=name)
            yield fault(name, error)
            continue
        if isinstance(found, Finding):
            yield found
        elif found is not None:
            yield from found
