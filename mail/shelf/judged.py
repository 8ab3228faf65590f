"""A judgement as the spool keeps it, for `explain` and for the rules' budget. Pure."""

from __future__ import annotations

from hudhud import codec
from mail.shelf.stored import plain, shown_address
from mail.verdict import Disposition, Finding, Judgement, Verdict

MAX_FACTS_BYTES = 16 * 1024  # of one finding; what is larger is left out, and says so


def held_by(verdict: Verdict) -> tuple[str, ...]:
    """The rules that held the message for this recipient, each once, in order."""
    if verdict.disposition is not Disposition.HOLD:
        return ()
    return tuple(dict.fromkeys(f.rule for f in verdict.findings if f.disposition >= Disposition.HOLD))


def summary(judgement: Judgement) -> bytes:
    """JSON: the findings with their facts, who got which disposition by which rules, and on what it stood."""
    return codec.encode(
        {
            "findings": [_finding(one) for one in judgement.findings],
            "verdicts": [
                {
                    "recipient": shown_address(one.recipient),
                    "disposition": one.disposition.word,
                    "rules": [f.rule for f in one.findings],
                }
                for one in judgement.verdicts
            ],
            "took_ms": judgement.took_ms,
            "ruleset": judgement.ruleset,
            "policy": judgement.policy,
        }
    )


def merged(before: bytes, judgement: Judgement) -> bytes:
    """The summary after some recipients were judged again: of the others what was said before still counts."""
    fresh, old = codec.decode(summary(judgement)), codec.decode(before)
    again = {one["recipient"] for one in fresh["verdicts"]}
    kept = [one for one in old.get("verdicts", []) if one["recipient"] not in again]
    said = [
        one
        for one in old.get("findings", [])
        if one["recipients"] is not None and not again.issuperset(one["recipients"])
    ]
    return codec.encode(fresh | {"verdicts": kept + fresh["verdicts"], "findings": said + fresh["findings"]})


def _finding(finding: Finding) -> dict[str, object]:
    facts: object = plain(finding.facts) if finding.facts else {}
    if facts and len(codec.encode(facts)) > MAX_FACTS_BYTES:
        facts = {"left_out": f"more than {MAX_FACTS_BYTES} octets"}
    return {
        "check": finding.check,
        "rule": finding.rule,
        "version": finding.version,
        "disposition": finding.disposition.word,
        "reason": finding.reason,
        "recipients": None if finding.recipients is None else [shown_address(one) for one in finding.recipients],
        "facts": facts,
    }
