"""Invariant 2: what fails by our fault defers, never passes, never says 5xx; the third time the message is held."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from hudhud.clock import VirtualClock
from hudhud.settings import Settings
from mail import checks
from mail.accounts import Account
from mail.dns import Answer, Kind, Resolver
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.judging import Judging
from mail.live import FixedRules
from mail.message import Message
from mail.threads import NoThreads
from mail.verdict import Disposition

AMAL = Account("amal@finance.saba.example", "FIN")


class _Broken(Resolver):
    async def ask(self, name: str, kind: Kind) -> Answer:
        raise RuntimeError("a fault of ours")


def _judging(rules: FixedRules, resolver: Resolver) -> Judging:
    return Judging(rules, resolver, NoThreads(), VirtualClock(), Settings())


def _envelope(rcpt: str) -> Envelope:
    recipients = (Recipient(parse_path(rcpt.encode(), smtputf8=False)),)
    sender = parse_path(b"amal@finance.saba.example", smtputf8=False)
    return Envelope(
        sender, recipients, Client("192.0.2.50", 1, "x", None, "submission"), AMAL, datetime.now().astimezone()
    )


async def test_a_fault_at_rcpt_defers(rules: FixedRules) -> None:
    envelope = _envelope("x@town.saba.example")
    verdict = await _judging(rules, _Broken()).at_rcpt(envelope, envelope.recipients[0])
    assert verdict.disposition is Disposition.DEFER
    assert verdict.reply is not None
    assert verdict.reply.code == 451
    assert "RuntimeError" not in verdict.reply.text


async def test_the_third_fault_at_data_holds_the_message_as_unjudgeable(rules: FixedRules) -> None:
    judging = _judging(rules, _Broken())
    data = b"From: amal@finance.saba.example\r\nReply-To: x@town.saba.example\r\n\r\nhello\r\n"
    message = Message.read(_envelope("salim@interior.saba.example"), "0-X", data)
    seen = [await judging.at_data(message, ()) for _ in range(3)]
    assert [one.data_reply.code for one in seen] == [451, 451, 250]
    assert seen[2].verdicts[0].disposition is Disposition.HOLD
    assert [f.reason for f in seen[2].findings] == ["unjudgeable"]
    other = replace(message, sha256="another")
    assert (await judging.at_data(other, ())).data_reply.code == 451


def test_a_check_that_raises_defers_and_the_others_still_speak(
    rules: FixedRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("x")

    from mail.facts import Facts

    table = (broken, *checks.ENVELOPE_CHECKS)
    monkeypatch.setattr(checks, "ENVELOPE_CHECKS", table)
    envelope = replace(_envelope("noor@freemail.example"), account=None)
    found = checks.run_envelope(envelope, Facts(datetime.now().astimezone()), rules.policy)
    assert found[0].rule == "H-FAULT"
    assert found[0].disposition is Disposition.DEFER
    assert len(found) > 1
