"""When a person hears later: mail programs give up the whole message on one refused RCPT and never retry a 451.

So for who logged in, where the body chose it (policy.toml: `refusals`, `faults`), a forbidden recipient is answered 250
and told of by notice while the others are served, and what our own fault stops is spooled and judged again. Never on
the MX port, never for a body's server (it has a queue, and people read its logs), never for a null sender (nobody
could be told). Pure.
"""

from __future__ import annotations

from typing import Final

from mail.envelope import Envelope
from mail.policy import Policy
from mail.verdict import Disposition, Judgement, Reply, Verdict

FORBIDDEN: Final = frozenset({"foreign-recipient", "foreign-mail-hosts"})
"""Reasons of a refusal by policy. A mistyped address is none of them: it is refused while it can be put right."""

FAULTS: Final = frozenset({"dns-failed", "our-fault"})
"""Reasons of a deferral that are our own, or the DNS's: the sender can do nothing about them."""


def tells(envelope: Envelope) -> bool:
    """Whether somebody with a mailbox of ours stands behind the message."""
    account = envelope.account
    known = account is not None and account.kind != "server" and bool(account.hears)
    return known and envelope.client.listener != "mx" and bool(envelope.sender)


def by_notice(envelope: Envelope, policy: Policy, verdict: Verdict) -> bool:
    """Whether the refusal of this recipient may be told by notice, so that RCPT takes it."""
    if not tells(envelope) or envelope.account is None or verdict.disposition is not Disposition.REJECT:
        return False
    strongest = [f for f in verdict.findings if f.disposition is Disposition.REJECT]
    forbidden = bool(strongest) and all(f.reason in FORBIDDEN for f in strongest)
    return forbidden and policy.rules(envelope.account.entity).refusals == "notice"


def spools(envelope: Envelope, policy: Policy, verdict: Verdict) -> bool:
    """Whether this recipient's deferral is our own fault and may wait in the spool for another judgement."""
    if not tells(envelope) or envelope.account is None or verdict.disposition is not Disposition.DEFER:
        return False
    strongest = [f for f in verdict.findings if f.disposition is Disposition.DEFER]
    ours = bool(strongest) and all(f.reason in FAULTS for f in strongest)
    return ours and policy.rules(envelope.account.entity).faults == "spool"


def taken_all_the_same(envelope: Envelope, policy: Policy, judgement: Judgement, reference: str) -> Reply | None:
    """The 250 for a message that would be deferred by our fault alone; None where 451 is right."""
    deferred = [v for v in judgement.verdicts if v.disposition is Disposition.DEFER]
    if not deferred or not all(spools(envelope, policy, v) for v in deferred):
        return None
    text = f"Accepted; a fault here delays its examination, nothing needs to be done (ref {reference})"
    return Reply(250, "2.0.0", text)
