"""Nobody holds up anybody: destinations, senders, slow hosts, hosts that push back; the pace that was agreed."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from hudhud.settings import Delivery as Limits
from mail.carry import backlog
from mail.carry.agenda import STEP, Agenda
from mail.carry.lane import Lane
from mail.carry.parcel import Addressee, Parcel
from mail.delivery import Delivery
from mail.route import Target

FIN, INT, EDU = ("192.0.2.33", 25), ("192.0.2.65", 25), ("192.0.2.129", 25)
HEAD = b"From: a@finance.saba.example\r\nSubject: x\r\n\r\n"


def test_the_window_grows_by_success_and_halves_once_a_round() -> None:
    lane = Lane(Limits(max_connections_per_hop=20))
    for _ in range(6):
        lane.reached()
    assert lane.window == 10.0
    for _ in range(8):
        lane.pushed_back(100.0)  # eight answers to what was sent together
    assert lane.window == 5.0
    lane.reached()
    assert lane.window == 5.2  # past the threshold one a round
    for second in range(101, 120):
        lane.pushed_back(float(second))
    assert lane.window == 1.0
    assert not lane.open


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through() -> None:
    limits = Limits(breaker_failures=3, breaker_s=30)
    lane = Lane(limits)
    for second in range(3):
        assert lane.may_start(second)
        lane.failed(second, "no connection")
    assert lane.open
    assert not lane.may_start(10)
    assert lane.may_start(60)
    lane.active = 1
    assert not lane.may_start(60)  # the probe is under way
    assert lane.reached()
    assert not lane.open


def test_domains_are_looked_at_in_turn_when_their_time_comes_and_in_small_steps() -> None:
    names = [f"d{n:04}" for n in range(5 * STEP)]
    agenda = Agenda(lambda after, limit: [one for one in names if one > after][:limit])
    seen: list[str] = []
    while agenda.waiting:
        step = agenda.take(0.0, 0.0)
        assert len(step) <= 2 * STEP
        agenda.looked(step, {}, 0.001)
        seen += step
    assert seen == names
    agenda.note("d0007", 50.0)
    agenda.note("d0007", 20.0)
    assert agenda.take(10.0, 10.0) == []
    assert agenda.next(10.0, 10.0) == 20.0
    assert agenda.take(20.0, 20.0) == ["d0007"]
    agenda.looked(["d0007"], {"d0007": 70.0}, 0.0)
    assert agenda.take(60.0, 25.0) == []
    agenda.walk()
    assert len(agenda.take(26.0, 26.0)) == STEP


async def test_one_destination_with_many_messages_does_not_hold_up_another(house, sinks) -> None:
    slow, quick = await sinks(delay=0.2), await sinks()
    house.dialled |= {INT: slow.port, EDU: quick.port}
    house.start()
    for n in range(backlog.PER_DOMAIN * 2):
        await house.put("a@interior.saba.example", sender=f"u{n}@finance.saba.example")
    assert len(house.dispatch._backlog._busy["interior.saba.example"]) <= 2 * backlog.PER_DOMAIN
    await house.until(await house.put("b@education.saba.example"), "delivered", within=1.0)


async def test_one_sender_does_not_hold_up_another_to_the_same_place(house, sinks, monkeypatch) -> None:
    monkeypatch.setattr("mail.dispatch.GRACE", 0.1)
    slow = await sinks(delay=0.3)
    house.dialled[INT] = slow.port
    house.start()
    for _ in range(300):
        await house.put("a@interior.saba.example", sender="bulk@finance.saba.example")
    other = await house.put("a@interior.saba.example", sender="amal@finance.saba.example")
    await house.until(other, "delivered")
    assert len(slow.messages) < 200


async def test_slow_next_hops_together_leave_room_for_one_more(house, sinks, monkeypatch) -> None:
    monkeypatch.setattr("mail.dispatch.GRACE", 0.1)
    slow, quick = await sinks(delay=30), await sinks()
    domains = [f"slow{n}.example" for n in range(6)]
    for n, domain in enumerate(domains):
        house.zone[domain] = {"MX": [f"10 mx.{domain}"]}
        house.zone[f"mx.{domain}"] = {"A": [f"203.0.113.{n}"]}
        house.dialled[f"203.0.113.{n}", 25] = slow.port
    house.dialled[EDU] = quick.port
    tight = msgspec.structs.replace(house.settings.delivery, max_connections=12)
    house.settings = msgspec.structs.replace(house.settings, delivery=tight)
    await house.close()
    house.open().start()
    for _ in range(6):
        for domain in domains:
            await house.put(f"a@{domain}")
    await asyncio.sleep(0.2)
    await house.until(await house.put("b@education.saba.example"), "delivered", within=1.0)
    assert house.dispatch._active < 12


async def test_a_destination_gets_no_more_a_minute_than_was_agreed(virtual_house, sinks) -> None:
    house = virtual_house
    hop, other = await sinks(), await sinks()
    house.dialled |= {INT: hop.port, EDU: other.port}
    paced = msgspec.structs.replace(house.settings.delivery, messages_per_minute={"interior.saba.example": 3})
    house.settings = msgspec.structs.replace(house.settings, delivery=paced)
    await house.close()
    house.open().start()
    for _ in range(7):
        await house.put("a@interior.saba.example")
        await house.put("b@education.saba.example")
    await _real(0.3)
    assert (len(hop.messages), len(other.messages)) == (3, 7)
    await house.clock.advance(21)
    await _real(0.2)
    assert len(hop.messages) == 4
    for _ in range(4):
        await house.clock.advance(21)
        await _real(0.1)
    assert len(hop.messages) == 7


async def test_a_next_hop_is_probed_before_the_mail_for_it_is_due_again(virtual_house, sinks) -> None:
    house = virtual_house
    house.start()
    ids = [await house.put("salim@interior.saba.example") for _ in range(3)]
    for _ in range(120):  # four hours: what waits is due in hours by now
        await house.clock.advance(120)
        await _real(0.002)
    hop = await sinks()
    house.dialled[INT] = hop.port
    for _ in range(10):
        await house.clock.advance(120)
        await _real(0.02)
    async with asyncio.timeout(5):
        while {state for one in ids for state in house.states(one)} != {"delivered"}:
            await house.clock.advance(0.1)
            await _real(0.01)


async def test_hosts_of_equal_preference_share_and_a_silent_one_comes_last(sinks) -> None:
    first, second, dead = await sinks(), await sinks(), await sinks()
    await dead.stop()
    delivery = Delivery(Limits(messages_per_connection=1, connect_timeout_s=1.0), "relay.example")
    hop = first.hop(
        targets=tuple(Target(f"mx{n}", "127.0.0.1", s.port, preference=10) for n, s in enumerate((first, second, dead)))
    )
    parcel = Parcel(b"a@f.example", (Addressee(b"b@h.example"),), HEAD)
    for _ in range(40):
        (attempt,) = await delivery.deliver(parcel, hop)
        assert attempt.delivered
    assert min(len(first.messages), len(second.messages)) > 5
    assert delivery._pool.silent(hop.targets[2])
    assert delivery._order(hop)[-1] is hop.targets[2]
    await delivery.close()


@pytest.mark.parametrize("answer", ["421 4.3.2 going down", "451 4.3.0 not now"])
async def test_a_host_that_puts_us_off_is_left_for_the_next_one(sinks, answer) -> None:
    busy, free = await sinks(answers={"MAIL": answer}), await sinks()
    hop = free.hop(targets=tuple(Target(f"mx{n}", "127.0.0.1", s.port, n) for n, s in enumerate((busy, free))))
    delivery = Delivery(Limits(), "relay.example")
    (attempt,) = await delivery.deliver(Parcel(b"a@f.example", (Addressee(b"b@h.example"),), HEAD), hop)
    assert attempt.delivered
    assert attempt.host == "mx1 (127.0.0.1)"
    await delivery.close()


async def test_what_does_not_fit_one_host_may_fit_the_next(sinks) -> None:
    plain, able = await sinks(offers=()), await sinks()
    hop = able.hop(targets=tuple(Target(f"mx{n}", "127.0.0.1", s.port, n) for n, s in enumerate((plain, able))))
    delivery = Delivery(Limits(), "relay.example")
    parcel = Parcel(b"a@f.example", (Addressee("أمل@h.example".encode()),), HEAD, utf8=True)
    assert (await delivery.deliver(parcel, hop))[0].delivered
    alone = await delivery.deliver(parcel, plain.hop())
    assert (alone[0].permanent, alone[0].status) == (True, "5.6.7")
    await delivery.close()


async def _real(seconds: float) -> Any:
    await asyncio.sleep(seconds)
