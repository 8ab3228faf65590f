"""Who already has it: told from alerts, from events with the same lure, and from what became of each message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from console.house import House
from console.reach import reach, reached

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def fact(recipient: str, queue_id: str = "0-1", **more: object) -> dict[str, object]:
    named = {name.replace("__", "."): value for name, value in more.items()}
    return {"email.to.address": [recipient], "hudhud.mail.queue_id": queue_id, **named}


def states(*told: tuple[int, dict[str, object]]) -> list[tuple[str, str]]:
    found = reached([(NOW + timedelta(minutes=at), facts) for at, facts in told], lambda address: "FIN")
    return [(one.recipient, one.disposition) for one in found]


def test_the_last_word_on_a_message_counts_whatever_order_it_is_told_in() -> None:
    held = (0, fact("a@x", hudhud__mail__disposition="hold"))
    released = (5, fact("a@x", event__action="released"))
    delivered = (6, fact("a@x", event__action="delivered"))
    assert states(held) == [("a@x", "hold")]
    assert states(released, held) == [("a@x", "released")]
    assert states(delivered, held, released) == [("a@x", "delivered")]


def test_at_the_same_moment_the_later_step_counts() -> None:
    assert states((0, fact("a@x", event__action="delivered")), (0, fact("a@x", event__action="accepted"))) == [
        ("a@x", "delivered")
    ]


def test_whoever_has_it_comes_first_and_each_once() -> None:
    told = (
        (0, fact("held@x", "0-1", event__action="held")),
        (1, fact("has@x", "0-2", event__action="held")),
        (2, fact("has@x", "0-3", event__action="delivered")),
        (3, fact("way@x", "0-4", event__action="accepted")),
        (4, fact("gone@x", "0-5", event__action="deleted")),
    )
    assert states(*told) == [("has@x", "delivered"), ("way@x", "accepted"), ("held@x", "held"), ("gone@x", "deleted")]


def test_words_that_are_none_of_ours_change_nothing() -> None:
    assert states((0, fact("a@x", event__action="held")), (1, fact("a@x", event__action="notice"))) == [("a@x", "held")]


async def test_a_delivery_that_no_rule_told_of_is_found_by_the_lure(house: House, campaign: Any, pipeline: Any) -> None:
    relayed = {
        "event.dataset": "hudhud.mail",
        "organization.id": "TEL",
        "email.from.address": ["noor@freemail.example"],
    }
    early = relayed | fact(
        "nabil@telecom.saba.example", "0-EARLY", hudhud__mail__lure=["abc"], event__action="accepted"
    )
    later = relayed | fact("nabil@telecom.saba.example", "0-EARLY", event__action="delivered")
    other = relayed | fact("dima@telecom.saba.example", "0-OTHER", hudhud__mail__lure=["xyz"], event__action="accepted")
    released = (
        relayed
        | {"organization.id": "FIN"}
        | fact("person1@fin.saba.example", "0-7H3K9QX2M1", event__action="released")
    )
    await pipeline.events(early, later, other, released)
    found = await reach(house.store, campaign, None, house.registry.value)
    assert [(one.recipient, one.disposition) for one in found[:2]] == [
        ("nabil@telecom.saba.example", "delivered"),
        ("person1@fin.saba.example", "released"),
    ]
    assert found[0].entity == "TEL"
    assert len(found) == 6
    mine = await reach(house.store, campaign, "FIN", house.registry.value)
    assert [one.recipient for one in mine] == ["person1@fin.saba.example"]


async def test_a_key_with_quotes_cannot_widen_the_search(house: House, campaign: Any, pipeline: Any) -> None:
    await pipeline.events(
        {"event.dataset": "hudhud.mail", "organization.id": "TEL"}
        | fact("nabil@telecom.saba.example", "0-X", event__action="accepted")
    )
    wide = replace(campaign, keys=('lure:" OR event.dataset:hudhud.mail OR hudhud.mail.lure:"',))
    assert len(await reach(house.store, wide, None, house.registry.value)) == 5
