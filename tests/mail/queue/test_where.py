"""Where a message is, in words: each state in both languages, nothing from outside that could mislead a reader."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from mail.shelf.stored import State
from mail.tell.where import told

LAST = {"when": "2026-11-24T10:01:00.000000Z", "host": "mx.int", "reply": "450 4.2.1 later", "delivered": False}


def path(state: str, **more: Any) -> dict[str, Any]:
    recipient = {"address": "salim@interior.saba.example", "state": state, "tries": 1, "held_by": [], "next": None}
    return {
        "id": "0-2N4K55D3SZ", "received": "2026-11-24T10:00:00.000000Z", "sender": "amal@finance.saba.example",
        "recipients": [{**recipient, "attempts": [LAST], "next": "2026-11-24T10:05:00.000000Z", **more}],
    }  # fmt: skip


@pytest.mark.parametrize("language", ["ar", "en"])
@pytest.mark.parametrize("state", get_args(State))
def test_every_state_is_told_in_words_of_its_own(state: str, language: Any) -> None:
    lines = told(path(state), language)
    assert len(lines) == 2
    others = [told(path(other), language)[1] for other in get_args(State) if other != state]
    assert lines[1] not in others
    assert "{" not in "".join(lines)


def test_what_waits_says_what_the_server_said_and_when_it_is_tried_again() -> None:
    (_, line) = told(path("queued"), "en")
    assert "450 4.2.1 later" in line
    assert "10:05" in line
    assert told(path("queued", tries=0, attempts=[]), "en")[1].endswith("being sent now.")


def test_who_held_it_decides_whom_to_ask() -> None:
    assert "officer" in told(path("held", held_by=["HY-0001"]), "en")[1]
    assert "postmaster" in told(path("held"), "en")[1]


def test_what_comes_from_outside_is_isolated_and_shown() -> None:
    evil = {**LAST, "reply": "250 \u202eok\x1b[31m", "host": "mx\u2066"}
    text = "\n".join(told(path("delivered", attempts=[evil]), "ar"))
    assert not {"\u202e", "\x1b", "\u2066"} & set(text)
    assert text.count("\u2068") == text.count("\u2069") > 0


def test_a_thousand_recipients_are_told_of_shortly() -> None:
    many = path("delivered")
    many["recipients"] *= 1000
    assert len(told(many, "en")) == 52
    assert "950" in told(many, "en")[-1]


def test_a_refusal_says_why_and_what_to_do() -> None:
    event = {
        "@timestamp": "2026-11-24T10:00:00.000000Z", "event": {"action": "refused", "reason": "foreign-recipient"},
        "email": {"to": {"address": ["x@partner.example"]}}, "hudhud": {"mail": {"reply": "550 5.7.1 no"}},
    }  # fmt: skip
    refused = {"id": "0-2N4K55D3SZ", "state": "refused", "received": "2026-11-24T10:00:00.000000Z", "events": [event]}
    assert "exemption" in told(refused, "en")[1]
    event["event"] = {"action": "deferred", "reason": "something-new"}
    assert "tries again" in told(refused, "en")[1]
    assert "550 5.7.1 no" in told(refused, "en")[1]
