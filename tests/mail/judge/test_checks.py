"""The checks, asked through the whole judgement in the demo country."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from hudhud.clock import VirtualClock
from mail.accounts import Account
from mail.exempt import Exemption
from mail.message import MAX_FIELDS

FROM = "From: Amal <amal@finance.saba.example>"
NOOR = "noor@freemail.example"
CITIZEN = ("From: Noor <noor@freemail.example>", "Message-ID: <m1@freemail.example>")


def _mail(*headers: str, body: str = "hello") -> bytes:
    return "\r\n".join([*headers, "", body, ""]).encode()


# --- who sends (H-ID)


async def test_an_account_writes_to_another_body(ask: Any) -> None:
    asked = await ask(_mail(FROM))
    assert asked.word() == "accept"
    assert asked.data.data_reply.line() == "250 2.0.0 Accepted (ref 0-TEST)"
    assert asked.rules == []


@pytest.mark.parametrize("sender", ["a.haddad@finance.saba.example", "AMAL@Finance.Saba.Example"])
async def test_every_address_of_the_account_may_send(ask: Any, sender: str) -> None:
    assert (await ask(_mail(FROM), sender)).word() == "accept"


@pytest.mark.parametrize(
    "sender", ["salim@interior.saba.example", "noor@freemail.example", "amal@x.finance.saba.example"]
)
async def test_another_sender_is_refused_at_rcpt(ask: Any, sender: str) -> None:
    asked = await ask(_mail(FROM), sender)
    assert asked.rules[0] == "H-ID-01"
    assert asked.rcpt[0].reply.code == 550
    assert "(ref 0-TEST)" in asked.rcpt[0].reply.text


async def test_a_delegated_address_may_send_in_envelope_and_header(ask: Any) -> None:
    deputy = Account("amal@finance.saba.example", "FIN", frozenset(), {"diwan@finance.saba.example": "owner"})
    sender = "diwan@finance.saba.example"
    assert (await ask(_mail(f"From: <{sender}>"), sender, account=deputy)).rules == []


async def test_the_null_sender_needs_the_bodys_leave(ask: Any) -> None:
    assert (await ask(_mail(FROM), "")).rules[0] == "H-ID-01"
    assert (await ask(_mail(FROM), "", changed={"null_sender": True})).word() == "accept"


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        (["From: salim@interior.saba.example"], "H-ID-02"),
        (["From: Amal <amal@gmail.com>"], "H-ID-02"),
        ([FROM, "From: other@gmail.com"], "H-ID-02"),
        (["From: amal@finance.saba.example, x@gmail.com"], "H-ID-02"),
        (['From: "amal@finance.saba.example" <x@gmail.com>'], "H-ID-02"),
        (["From: x@gmail.com <amal@finance.saba.example>"], "H-ID-02"),
        ([FROM, FROM], "H-ID-03"),
        (["Subject: no author"], "H-ID-03"),
        (["From: amal"], "H-ID-03"),
        (["From : x@gmail.com"], "H-ID-02"),
        (["fRoM: x@gmail.com"], "H-ID-02"),
        (["From:\r\n x@gmail.com"], "H-ID-02"),
    ],
)
async def test_from_is_the_account_once_and_plain(ask: Any, headers: Sequence[str], rule: str) -> None:
    asked = await ask(_mail(*headers))
    assert rule in asked.rules
    assert asked.word() == "reject"


async def test_citizens_may_write_any_from(ask: Any) -> None:
    asked = await ask(_mail("From: a@b.example, c@d.example"), NOOR, ["amal@finance.saba.example"], account=None)
    assert asked.word() == "accept"


# --- to whom (H-NAT)


@pytest.mark.parametrize("rcpt", ["noor@freemail.example", "amal@gmail.com", "x@partner.example"])
async def test_the_mx_port_relays_for_bodies_only(ask: Any, rcpt: str) -> None:
    asked = await ask(_mail(*CITIZEN), NOOR, ["amal@finance.saba.example", rcpt], account=None)
    assert [asked.word(0), asked.word(1)] == ["accept", "reject"]
    assert asked.rcpt[1].reply.text.startswith("H-NAT-01")


@pytest.mark.parametrize("rcpt", [NOOR, "x@gmail.com", "x@unknown.example"])
async def test_unsolicited_mail_abroad_is_refused_with_reason_and_link(ask: Any, rcpt: str) -> None:
    asked = await ask(_mail(FROM), rcpt=[rcpt])
    assert (
        asked.rcpt[0]
        .reply.line()
        .startswith("550 5.7.1 H-NAT-02 Foreign recipient: official mail stays national. https://")
    )


async def test_eleven_colleagues_get_it_and_the_forbidden_address_does_not(ask: Any) -> None:
    colleagues = [f"c{n}@interior.saba.example" for n in range(11)]
    asked = await ask(_mail(FROM), rcpt=[*colleagues, NOOR])
    assert [asked.word(n) for n in range(12)] == ["accept"] * 11 + ["reject"]
    assert asked.data.data_reply.code == 250


async def test_domestic_providers_are_national(ask: Any) -> None:
    assert (await ask(_mail(FROM), rcpt=["citizen@sabanet.example"])).word() == "accept"


@pytest.mark.parametrize(
    ("zone", "word", "reason"),
    [
        ({"town.saba.example": {"MX": ["1 mx.x.example"]}, "mx.x.example": {"A": ["192.0.2.99"]}}, "accept", ""),
        ({"town.saba.example": {"MX": ["1 mx.x.example"]}, "mx.x.example": {"A": ["198.51.100.9"]}},
         "reject", "foreign-mail-hosts"),
        ({"town.saba.example": "SERVFAIL"}, "defer", "dns-failed"),
        ({"town.saba.example": {"MX": "TIMEOUT"}}, "defer", "dns-failed"),
        ({}, "reject", "no-such-domain"),
    ],
)  # fmt: skip
async def test_a_national_name_is_judged_by_its_mail_hosts(
    ask: Any, zone: dict[str, object], word: str, reason: str
) -> None:
    asked = await ask(_mail(FROM), rcpt=["mayor@town.saba.example"], zone=zone)
    assert asked.word() == word
    if reason:
        assert asked.rcpt[0].decisive.reason == reason
    if word == "defer":
        assert asked.rcpt[0].reply.code == 451


@pytest.mark.parametrize(
    ("headers", "word", "rule"),
    [
        (["In-Reply-To: <m1@freemail.example>"], "accept", "H-NAT-02"),
        (["References: <other@x.example>\r\n <m1@freemail.example>"], "accept", "H-NAT-02"),
        (["In-Reply-To: <never@freemail.example>"], "reject", "H-NAT-03"),
        ([], "reject", "H-NAT-03"),
    ],
)
async def test_who_wrote_first_is_answered_in_that_thread(
    ask: Any, clock: VirtualClock, headers: Sequence[str], word: str, rule: str
) -> None:
    begun = [("amal@finance.saba.example", NOOR, "m1@freemail.example", clock.now() - timedelta(days=29))]
    asked = await ask(_mail(FROM, *headers), rcpt=[NOOR], threads=begun)
    assert asked.word() == word
    assert rule in asked.rules


async def test_on_the_31st_day_the_answer_is_refused(ask: Any, clock: VirtualClock) -> None:
    begun = [("amal@finance.saba.example", NOOR, "m1@freemail.example", clock.now() - timedelta(days=30, seconds=1))]
    asked = await ask(_mail(FROM, "In-Reply-To: <m1@freemail.example>"), rcpt=[NOOR], threads=begun)
    assert asked.rules[0] == "H-NAT-02"


async def test_a_body_that_refuses_does_not_answer_either(ask: Any, clock: VirtualClock) -> None:
    begun = [("salim@interior.saba.example", NOOR, "m1@freemail.example", clock.now())]
    salim = Account("salim@interior.saba.example", "INT")
    data = _mail("From: salim@interior.saba.example", "In-Reply-To: <m1@freemail.example>")
    asked = await ask(data, "salim@interior.saba.example", [NOOR], account=salim, threads=begun)
    assert asked.rules[0] == "H-NAT-02"


async def test_a_body_may_be_allowed_to_write_abroad(ask: Any) -> None:
    assert (await ask(_mail(FROM), rcpt=[NOOR], changed={"foreign": "allow"})).word() == "accept"


async def test_mail_from_abroad_begins_a_thread_for_every_address_that_may_be_answered(ask: Any) -> None:
    headers = [
        "From: Noor <noor@freemail.example>",
        "Reply-To: office@partner.example",
        "Message-ID: <m9@freemail.example>",
    ]
    asked = await ask(_mail(*headers), "bounce@freemail.example", ["Amal@finance.saba.example"], account=None)
    assert set(asked.data.threads) == {
        ("amal@finance.saba.example", who, "m9@freemail.example")
        for who in ("bounce@freemail.example", NOOR, "office@partner.example")
    }


@pytest.mark.parametrize(
    "local",
    [
        "noor%freemail.example",
        "noor%freemail.example%localhost",
        "noor\N{FULLWIDTH PERCENT SIGN}freemail.example",
        "noor\N{SMALL PERCENT SIGN}freemail.example",
        "freemail.example!noor",
        "localhost!freemail.example!noor",
        "=?utf-8?q?noor=40freemail.example?=",
        '"noor@freemail.example"',
    ],
)
async def test_recipients_that_hide_another_address_are_refused_on_every_port(ask: Any, local: str) -> None:
    rcpt = f"{local}@interior.saba.example"
    assert "H-ADDR-02" in (await ask(_mail(FROM), rcpt=[rcpt])).rules
    assert "H-ADDR-02" in (await ask(_mail(*CITIZEN), NOOR, [rcpt], account=None)).rules


# --- exemptions (H-EXEMPT)


def _exemption(clock: VirtualClock, **changed: Any) -> Exemption:
    values: dict[str, Any] = {
        "id": "EX-1", "sender": "amal@finance.saba.example", "recipient": "partner.example",
        "starts": clock.now() - timedelta(days=1), "ends": clock.now() + timedelta(days=1), "reason": "r",
        "document": "d", "applicant": "x", "approvers": ("a", "b"),
    }  # fmt: skip
    return Exemption(**(values | changed))


async def test_a_used_exemption_is_a_finding_that_names_it(ask: Any, clock: VirtualClock) -> None:
    asked = await ask(_mail(FROM), rcpt=["x@partner.example"], exemptions=[_exemption(clock)])
    assert asked.word() == "accept"
    assert [(f.rule, f.disposition.word, f.facts["exemption"]) for f in asked.data.findings] == [
        ("H-EXEMPT", "accept", "EX-1")
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"recipient": "y@partner.example"}, {"recipient": "freemail.example"},
        {"sender": "salim@interior.saba.example"}, {"sender": "interior.saba.example"},
    ],
)  # fmt: skip
async def test_out_of_scope_is_refused(ask: Any, clock: VirtualClock, changed: dict[str, str]) -> None:
    asked = await ask(_mail(FROM), rcpt=["x@partner.example"], exemptions=[_exemption(clock, **changed)])
    assert asked.rules[0] == "H-NAT-02"


async def test_exemptions_begin_and_end_by_the_nodes_clock(ask: Any, clock: VirtualClock) -> None:
    exemption = _exemption(clock, starts=clock.now() + timedelta(hours=1), ends=clock.now() + timedelta(hours=2))
    words = []
    for _ in range(3):
        words.append((await ask(_mail(FROM), rcpt=["x@partner.example"], exemptions=[exemption])).word())
        await clock.advance(3600)
    assert words == ["reject", "accept", "reject"]


async def test_an_exemption_for_small_mail_does_not_carry_large(ask: Any, clock: VirtualClock) -> None:
    small = _exemption(clock, max_size=500)
    assert (await ask(_mail(FROM), rcpt=["x@partner.example"], exemptions=[small])).word() == "accept"
    large = await ask(_mail(FROM, body="x" * 600), rcpt=["x@partner.example"], exemptions=[small])
    assert large.word() == "reject"
    assert large.data.verdicts[0].decisive.reason == "exemption-too-small"


# --- leaks (H-LEAK)


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ("Reply-To", "H-LEAK-01"), ("Sender", "H-LEAK-02"), ("Resent-From", "H-LEAK-03"), ("Resent-To", "H-LEAK-03"),
        ("Disposition-Notification-To", "H-LEAK-04"), ("Return-Receipt-To", "H-LEAK-05"), ("Errors-To", "H-LEAK-06"),
        ("Mail-Followup-To", "H-LEAK-07"), ("rEpLy-tO", "H-LEAK-01"), ("Reply-To ", "H-LEAK-01"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "value",
    [
        "amal@gmail.com",
        "Amal <amal@gmail.com>",
        "salim@interior.saba.example, amal@gmail.com",
        "g: amal@gmail.com;",
        "\r\n amal@gmail.com",
    ],
)
async def test_no_header_draws_answers_abroad(ask: Any, header: str, rule: str, value: str) -> None:
    asked = await ask(_mail(FROM, f"{header}: {value}"))
    assert rule in asked.rules
    assert asked.word() == "reject"


@pytest.mark.parametrize("mark", ["\ufeff", "\xa0", "\x01"])
async def test_an_unseen_mark_before_the_name_hides_no_header(ask: Any, mark: str) -> None:
    assert "H-LEAK-01" in (await ask(_mail(f"{mark}Reply-To: amal@gmail.com", FROM))).rules


async def test_a_header_with_more_fields_than_are_read_is_held(ask: Any) -> None:
    asked = await ask(_mail(FROM, *["X-A: b"] * MAX_FIELDS, "Reply-To: amal@gmail.com"))
    assert "H-CONTENT-01" in asked.rules
    assert asked.word() == "hold"


@pytest.mark.parametrize("value", ["salim@interior.saba.example", "x@sabanet.example", "", "undisclosed:;"])
async def test_national_answers_are_fine(ask: Any, value: str) -> None:
    assert (await ask(_mail(FROM, f"Reply-To: {value}"))).rules == []


async def test_a_leak_is_as_strong_as_the_body_wants(ask: Any) -> None:
    assert (await ask(_mail(FROM, "Reply-To: x@gmail.com"), changed={"leak": "tag"})).word() == "tag"


async def test_an_answer_address_that_cannot_be_found_out_defers(ask: Any) -> None:
    asked = await ask(_mail(FROM, "Reply-To: x@town.saba.example"), zone={"town.saba.example": "TIMEOUT"})
    assert asked.data.data_reply.code == 451


async def test_citizens_may_be_answered_wherever_they_like(ask: Any) -> None:
    data = _mail(*CITIZEN, "Reply-To: x@gmail.com")
    assert (await ask(data, NOOR, ["amal@finance.saba.example"], account=None)).word() == "accept"


# --- from abroad, size, content


@pytest.mark.parametrize(("inbound", "word"), [("accept", "accept"), ("tag", "tag"), ("hold", "hold")])
async def test_mail_from_abroad_is_as_the_body_says(ask: Any, inbound: str, word: str) -> None:
    rcpt = ["amal@finance.saba.example"]
    assert (await ask(_mail(*CITIZEN), NOOR, rcpt, account=None, changed={"inbound": inbound})).word() == word
    home = await ask(
        _mail("From: x@sabanet.example"), "x@sabanet.example", rcpt, account=None, changed={"inbound": inbound}
    )
    assert home.word() == "accept"


async def test_size_is_that_of_the_bytes(ask: Any) -> None:
    asked = await ask(_mail(FROM, body="x" * 3000), changed={"max_size": 2000})
    line = asked.data.data_reply.line()
    assert line.startswith("552 5.3.4 H-SIZE-01 The message has 3"), line
    assert "more than the 2000 (0.0 MiB) taken. Put large files into the national file exchange" in line


async def test_on_the_mx_port_one_recipients_reject_becomes_a_hold(ask: Any) -> None:
    asked = await ask(
        _mail(*CITIZEN, body="x" * 3000), NOOR, ["amal@finance.saba.example"], account=None, changed={"max_size": 2000}
    )
    assert asked.data.data_reply.code == 552  # rejected for all


PROGRAM = """--b
Content-Type: application/octet-stream; name=a.exe
Content-Transfer-Encoding: base64

