"""Rule D: addresses that the text names: a tag or an event, never a refusal."""

from __future__ import annotations

from typing import Any

import pytest

FROM = "From: Amal <amal@finance.saba.example>"
NOOR = "noor@freemail.example"


def _mail(*headers: str, body: str = "hello") -> bytes:
    return "\r\n".join([FROM, *headers, "", body, ""]).encode()


HTML = "Content-Type: text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("headers", "body", "where"),
    [
        ((), f"Please answer to {NOOR}, not here.", "text"),
        ((), f"Write to <{NOOR}>", "text"),
        ((), f"راسلونا على {NOOR}، وشكرًا", "text"),
        ((), f"Regards\r\n-- \r\nAmal, {NOOR.upper()}", "signature"),
        ((HTML,), f'<a href="mailto:{NOOR}">write</a>', "link"),
        ((HTML,), f'<a href="MAILTO:{NOOR.replace("@", "%40")}?subject=x">write</a>', "link"),
        ((HTML,), f"<p>{NOOR.replace('@', '&#64;')}</p>", "text"),
        (("Content-Transfer-Encoding: base64",), "YW5zd2VyIHRvIG5vb3JAZnJlZW1haWwuZXhhbXBsZQ==", "text"),
        ((f"List-Unsubscribe: <mailto:{NOOR}>",), "hello", "list"),
        (
            ("Content-Type: text/calendar; method=REQUEST",),
            f"BEGIN:VCALENDAR\r\nORGANIZER;CN=Noor:mai\r\n lto:{NOOR}\r\nEND:VCALENDAR",
            "calendar",
        ),
    ],
)
async def test_who_asks_to_be_written_to_abroad_is_tagged(
    ask: Any, headers: tuple[str, ...], body: str, where: str
) -> None:
    asked = await ask(_mail(*headers, body=body))
    [finding] = asked.data.findings
    assert (finding.rule, finding.disposition.word) == ("H-TELL-01", "tag")
    assert finding.facts == {"addresses": [NOOR], "where": [where]}


NESTED = (
    f"--b\r\nContent-Type: text/plain\r\n\r\nIs this a phish?\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    f"From: {NOOR}\r\nReply-To: x@freemail.example\r\nSubject: prize\r\n\r\nWrite to {NOOR}\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((), f"As the citizen says:\r\n> my address is {NOOR}"),
        ((), f"See below.\r\n\r\nOn Monday Noor wrote:\r\nmy address is {NOOR}"),
        ((), f"See below.\r\n\r\nFrom: Noor <{NOOR}>\r\nSent: Monday\r\n\r\nhello"),
        ((HTML,), f"<p>See</p><blockquote>{NOOR}</blockquote>"),
        (("MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b"), NESTED),
    ],
)
async def test_quoting_a_citizen_or_reporting_a_phish_is_noted_and_works(
    ask: Any, headers: tuple[str, ...], body: str
) -> None:
    asked = await ask(_mail(*headers, body=body))
    assert asked.word() == "accept"
    assert asked.rules == ["H-TELL-02"]


@pytest.mark.parametrize(
    "body",
    ["salim@interior.saba.example", "x@sabanet.example", "user@host", "@freemail.example", "a@town.saba.example"],
)
async def test_national_and_broken_addresses_are_no_news(ask: Any, body: str) -> None:
    assert (await ask(_mail(body=f"write to {body} now"))).rules == []


async def test_a_recipients_own_address_is_no_news_and_what_citizens_write_is_theirs(ask: Any) -> None:
    asked = await ask(_mail(body=f"your address {NOOR}"), rcpt=[NOOR], changed={"foreign": "allow"})
    assert "H-TELL-01" not in asked.rules
    inbound = await ask(_mail(body=f"answer to {NOOR}"), NOOR, ["amal@finance.saba.example"], account=None)
    assert not any(rule.startswith("H-TELL") for rule in inbound.rules)


async def test_it_may_be_only_an_event_and_it_is_never_more_than_a_tag(ask: Any) -> None:
    asked = await ask(_mail(body=NOOR), changed={"mentions": "shadow"})
    assert (asked.word(), asked.rules) == ("accept", ["H-TELL-01"])


async def test_a_text_of_nothing_but_addresses_costs_a_bounded_look(ask: Any) -> None:
    body = " ".join(f"a{n}@x{n}.example" for n in range(20_000))
    [finding] = (await ask(_mail(body=body))).data.findings
    assert len(finding.facts["addresses"]) == 20
