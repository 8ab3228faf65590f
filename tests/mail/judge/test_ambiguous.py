"""Addresses that programs read differently: refused where official mail would follow them, a tag on what comes in."""

from __future__ import annotations

from typing import Any

import pytest

from mail.content import addresses
from tests.mail.judge.conftest import mail

FROM = "From: Amal <amal@finance.saba.example>"
NOOR = "noor@freemail.example"
DOUBTFUL = [
    "<@foreign.example:amal@finance.saba.example>",
    "amal%foreign.example@finance.saba.example",
    "foreign.example!amal@finance.saba.example",
    '"x@foreign.example"@finance.saba.example',
    "amal@finance.saba.example (x@foreign.example)",
    "amal(x@foreign.example)@finance.saba.example",
    "=?utf-8?q?x=40foreign.example?=",
    "amal\u200b@finance.saba.example",
    "amal@finance.saba.example\u200b",
    "Amal \u202eelpmaxe <amal@finance.saba.example>",
]
PLAIN = [
    "amal@finance.saba.example",
    '"Amal (x@foreign.example)" <amal@finance.saba.example>',
    "Amal (Finance) <amal@finance.saba.example>",
    "group: amal@finance.saba.example, salim@interior.saba.example;",
    "undisclosed-recipients:;",
    "\u200fأمل حداد <amal@finance.saba.example>",
    "می\u200cخواهم <amal@finance.saba.example>",
]


@pytest.mark.parametrize("text", DOUBTFUL)
async def test_a_doubtful_reply_to_is_refused_on_submission(ask: Any, text: str) -> None:
    asked = await ask(mail(FROM, f"Reply-To: {text}"))
    assert "H-ADDR-01" in asked.rules
    assert asked.word() == "reject"


@pytest.mark.parametrize("text", DOUBTFUL)
async def test_from_outside_it_is_a_tag(ask: Any, text: str) -> None:
    asked = await ask(mail("From: noor@freemail.example", f"Reply-To: {text}"), NOOR, account=None)
    assert "H-ADDR-01" in asked.rules
    assert asked.word() == "tag"


@pytest.mark.parametrize("text", PLAIN)
def test_honest_addresses_are_plain(text: str) -> None:
    assert addresses.read(text).ambiguous == ""


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"ambiguous_address": "tag"}, "tag"),
        ({"ambiguous_address": "hold"}, "hold"),
        ({"ambiguous_address": "shadow"}, "accept"),
        ({"leak": "tag"}, "tag"),
    ],
)
async def test_a_body_says_how_far_it_goes(ask: Any, changed: dict[str, object], word: str) -> None:
    doubtful = mail(FROM, "Reply-To: amal@finance.saba.example (x@foreign.example)")
    assert (await ask(doubtful, changed=changed)).word() == word


async def test_several_from_are_a_tag_from_outside(ask: Any) -> None:
    twice = mail("From: noor@freemail.example", "From: x@freemail.example")
    assert (await ask(twice, NOOR, account=None)).rules == ["H-ADDR-01"]
