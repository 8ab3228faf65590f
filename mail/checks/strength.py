"""How far a finding of the national policy goes: each rule's strength in policy.toml, and a body's whole mode. Pure.

A check says what its rule means in full; here it becomes what the sender's body asks for: refuse, hold, tag, or shadow
(told, and not carried out). What would have been stands in the facts, so that a trial shows what it would do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mail.envelope import Envelope
from mail.policy import Policy, Rules
from mail.verdict import Disposition, Finding

FIELDS: Final[Mapping[str, str]] = {
    "national": "unsolicited",
    "answer": "unsolicited",
    "exemption": "unsolicited",
    "leak": "leak",
    "unlisted": "unlisted",
    "forwarding": "forwarding",
    "onward": "onward",
    "house": "foreign_house",
    "mentions": "mentions",
    "system": "unsolicited",
}
"""The key of policy.toml that says how far each check of the national policy goes."""

PLAIN: Final = frozenset({"no-such-domain", "dns-failed"})
"""Reasons that are facts of the network, no policy: only the whole mode softens them."""

_MOST: Final[Mapping[str, Disposition]] = {
    "shadow": Disposition.ACCEPT,
    "tag": Disposition.TAG,
    "hold": Disposition.HOLD,
    "refuse": Disposition.REJECT,
    "reject": Disposition.REJECT,
}


def applied(finding: Finding, envelope: Envelope, policy: Policy) -> Finding:
    """The finding as far as the policy of the sender's body carries it; whatever is no national policy stays as is."""
    if finding.disposition is Disposition.ACCEPT or envelope.account is None:
        return finding
    key = FIELDS.get(finding.check)
    if key is None:
        return finding
    rules = policy.rules(envelope.account.entity)
    if finding.check == "leak" and finding.reason == "ambiguous-address":  # never further than the rule it serves
        key = min("leak", "ambiguous_address", key=lambda one: _MOST[getattr(rules, one)])
    return _softened(finding, rules, key)


def _softened(finding: Finding, rules: Rules, key: str) -> Finding:
    if rules.mode == "shadow":
        return finding if finding.disposition is Disposition.DEFER else _told(finding, Disposition.ACCEPT, "shadow")
    force: str = getattr(rules, key)
    most = _MOST[force]
    if finding.disposition is Disposition.DEFER:  # not found out: where the rule would not stop it, it need not wait
        careless = key != "unsolicited" and most < Disposition.HOLD
        return _told(finding, Disposition.ACCEPT, force) if careless else finding
    if finding.disposition <= most or finding.reason in PLAIN:
        return finding
    return _told(finding, most, force)


def _told(finding: Finding, disposition: Disposition, mode: str) -> Finding:
    told = {**finding.facts, "would": finding.disposition.word, "mode": mode}
    return replace(finding, disposition=disposition, facts=told)
