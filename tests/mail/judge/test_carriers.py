"""Rule A: every carrier of a foreign address, and how far each rule goes by the body's policy."""

from __future__ import annotations

from typing import Any

import pytest

from mail.accounts import Account
from mail.tell.replies import REASONS

FROM = "From: Amal <amal@finance.saba.example>"
NOOR = "noor@freemail.example"
SALIM = "salim@interior.saba.example"
SERVER = Account("FIN/exchange", "FIN", kind="server")
LISTS = Account("FIN/lists", "FIN", kind="server", lists=True)


def _mail(*headers: str, body: str = "hello") -> bytes:
    return "\r\n".join([*headers, "", body, ""]).encode()


CARRIERS = [
    "Reply-To", "Mail-Reply-To", "X-Reply-To", "Sender", "Author", "Resent-From", "Resent-Sender", "Resent-To",
    "Resent-Cc", "Resent-Bcc", "Resent-Reply-To", "Disposition-Notification-To", "X-Confirm-Reading-To",
    "Return-Receipt-To", "Read-Receipt-To", "Registered-Mail-Reply-Requested-By", "Errors-To", "Return-Path",
    "Originator-Return-Address", "Mail-Followup-To", "Mail-Copies-To",
]  # fmt: skip


@pytest.mark.parametrize("name", CARRIERS)
@pytest.mark.parametrize(
    "value",
    [
        NOOR,
        f"Noor <{NOOR}>",
        f"\r\n <{NOOR}>",
        f"{SALIM}, {NOOR}",
        f"both: {SALIM}, {NOOR};",
        f"<{SALIM}> {NOOR}",
        "noor@[198.51.100.25]",
        "noor @ freemail . example",
    ],
)
async def test_a_field_that_leads_abroad_is_refused(ask: Any, name: str, value: str) -> None:
    asked = await ask(_mail(FROM, f"{name}: {value}"))
    assert asked.word() == "reject"
    assert asked.rules[0].startswith("H-LEAK-0")


@pytest.mark.parametrize("value", ["always", "nobody"])
async def test_words_of_mail_copies_to_are_no_addresses(ask: Any, value: str) -> None:
    assert (await ask(_mail(FROM, f"Mail-Copies-To: {value}"))).rules == []


async def test_of_several_fields_of_one_name_each_counts_in_any_case(ask: Any) -> None:
    asked = await ask(_mail(FROM, f"Reply-To: {SALIM}", f"rEPLY-tO : {NOOR}"))
    assert "H-LEAK-01" in asked.rules


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("<mailto:list@finance.saba.example>", "accept"),
        ("NO (announcements only)", "accept"),
        ("<https://lists.saba.example/post>", "accept"),
        (f"<mailto:{NOOR}>", "reject"),
        (f"<https://x.example/>, <mailto:{NOOR.replace('@', '%40')}?subject=hi>", "reject"),
        (f"<mailto:list@finance.saba.example?cc={NOOR}>", "reject"),
    ],
)
async def test_the_lists_address_steers_answers_as_well(ask: Any, value: str, word: str) -> None:
    assert (await ask(_mail(FROM, f"List-Post: {value}"))).word() == word


# --- how far a rule goes


@pytest.mark.parametrize(
    ("force", "word"),
    [("shadow", "accept"), ("tag", "tag"), ("hold", "hold"), ("refuse", "reject"), ("reject", "reject")],
)
async def test_each_rule_goes_as_far_as_the_body_wants(ask: Any, force: str, word: str) -> None:
    asked = await ask(_mail(FROM, f"Reply-To: {NOOR}"), changed={"leak": force})
    [finding] = asked.data.findings
    assert (finding.disposition.word, finding.rule, finding.version) == (word, "H-LEAK-01", "2")
    assert finding.facts.get("would") == (None if word == "reject" else "reject")


@pytest.mark.parametrize(
    ("force", "word"), [("shadow", "accept"), ("tag", "tag"), ("hold", "hold"), ("refuse", "reject")]
)
async def test_rule_b_has_a_strength_beside_its_mode(ask: Any, force: str, word: str) -> None:
    asked = await ask(_mail(FROM), rcpt=[NOOR], changed={"foreign": "refuse", "unsolicited": force})
    assert asked.word() == word