TVqQAAMAAAAEAAAA//8AALgAAAA=
--b--""".replace("\n", "\r\n")


async def test_a_program_is_held_and_the_rule_named(ask: Any) -> None:
    asked = await ask(_mail(FROM, "Content-Type: multipart/mixed; boundary=b", body=PROGRAM))
    assert asked.word() == "hold"
    assert any(rule.startswith("HY-") for rule in asked.rules)
    assert asked.data.data_reply.code == 250


# --- who writes in the name of a body from outside (H-IN-02)


@pytest.mark.parametrize(
    ("sender", "author"),
    [
        ("salim@interior.saba.example", "salim@interior.saba.example"),
        (NOOR, "Salim <salim@interior.saba.example>"),
        (NOOR, "=?utf-8?q?Salim?= <salim@interior.saba.example>, noor@freemail.example"),
        ("", "Bounce <postmaster@finance.saba.example>"),
        ("x@مالية.saba.example", "Noor <noor@freemail.example>"),
    ],
)
async def test_who_writes_in_the_name_of_a_body_from_abroad_is_held(ask: Any, sender: str, author: str) -> None:
    asked = await ask(_mail(f"From: {author}", "Message-ID: <m1@x.example>"), sender, account=None)
    assert "H-IN-02" in asked.rules
    assert asked.word() == "hold"
    assert asked.data.data_reply.code == 250


async def test_a_body_may_only_tag_such_mail(ask: Any) -> None:
    forged = _mail("From: salim@interior.saba.example", "Message-ID: <m1@x.example>")
    assert (await ask(forged, NOOR, account=None, changed={"impersonation": "tag"})).word() == "tag"
    assert (await ask(forged, NOOR, account=None, changed={"impersonation": "accept"})).rules == []


async def test_a_citizen_who_only_speaks_of_a_body_is_no_impostor(ask: Any) -> None:
    citizen = _mail('From: "Ministry of Finance" <noor@freemail.example>', "To: amal@finance.saba.example")
    assert "H-IN-02" not in (await ask(citizen, NOOR, account=None)).rules
