"""Here a mail's verdict is made: the strongest finding decides for each recipient; all of them give one reply. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mail.envelope import Envelope
from mail.tell.replies import data_reply
from mail.verdict import Disposition, Finding, Judgement, Verdict


def judge(findings: Iterable[Finding], envelope: Envelope, *, help_url: str = "", reference: str = "") -> Judgement:
    """Invariant 5. One recipient deferred: 451, nothing is stored. All rejected: 5xx. Otherwise 250.

    When only some are rejected, these stay REJECT on submission (the account gets a notice), become HOLD where there is
    no account, never a DSN (no backscatter), and are REJECT for all where a body's server hands in. Findings are those
    of the message checks and, for a recipient that was taken at RCPT, those of its envelope checks.
    """
    found = tuple(findings)
    if envelope.account is not None and envelope.account.kind == "server":
        found = tuple(_for_all(f) for f in found)
    verdicts = tuple(
        _verdict(r.address.raw, [f for f in found if f.concerns(r.address.raw)]) for r in envelope.recipients
    )
    reply = data_reply(verdicts, help_url=help_url, reference=reference)
    if reply.code == 250 and envelope.account is None:
        verdicts = tuple(_held_instead(v) for v in verdicts)
    return Judgement(verdicts, reply, findings=found)


def _verdict(recipient: bytes, findings: list[Finding]) -> Verdict:
    strongest = max((f.disposition for f in findings), default=Disposition.ACCEPT)
    return Verdict(recipient, strongest, tuple(findings))


def _for_all(finding: Finding) -> Finding:
    """A server hears no more than the reply to the whole message: what is refused for one of its recipients at DATA is
    refused for all, and says for whom."""
    if finding.disposition is not Disposition.REJECT or finding.recipients is None:
        return finding
    concerned = [raw.decode("utf-8", "replace") for raw in finding.recipients]
    return replace(finding, recipients=None, facts={**finding.facts, "for": concerned})


def _held_instead(verdict: Verdict) -> Verdict:
    return replace(verdict, disposition=Disposition.HOLD) if verdict.disposition is Disposition.REJECT else verdict