async def test_a_domain_that_does_not_exist_is_no_matter_of_strength(ask: Any) -> None:
    changed = {"unsolicited": "tag"}
    asked = await ask(_mail(FROM), rcpt=["mayor@town.saba.example"], changed=changed, zone={})
    assert asked.word() == "reject"


async def test_where_a_rule_only_tags_a_dns_failure_stops_nobody(ask: Any) -> None:
    data, zone = _mail(FROM, "Reply-To: mayor@town.saba.example"), {"town.saba.example": "SERVFAIL"}
    assert (await ask(data, zone=zone)).word() == "defer"
    assert (await ask(data, zone=zone, changed={"leak": "tag"})).word() == "accept"


# --- To and Cc


async def test_to_and_cc_that_the_envelope_does_not_have_are_tagged(ask: Any) -> None:
    asked = await ask(_mail(FROM, f"To: {SALIM}", f"Cc: x@health.saba.example, {NOOR}"))
    [finding] = asked.data.findings
    assert (finding.rule, finding.disposition.word) == ("H-TO-01", "tag")
    assert finding.facts["addresses"] == ["x@health.saba.example", NOOR]
    assert finding.facts["foreign"] == [NOOR]


@pytest.mark.parametrize(
    "to", [SALIM, f"Salim <{SALIM.upper()}>", f"{SALIM}, amal@finance.saba.example", "undisclosed-recipients:;"]
)
async def test_who_is_served_or_is_the_sender_is_listed_rightly(ask: Any, to: str) -> None:
    assert (await ask(_mail(FROM, f"To: {to}"))).rules == []


async def test_a_bodys_server_has_served_its_own_people_and_a_list_has_members(ask: Any) -> None:
    data = _mail(FROM, f"To: {SALIM}, colleague@finance.saba.example")
    assert (await ask(data, account=SERVER)).rules == []
    post = _mail(f"From: {SALIM}", "To: all@finance.saba.example", "List-Id: <all.finance.saba.example>")
    asked = await ask(post, "all-bounces@finance.saba.example", ["x@health.saba.example"], account=LISTS)
    assert asked.rules == []


# --- national name, foreign house


async def test_a_bodys_domain_with_mail_hosts_abroad_is_its_own_finding(ask: Any) -> None:
    zone: dict[str, object] = {
        "interior.saba.example": {"MX": ["10 mx.freemail.example"]},
        "mx.freemail.example": {"A": ["198.51.100.25"]},
    }
    asked = await ask(_mail(FROM), zone=zone)
    [finding] = asked.data.findings
    assert (finding.rule, finding.disposition.word, finding.facts["whose"]) == ("H-NAT-04", "tag", "recipient")
    assert finding.facts["hosts"] == ["mx.freemail.example 198.51.100.25"]
    assert (await ask(_mail(FROM), zone=zone, changed={"foreign_house": "refuse"})).word() == "reject"
    other = await ask(_mail(FROM), rcpt=["x@health.saba.example"], zone=zone, changed={"foreign_house": "refuse"})
    assert other.word() == "accept"


async def test_the_senders_own_house_abroad_concerns_every_recipient(ask: Any) -> None:
    zone: dict[str, object] = {
        "finance.saba.example": {"MX": ["10 mx.x.example"]},
        "mx.x.example": {"A": ["192.0.2.99", "198.51.100.9"]},
    }
    asked = await ask(_mail(FROM), zone=zone, changed={"foreign_house": "refuse"})
    assert [f.facts["whose"] for f in asked.data.findings] == ["sender"]
    assert asked.word() == "reject"


@pytest.mark.parametrize("answer", ["SERVFAIL", "TIMEOUT", {"MX": ["0 ."]}, {"MX": ["10 in.x.example"]}])
async def test_what_is_not_found_out_says_nothing_against_a_body(ask: Any, answer: object) -> None:
    zone = {"interior.saba.example": answer, "in.x.example": {"A": ["10.1.2.3"]}}
    assert (await ask(_mail(FROM), zone=zone, changed={"foreign_house": "refuse"})).word() == "accept"


def test_every_reason_of_this_policy_has_words() -> None:
    for reason in (
        "unlisted-recipient", "forwarded-abroad", "automatic-abroad", "passed-on-abroad", "files-passed-on",
        "foreign-house", "asks-abroad", "quotes-abroad", "system-class", "not-of-its-class",
    ):  # fmt: skip
        assert REASONS[reason].remedy
