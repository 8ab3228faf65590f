"""H-TELL-01, H-TELL-02: the text names foreign addresses: its own words ask to be written to there, or it quotes. Pure.

Rule D: a tag or an event, never a refusal: who quotes a citizen or reports a phish must be able to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mail.content.addresses import domain_of
from mail.content.mentions import ASKING, Mention
from mail.facts import Facts, plain
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, VERSION = "mentions", "1"
ASKS, QUOTES = "H-TELL-01", "H-TELL-02"
MAX_SHOWN: Final = 20


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """On submission. Who is a recipient is no news, nor is a domain of which only the DNS could say where it stands."""
    if message.envelope.account is None or not facts.mentions:
        return ()
    known = {plain(r.address) for r in message.envelope.recipients}
    abroad: dict[str, bool] = {}
    foreign = [
        m for m in facts.mentions if m.address not in known and _is_foreign(domain_of(m.address), abroad, policy)
    ]
    asking = [m for m in foreign if m.place in ASKING]
    quoted = [m for m in foreign if m.place not in ASKING]
    found = []
    if asking:
        found.append(Finding(NAME, ASKS, VERSION, Disposition.TAG, "asks-abroad", facts=_told(asking)))
    if quoted:
        found.append(Finding(NAME, QUOTES, VERSION, Disposition.ACCEPT, "quotes-abroad", facts=_told(quoted)))
    return tuple(found)


def _is_foreign(domain: str, known: dict[str, bool], policy: Policy) -> bool:
    if domain not in known:
        known[domain] = policy.registry.is_national_domain(domain) is False
    return known[domain]


def _told(mentions: Iterable[Mention]) -> dict[str, object]:
    shown = list(mentions)
    return {
        "addresses": list(dict.fromkeys(m.address for m in shown))[:MAX_SHOWN],
        "where": sorted({m.place for m in shown}),
    }
