"""Invariant 5: what the findings of a message mean for each recipient and for the client."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest

from mail.accounts import Account
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.judge import judge
from mail.tell.replies import REASONS, rcpt_reply, reply_to
from mail.verdict import Disposition, Finding, Verdict

A, B = b"a@finance.saba.example", b"b@finance.saba.example"
D = Disposition


def _envelope(listener: str = "submission") -> Envelope:
    recipients = tuple(Recipient(parse_path(raw, smtputf8=False)) for raw in (A, B))
    client = Client("192.0.2.50", 1, "x", None, listener)  # type: ignore[arg-type]
    sender = parse_path(b"c@finance.saba.example", smtputf8=False)
    account = None if listener == "mx" else Account("c@finance.saba.example", "FIN")
    return Envelope(sender, recipients, client, account, datetime.now(UTC))


def _finding(disposition: Disposition, recipient: bytes | None, reason: str = "foreign-recipient") -> Finding:
    return Finding("test", "H-TEST", "1", disposition, reason, None if recipient is None else (recipient,))


@pytest.mark.parametrize(("listener", "first", "second"), list(product(("submission", "submissions", "mx"), D, D)))
def test_invariant_5_holds_for_every_pair_of_dispositions(listener: str, first: D, second: D) -> None:
    judged = judge([_finding(first, A), _finding(second, B)], _envelope(listener))
    if D.DEFER in (first, second):
        assert judged.data_reply.code == 451
        assert not judged.stored
    elif first is second is D.REJECT:
        assert 500 <= judged.data_reply.code < 600
    else:
        assert judged.data_reply.code == 250
        held = {D.REJECT: D.HOLD} if listener == "mx" else {}
        assert [v.disposition for v in judged.verdicts] == [held.get(first, first), held.get(second, second)]


def test_the_strongest_finding_decides_and_the_first_of_equals() -> None:
    found = [_finding(D.TAG, None), _finding(D.HOLD, A), _finding(D.HOLD, A, "no-from")]
    verdict = judge(found, _envelope()).verdict(A)
    assert verdict.disposition is D.HOLD
    assert verdict.decisive is found[1]


def test_a_finding_without_recipients_concerns_every_one() -> None:
    judged = judge([_finding(D.HOLD, None)], _envelope())
    assert [v.disposition for v in judged.verdicts] == [D.HOLD, D.HOLD]


def test_findings_of_a_reject_on_the_mx_port_are_kept_when_it_becomes_a_hold() -> None:
    judged = judge([_finding(D.REJECT, A)], _envelope("mx"))
    assert judged.verdict(A).disposition is D.HOLD
    assert judged.verdict(A).findings[0].disposition is D.REJECT


def test_a_message_without_recipients_is_refused() -> None:
    from dataclasses import replace

    assert judge([], replace(_envelope(), recipients=())).data_reply.code == 554


@pytest.mark.parametrize("reason", sorted(REASONS))
@pytest.mark.parametrize("disposition", [D.DEFER, D.REJECT])
def test_every_reply_is_ascii_short_and_names_rule_link_and_reference(reason: str, disposition: D) -> None:
    finding = Finding("x", "H-NAT-02", "1", disposition, reason, None, {"header": "ط" * 600, "limit": 5})
    reply = reply_to(finding, help_url="https://hudhud.example/r", reference="0-7H3K9QX2M4")
    line = reply.line()
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= 510
    assert "H-NAT-02" in line
    assert line.endswith("https://hudhud.example/r/H-NAT-02 (ref 0-7H3K9QX2M4)")
    assert (400 <= reply.code < 500) == (disposition is D.DEFER)
    assert reply.enhanced[0] == str(reply.code)[0]


def test_rcpt_is_answered_250_unless_refused_or_deferred() -> None:
    assert rcpt_reply(Verdict(A, D.HOLD, (_finding(D.HOLD, A),))).code == 250
    assert rcpt_reply(Verdict(A, D.REJECT, (_finding(D.REJECT, A),))).code == 550
