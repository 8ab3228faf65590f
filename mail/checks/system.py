"""H-SYS-01: what RCPT let go abroad as mail of a system class must be of that class. Pure.

Anything else that such an envelope carries is judged as rule B has it: an answer where answers are allowed.
"""

from __future__ import annotations

from mail import systems
from mail.facts import Facts, plain
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, VERSION = "system", "1"
CLASS, ANSWER = "H-SYS-01", "H-NAT-03"


def check(message: Message, facts: Facts, policy: Policy) -> Finding | None:
    """Refused for the recipients that were taken by a class which the message does not prove."""
    account = message.envelope.account
    kinds = {raw: str(f.facts.get("class", "")) for f in facts.rcpt if f.rule == CLASS for raw in f.recipients or ()}
    if account is None or not kinds:
        return None
    mode, kind = policy.foreign(account.entity), next(iter(kinds.values()))
    if mode == "allow" or systems.proven(kind, message, facts.contents, policy):
        return None
    answers = facts.answered if mode == "reply-only" else frozenset()
    other = tuple(
        r.address.raw
        for r in message.envelope.recipients
        if r.address.raw in kinds
        and plain(r.address) not in answers
        and policy.exemption(message.envelope.sender, r.address, facts.now, message.size) is None
    )
    if not other:
        return None
    told = {"class": kind, "answers": len(message.answers_to()), "policy": mode}
    rule, reason = (ANSWER, "not-an-answer") if kind == "delivery-report" else (CLASS, "not-of-its-class")
    return Finding(NAME, rule, VERSION, Disposition.REJECT, reason, other, told)
