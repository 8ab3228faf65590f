"""The detection rules that fit the message's parts, each with the disposition that its release gives it. Pure."""

from __future__ import annotations

from mail.facts import Facts
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding
from rules.yara import Hit

NAME = "content"


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """One finding a rule, with the parts it fits; `reason` is the rule's threat class."""
    by_rule: dict[str, list[str]] = {}
    hits: dict[str, Hit] = {}
    for path, hit in facts.hits:
        by_rule.setdefault(hit.rule, []).append(path)
        hits.setdefault(hit.rule, hit)
    return tuple(
        Finding(
            NAME,
            rule,
            hits[rule].version,
            Disposition.of(hits[rule].disposition),
            hits[rule].threat,
            facts={
                "parts": list(dict.fromkeys(paths)),
                "title": dict(hits[rule].title),
                "strings": list(hits[rule].strings),
            },
        )
        for rule, paths in sorted(by_rule.items())
    )
