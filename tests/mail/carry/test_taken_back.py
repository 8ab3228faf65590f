"""Held and deleted while dispatch has it in its hands: not sent after that, never sent twice, nobody told wrongly."""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.policy import default

import pytest

from mail.carry.parting import Parting
from mail.held import Held

WHO = {"actor": "layla", "reason": "storm"}


@pytest.fixture
def hop(house, sinks):  # type: ignore[no-untyped-def]
    async def start(**settings: object):  # type: ignore[no-untyped-def]
        sink = await sinks(**settings)
        house.dialled["192.0.2.65", 25] = sink.port
        return sink

    return start


async def test_what_waits_in_memory_is_not_sent_once_it_is_held_and_goes_out_once_when_it_is_resumed(
    house, hop
) -> None:
    sink = await hop()
    queue_id = await house.put("salim@interior.saba.example")  # it lies in memory: dispatch does not run yet
    assert (await house.held.hold(queue_id, **WHO)).recipients == ("salim@interior.saba.example",)
    house.start()
    await asyncio.sleep(0.3)
    assert (sink.messages, house.states(queue_id)) == ([], ["held"])
    assert (await house.held.resume(queue_id, **WHO)).recipients == ("salim@interior.saba.example",)
    await house.until(queue_id, "delivered")
    assert len(sink.messages) == 1
    assert house.show(queue_id)["verdicts"][0]["disposition"] == "accept"


async def test_what_is_being_sent_is_waited_for_and_neither_held_nor_deleted_after_it_went(house, hop) -> None:
    sink = await hop(delay=0.5)
    house.start()
    for act in (house.held.hold, house.held.delete):
        queue_id = await house.put("salim@interior.saba.example")
        async with asyncio.timeout(5):
            while not house.spool.hands.sending:
                await asyncio.sleep(0.01)
        assert (await act(queue_id, **WHO)).recipients == ()
        assert house.states(queue_id) == ["delivered"]
    assert len(sink.messages) == 2


async def test_who_is_being_sent_to_all_the_while_is_left_alone_and_named(house, hop) -> None:
    sink = await hop(delay=1.5)
    held = Held(house.spool, house.clock, patience_s=0.1)
    house.start()
    queue_id = await house.put("salim@interior.saba.example")
    async with asyncio.timeout(5):
        while not house.spool.hands.sending:
            await asyncio.sleep(0.01)
    act = await held.delete(queue_id, **WHO)
    assert (act.recipients, act.late) == ((), ("salim@interior.saba.example",))
    await house.until(queue_id, "delivered")
    assert len(sink.messages) == 1


async def test_held_between_two_attempts_it_stays_held(house, hop) -> None:
    sink = await hop(answers={"RCPT": "450 4.2.1 later"})
    house.start()
    queue_id = await house.put("salim@interior.saba.example")
    async with asyncio.timeout(5):
        while not house.show(queue_id)["recipients"][0]["tries"]:
            await asyncio.sleep(0.01)
    await house.held.hold(queue_id, **WHO)
    sink.answers.clear()
    await house.held.retry(queue_id)
    await asyncio.sleep(0.2)
    assert house.states(queue_id) == ["held"]
    await house.held.resume(queue_id, **WHO)
    await house.until(queue_id, "delivered")
    assert len(sink.messages) == 1


async def test_a_persons_retry_does_not_wait_until_a_silent_next_hop_has_rested(house, hop) -> None:
    house.start()
    first = await house.put("salim@interior.saba.example")
    async with asyncio.timeout(10):
        while not house.dispatch.status()["not_answering"]:
            await house.held.retry(first)
            await asyncio.sleep(0.05)
    sink = await hop()
    await house.held.retry(first)
    await house.until(first, "delivered")
    assert len(sink.messages) == 1


async def test_what_a_rule_holds_is_not_resumed(house) -> None:
    queue_id = await house.put("salim@interior.saba.example", state="held")
    assert (await house.held.resume(queue_id, **WHO)).recipients == ()
    assert house.states(queue_id) == ["held"]


@pytest.mark.parametrize(
    ("listener", "notify", "told"), [("submission", None, 1), ("mx", None, 0), ("submission", "NEVER", 0)]
)
async def test_a_sender_of_ours_is_told_of_a_deletion_and_nobody_else(house, listener, notify, told) -> None:
    held = Held(house.spool, house.clock, parting=Parting(house.spool, house.settings))
    more = {"notify": notify} if notify else {}
    queue_id = await house.put("salim@interior.saba.example", listener=listener, **more)
    act = await held.delete(queue_id, **WHO, tell=True)
    assert (act.told, house.states(queue_id)) == (bool(told), ["deleted"])
    assert len(house.show(queue_id)["told"]) == told
    if told:
        report = house.spool.body(house.show(queue_id)["told"][0]["id"])
        assert b"5.7.1" in report
        assert b"storm" not in report
        assert b"hello" not in report  # headers only
        words = message_from_bytes(report, policy=default).get_body(("plain",)).get_content()
        assert "removed by people" in words
        assert "receiving system" not in words


async def test_two_who_hold_a_large_message_at_once_do_not_lose_it(house, hop) -> None:
    sink = await hop()
    queue_id = await house.put("salim@interior.saba.example", body=b"x" * 300_000 + b"\r\n")
    both = await asyncio.gather(*(house.held.hold(queue_id, **WHO) for _ in range(4)), return_exceptions=True)
    assert not [one for one in both if isinstance(one, BaseException)]
    assert house.states(queue_id) == ["held"]
    assert len(house.spool.body(queue_id)) > 300_000
    house.start()
    await house.held.resume(queue_id, **WHO)
    await house.until(queue_id, "delivered")
    assert len(sink.messages) == 1
    async with asyncio.timeout(5):
        while list((house.folder / "relay" / "bodies").iterdir()):
            await asyncio.sleep(0.01)


async def test_a_retry_that_comes_with_a_hold_does_not_undo_it(house) -> None:
    queue_id = await house.put("salim@interior.saba.example")
    await asyncio.gather(house.held.hold(queue_id, **WHO), *(house.held.retry(queue_id) for _ in range(5)))
    for _ in range(3):
        await asyncio.gather(house.held.retry(queue_id), house.held.retry(queue_id))
    assert house.states(queue_id) == ["held"]
