"""H-FWD-02, H-FWD-03: what came in to this node a short while ago goes on to a foreign mailbox. Pure.

The same Message-ID, the same text (below a copied header too), or nothing but the same files. Not where the recipient
or the sender wrote it; a text or a file may go where it answers. A file among other things only tags.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from mail.checks.author import is_list_post
from mail.checks.national import SYSTEM
from mail.content.marks import MIN_WORDS, Marks
from mail.envelope import Recipient
from mail.facts import Facts, own_addresses, plain, written_by
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, VERSION = "onward", "1"
SAME, FILES = "H-FWD-02", "H-FWD-03"
REPORTS: Final = frozenset({"delivery-report", "policy-report"})


def check(message: Message, facts: Facts, policy: Policy) -> tuple[Finding, ...]:
    """On submission, for recipients abroad. A registered list server's posts came in by their nature."""
    account = message.envelope.account
    if account is None or not facts.came or is_list_post(message):
        return ()
    mine = own_addresses(account) | set(written_by(message.envelope))
    others = {mark: who for mark, who in facts.came.items() if not mine.intersection(who)}
    reports = {
        raw for f in facts.rcpt if f.rule == SYSTEM and f.facts.get("class") in REPORTS for raw in f.recipients or ()
    }
    abroad = [
        r
        for r in message.envelope.recipients
        if facts.standing(r.address.domain).national is False and r.address.raw not in reports
    ]
    found: dict[tuple[str, Disposition], list[Recipient]] = {}
    for recipient in abroad:
        how = _how(plain(recipient.address), others, facts.marks, facts.answered)
        if how is not None:
            found.setdefault(how, []).append(recipient)
    return tuple(_finding(how, disposition, concerned) for (how, disposition), concerned in found.items())


def _how(
    recipient: str, came: Mapping[bytes, tuple[str, ...]], marks: Marks, answered: Collection[str]
) -> tuple[str, Disposition] | None:
    known = {mark for mark, who in came.items() if recipient not in who}
    if marks.message in known:
        return "message-id", Disposition.REJECT
    if recipient in answered:
        return None
    if known.intersection(marks.texts) or known.intersection(marks.forwarded):
        return "text", Disposition.REJECT
    files = known.intersection(marks.files)
    if not files:
        return None
    nothing_else = len(files) == len(marks.files) and not marks.other_files and marks.words < MIN_WORDS
    return "files", Disposition.REJECT if nothing_else else Disposition.TAG


def _finding(how: str, disposition: Disposition, recipients: list[Recipient]) -> Finding:
    rule, reason = (FILES, "files-passed-on") if how == "files" else (SAME, "passed-on-abroad")
    raw = tuple(r.address.raw for r in recipients)
    return Finding(NAME, rule, VERSION, disposition, reason, raw, {"known_by": how})
