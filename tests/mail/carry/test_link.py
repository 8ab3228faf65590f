"""The international link is cut: foreign mail waits with its clock stopped, national mail does not notice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from hudhud.clock import VirtualClock
from hudhud.settings import Delivery as Limits
from mail.carry.link import Link

FIN, INT = ("192.0.2.33", 25), ("192.0.2.65", 25)
DAY = 86_400.0


async def test_it_counts_as_cut_when_several_are_silent_and_nobody_answers_and_back_at_the_first_answer(
    tmp_path: Path,
) -> None:
    clock = VirtualClock()
    one, two = Link(tmp_path, Limits(), clock), Link(tmp_path, Limits(), clock)
    start = clock.now()
    for minute in range(12):
        for n in range(4):
            one.heard(f"mx{n}.example", good=False)
        assert one.look() is None, minute
        await clock.advance(60)
    two.heard("mx9.example", good=False)  # the fifth, seen by another worker
    assert two.look() == "link-cut"
    await clock.advance(10)
    assert one.look() is None
    assert one.cut_since == two.cut_since == start
    await clock.advance(3600)
    one.heard("mx9.example", good=True)
    assert one.look() == "link-back"
    await clock.advance(10)
    assert two.look() is None
    assert two.cut_since is None
    again = Link(tmp_path, Limits(), clock)  # after a restart
    assert again.paused(start, clock.now()) == timedelta(seconds=12 * 60 + 10 + 3600)
    assert again.paused(clock.now(), clock.now() + timedelta(days=1)) == timedelta()


async def test_one_answer_is_enough_to_know_that_it_is_up(tmp_path: Path) -> None:
    clock = VirtualClock()
    link = Link(tmp_path, Limits(), clock)
    for _ in range(60):
        for n in range(50):
            link.heard(f"dead{n}.example", good=False)
        link.heard("alive.example", good=True)
        assert link.look() is None
        await clock.advance(60)
    assert link.cut_since is None


async def test_a_setting_says_what_people_know(tmp_path: Path) -> None:
    clock = VirtualClock()
    assert Link(tmp_path, Limits(link="cut"), clock).look() == "link-cut"
    up = Link(tmp_path, Limits(link="up"), clock)
    assert up.cut_since is not None
    assert up.look() == "link-back"


async def test_foreign_mail_outlives_a_cut_and_its_sender_is_told_while_national_mail_goes(
    virtual_house, sinks
) -> None:
    house = virtual_house
    ours, theirs, inland = await sinks(), await sinks(), await sinks()
    house.dialled |= {FIN: ours.port, INT: inland.port}
    for n in range(6):
        house.zone[f"abroad{n}.example"] = {"MX": [f"10 mx{n}.example"]}
        house.zone[f"mx{n}.example"] = {"A": [f"203.0.113.{n + 1}"]}
    slow = msgspec.structs.replace(house.settings.delivery, first_retry_s=600.0)
    house.settings = msgspec.structs.replace(house.settings, delivery=slow)
    await house.close()
    house.open().start()
    ids = [await house.put(f"a@abroad{n}.example") for n in range(6)]
    await _pass(house, 6 * 3600, 300)
    assert house.dispatch.status()["link"]["state"] == "cut"
    await house.until(await house.put("b@interior.saba.example"), "delivered")
    delayed = [one.content for one in ours.messages]
    assert len(delayed) == 6
    assert all(b"Action: delayed" in one and b"Will-Retry-Until" not in one for one in delayed)
    await _pass(house, 8 * DAY, 3 * 3600)
    assert {state for one in ids for state in house.states(one)} == {"queued"}
    assert len(ours.messages) == 6
    for n in range(6):
        house.dialled[f"203.0.113.{n + 1}", 25] = theirs.port
    await _pass(house, 2 * 3600, 120)
    assert {state for one in ids for state in house.states(one)} == {"delivered"}
    assert house.dispatch.status()["link"]["state"] == "up"
    actions = [event["event"]["action"] for event in house.events()]
    assert (actions.count("link-cut"), actions.count("link-back")) == (1, 1)


async def _pass(house: Any, seconds: float, step: float) -> None:
    for _ in range(int(seconds / step)):
        await house.clock.advance(step)
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
