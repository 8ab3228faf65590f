"""H-NAT-03: where a body may only answer abroad, the message must answer one that came from that address. Pure."""

from __future__ import annotations

from mail.facts import Facts, plain
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "answer", "H-NAT-03", "1"


def check(message: Message, facts: Facts, policy: Policy) -> Finding | None:
    """Only for recipients taken because they wrote first; In-Reply-To or References must name a message of theirs."""
    first = {raw for f in facts.rcpt if f.reason == "wrote-first" for raw in f.recipients or ()}
    if not first:
        return None
    other = tuple(
        r.address.raw
        for r in message.envelope.recipients
        if r.address.raw in first and plain(r.address) not in facts.answered
    )
    if not other:
        return None
    told = {"answers": len(message.answers_to())}
    return Finding(NAME, RULE, VERSION, Disposition.REJECT, "not-an-answer", other, told)
