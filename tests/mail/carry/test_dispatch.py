"""From the spool to the next hop: delivered, again later, told, held, released; with real sockets."""

from __future__ import annotations

import asyncio
import email
import email.policy
from datetime import timedelta
from typing import Any

import dkim
import msgspec
import pytest

from hudhud.clock import VirtualClock
from hudhud.settings import Spool
from mail.sign import generate, record

FIN, INT, HEA, EDU = ("192.0.2.33", 25), ("192.0.2.65", 25), ("192.0.2.97", 24), ("192.0.2.129", 25)


async def wait_for(condition: Any, within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_message_is_delivered_at_once_signed_and_byte_for_byte(house, sinks) -> None:
    hop = await sinks()
    house.dialled[INT] = hop.port
    (house.folder / "keys").mkdir()
    generate(house.folder / "keys", "finance.saba.example")
    house.start()
    body = b".dot\r\n \t \r\n\xd9\x85\r\n" + b"z" * 2000 + b"\r\n\r\n\r\n"
    queue_id = await house.put("salim@interior.saba.example", body=body)
    shown = await house.until(queue_id, "delivered", within=1.0)
    content = hop.messages[0].content
    signed, trace, original = content.partition(b"Received: from pc by mx.relay.saba.example; now\r\n")
    assert trace
    assert original.startswith(b"From: <amal@finance.saba.example>\r\n")
    assert original.endswith(b"\r\n\r\n" + body)
    zone = dict(record(key) for key in house.signer.keys("finance.saba.example"))
    assert signed.startswith(b"DKIM-Signature:")
    assert dkim.verify(content, dnsfunc=lambda name, timeout=5: zone[name.decode().rstrip(".")].encode())
    assert shown["recipients"][0]["reply"] == "250 2.0.0 taken"
    assert house.spool.database.read("SELECT count(*) FROM bodies") == [(0,)]


async def test_a_delivered_event_stands_in_the_journal_with_the_record(house, sinks) -> None:
    house.dialled[INT] = (await sinks()).port
    house.start()
    queue_id = await house.put("salim@interior.saba.example")
    await house.until(queue_id, "delivered")
    accepted, delivered = house.events()
    assert accepted["event"]["action"] == "accepted"
    assert delivered["event"]["action"] == "delivered"
    assert delivered["event"]["dataset"] == "hudhud.mail"
    assert delivered["organization"]["id"] == "FIN"
    assert delivered["email"]["direction"] == "internal"
    assert delivered["email"]["to"]["address"] == ["salim@interior.saba.example"]
    assert delivered["hudhud"]["mail"]["queue_id"] == queue_id
    assert "subject" not in delivered["email"]


async def test_what_came_from_outside_is_not_signed_and_its_own_bytes_stay(house, sinks) -> None:
    hop = await sinks(lmtp=True)
    house.dialled[HEA] = hop.port
    (house.folder / "keys").mkdir()
    generate(house.folder / "keys", "freemail.example")
    house.start()
    queue_id = await house.put("huda@health.saba.example", sender="noor@freemail.example", listener="mx")
    await house.until(queue_id, "delivered")
    assert b"DKIM-Signature" not in hop.messages[0].content
    delivered = house.events()[-1]
    assert delivered["organization"]["id"] == "HEA"
    assert delivered["email"]["direction"] == "inbound"


async def test_recipients_of_one_body_share_a_transaction_and_bodies_do_not(house, sinks) -> None:
    one, two = await sinks(), await sinks(lmtp=True)
    house.dialled |= {INT: one.port, HEA: two.port}
    house.start()
    queue_id = await house.put("a@interior.saba.example", "b@health.saba.example", "c@interior.saba.example")
    await house.until(queue_id, "delivered")
    assert [len(m.rcpts) for m in one.messages] == [2]
    assert [len(m.rcpts) for m in two.messages] == [1]


async def test_edits_give_way_and_the_rest_stays(house, sinks) -> None:
    from mail.shelf.stored import Edit

    hop = await sinks()
    house.dialled[INT] = hop.port
    house.start()
    start = len(b"From: <amal@finance.saba.example>\r\n")
    end = start + len(b"To: salim@interior.saba.example\r\n")
    edits = [Edit(end + len(b"Subject: "), end + len(b"Subject: "), b"[X] "), Edit(start, end)]
    queue_id = await house.put("salim@interior.saba.example", edits=edits)
    await house.until(queue_id, "delivered")
    assert b"\r\nFrom: <amal@finance.saba.example>\r\nSubject: [X] x\r\n" in hop.messages[0].content


async def test_a_permanent_refusal_is_told_in_both_languages(house, sinks) -> None:
    ours, theirs = await sinks(), await sinks(answers={"RCPT": "550 5.1.1 No such user here"})
    house.dialled |= {FIN: ours.port, INT: theirs.port}
    house.start()
    queue_id = await house.put("nobody@interior.saba.example", envid="QQ+2B1", orcpt="rfc822;nobody+2Bx@i.example")
    await house.until(queue_id, "failed")
    await wait_for(lambda: ours.messages)
    dsn = ours.messages[0]
    assert dsn.mail.startswith(b"MAIL FROM:<> ")
    assert dsn.rcpts == [b"RCPT TO:<amal@finance.saba.example> NOTIFY=NEVER"]
    parsed = email.message_from_bytes(dsn.content, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    human, machine, returned = parsed.iter_parts()
    text = human.get_body(("plain",)).get_content()
    assert text.index("تعذّر تسليم رسالتك") < text.index("could not be delivered")
    assert text.count("550 5.1.1 No such user here") == 2
    blocks = machine.get_payload()
    assert blocks[0]["Original-Envelope-Id"] == "QQ+1"
    assert blocks[0]["Reporting-MTA"] == "dns; mx.relay.saba.example"
    assert blocks[1]["Original-Recipient"] == "rfc822;nobody+x@i.example"
    assert blocks[1]["Final-Recipient"] == "rfc822; nobody@interior.saba.example"
    assert (blocks[1]["Action"], blocks[1]["Status"]) == ("failed", "5.1.1")
    assert blocks[1]["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user here"
    assert "Subject: x" in returned.get_payload()
    await wait_for(lambda: len(house.events()) == 3)
    assert [e["event"]["action"] for e in house.events()] == ["accepted", "bounced", "delivered"]


@pytest.mark.parametrize(
    "put",
    [{"sender": ""}, {"listener": "mx"}, {"notify": "NEVER"}, {"notify": "SUCCESS,DELAY"}],
    ids=["null sender", "mx port", "never", "not asked for"],
)
async def test_nobody_is_told_who_must_not_be(house, sinks, put) -> None:
    ours, theirs = await sinks(), await sinks(answers={"RCPT": "550 5.1.1 no"})
    house.dialled |= {FIN: ours.port, INT: theirs.port}
    house.start()
    queue_id = await house.put("nobody@interior.saba.example", **put)
    await house.until(queue_id, "failed")
    assert house.spool.database.read("SELECT count(*) FROM messages WHERE kind = 'dsn'") == [(0,)]


async def test_success_is_told_only_where_the_next_hop_will_not(house, sinks) -> None:
    ours, silent, tells = await sinks(), await sinks(offers=("PIPELINING",)), await sinks()
    house.dialled |= {FIN: ours.port, INT: silent.port, EDU: tells.port}
    house.start()
    for to in ("a@interior.saba.example", "b@education.saba.example"):
        await house.until(await house.put(to, notify="SUCCESS"), "delivered")
    await wait_for(lambda: ours.messages)
    await asyncio.sleep(0.05)
    (only,) = ours.messages
    assert b"Action: relayed" in only.content
    assert b"a@interior" in only.content
    assert tells.messages[0].rcpts == [b"RCPT TO:<b@education.saba.example> NOTIFY=SUCCESS"]


async def test_a_flood_of_failures_is_told_at_most_so_often(house, sinks) -> None:
    ours, theirs = await sinks(), await sinks(answers={"RCPT": "550 5.1.1 no"})
    house.dialled |= {FIN: ours.port, INT: theirs.port}
    house.settings = msgspec.structs.replace(
        house.settings, delivery=msgspec.structs.replace(house.settings.delivery, dsns_per_hour_per_sender=3)
    )
    await house.close()
    house.open().start()
    for _ in range(8):
        await house.until(await house.put("nobody@interior.saba.example"), "failed")
    assert house.spool.database.read("SELECT count(*) FROM messages WHERE kind = 'dsn'") == [(3,)]


async def pass_time(house: Any, seconds: float, step: float) -> None:
    """Let virtual time pass in steps, and the sockets their real time at each."""
    assert isinstance(house.clock, VirtualClock)
    for _ in range(int(seconds / step)):
        await house.clock.advance(step)
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.05)


async def test_five_days_of_a_dead_next_hop_give_one_delay_notice_and_then_a_failure(virtual_house, sinks) -> None:
    house = virtual_house
    ours = await sinks()
    house.dialled[FIN] = ours.port
    house.start()
    queue_id = await house.put("salim@interior.saba.example")
    await pass_time(house, 3 * 3600, 60)
    assert house.states(queue_id) == ["queued"]
    assert not ours.messages
    await pass_time(house, 6 * 3600, 300)
    assert len(ours.messages) == 1
    assert b"Action: delayed" in ours.messages[0].content
    assert b"Will-Retry-Until: Sat, 28 Nov 2026 08:00:00" in ours.messages[0].content
    await pass_time(house, 112 * 3600, 600)
    async with asyncio.timeout(5):
        while house.states(queue_id) != ["failed"] or len(ours.messages) < 2:
            await pass_time(house, 600, 60)
    assert b"Action: failed\r\nStatus: 4.4.7" in ours.messages[1].content
    tries = house.show(queue_id)["recipients"][0]["tries"]
    assert 100 <= tries <= 600  # its own schedule, and a probe of the next hop every quarter of an hour


async def test_a_next_hop_that_comes_back_gets_everything_at_once(virtual_house, sinks) -> None:
    house = virtual_house
    house.start()
    ids = [await house.put("salim@interior.saba.example") for _ in range(30)]
    await pass_time(house, 3600, 30)
    resting = house.dispatch.status()["not_answering"]
    assert list(resting) == ["smtp:192.0.2.65:25:may"]
    hop = await sinks()
    house.dialled[INT] = hop.port
    new = await house.put("salim@interior.saba.example")
    await pass_time(house, 1200, 10)
    async with asyncio.timeout(5):
        while {state for i in (*ids, new) for state in house.states(i)} != {"delivered"}:
            await pass_time(house, 1, 0.1)
    assert len(hop.messages) == 31


async def test_a_clock_that_is_set_back_by_two_days_keeps_nobody_waiting_for_them(virtual_house, sinks) -> None:
    house, hop = virtual_house, await sinks(answers={"RCPT": "451 4.7.1 later"})
    house.dialled[INT] = hop.port
    house.start()
    house.clock.set_by(86_400)
    queue_id = await house.put("salim@interior.saba.example")
    await wait_for(lambda: house.dispatch.counts["queued"])
    hop.answers.clear()
    house.clock.set_by(-2 * 86_400)
    async with asyncio.timeout(5):
        while house.states(queue_id) != ["delivered"]:
            await pass_time(house, 10, 1)
    assert house.clock.monotonic() < 600


async def test_connections_to_one_next_hop_stay_below_the_cap_and_another_is_not_held_up(house, sinks) -> None:
    slow, quick = await sinks(delay=0.05), await sinks()
    house.dialled |= {INT: slow.port, EDU: quick.port}
    house.start()
    ids = [await house.put("a@interior.saba.example") for _ in range(100)]
    last = await house.put("b@education.saba.example")
    await house.until(last, "delivered", within=0.5)
    for one in ids:
        await house.until(one, "delivered")
    assert slow.open_most == house.settings.delivery.max_connections_per_hop
    assert len(slow.messages) == 100


async def test_a_busy_domain_on_disk_does_not_hide_another(house, sinks) -> None:
    slow, quick = await sinks(delay=0.02), await sinks()
    house.dialled |= {INT: slow.port, EDU: quick.port}
    ids = [await house.put("a@interior.saba.example") for _ in range(300)]
    last = await house.put("b@education.saba.example")
    while house.spool.fresh.take() is not None:
        pass
    house.spool.fresh.wake()
    house.start()
    await house.until(last, "delivered", within=1.0)
    for one in ids:
        await house.until(one, "delivered", within=10.0)
    assert len(slow.messages) == 300


async def test_held_mail_waits_encrypted_and_goes_out_when_released(house, sinks) -> None:
    hop = await sinks()
    house.dialled[INT] = hop.port
    house.start()
    secret = b"the secret body of a letter\r\n"
    queue_id = await house.put("a@interior.saba.example", "b@interior.saba.example", body=secret * 20, state="held")
    big = await house.put("a@interior.saba.example", body=secret * 20_000, state="held")
    await asyncio.sleep(0.1)
    assert not hop.messages
    for path in (house.folder / "relay").rglob("*"):
        assert not path.is_file() or b"secret body" not in path.read_bytes(), path
    assert house.spool.body(queue_id).endswith(secret)
    assert house.show(queue_id)["held_by"] == ["HY-0001"]
    act = await house.held.release(queue_id, actor="layla", reason="looked at", recipients={"b@interior.saba.example"})
    assert act.recipients == ("b@interior.saba.example",)
    await wait_for(lambda: house.states(queue_id) == ["held", "delivered"])
    await house.held.release(queue_id, actor="layla", reason="looked at again")
    await house.held.release(big, actor="layla", reason="fine")
    await house.until(queue_id, "delivered")
    await house.until(big, "delivered")
    assert hop.messages[-1].content.endswith(secret * 3)
    assert [act["act"] for act in house.show(queue_id)["acts"]] == ["released", "released"]
    released = [e for e in house.events() if e["event"]["action"] == "released"]
    assert len(released) == 3
    assert released[0]["rule"]["id"] == ["HY-0001"]
    await wait_for(lambda: not list((house.folder / "relay" / "bodies").iterdir()))


async def test_deleted_mail_is_gone_and_nobody_is_told(house) -> None:
    queue_id = await house.put("a@interior.saba.example", state="held", body=b"x" * 300_000 + b"\r\n")
    assert list((house.folder / "relay" / "bodies").iterdir())
    await house.held.delete(queue_id, actor="layla", reason="malware")
    assert house.states(queue_id) == ["deleted"]
    assert not list((house.folder / "relay" / "bodies").iterdir())
    assert (await house.held.release(queue_id, actor="x", reason="y")).recipients == ()


async def test_a_waiting_message_can_be_held_tried_now_and_is_sealed(house, sinks) -> None:
    queue_id = await house.put("a@interior.saba.example", body=b"open text\r\n")
    await house.held.hold(queue_id, actor="layla", reason="look")
    assert house.states(queue_id) == ["held"]
    assert b"open text" in house.spool.body(queue_id)
    assert house.spool.database.read("SELECT instr(data, 'open text') FROM bodies") == [(0,)]
    house.dialled[INT] = (await sinks()).port
    house.start()
    await house.held.release(queue_id, actor="layla", reason="fine")
    await house.until(queue_id, "delivered")


async def test_what_a_rule_held_is_judged_again_without_it(house, sinks) -> None:
    from mail.accounts import Account
    from mail.verdict import Disposition, Judgement, Reply, Verdict

    hop = await sinks()
    house.dialled[INT] = hop.port
    house.start()
    mine = await house.put("a@interior.saba.example", state="held")
    seen = []

    async def judge(message: Any) -> Judgement:
        seen.append(message)
        return Judgement(
            tuple(Verdict(r.address.raw, Disposition.ACCEPT) for r in message.envelope.recipients),
            Reply(250, "2.0.0", "ok"),
        )

    account = Account("amal@finance.saba.example", "FIN")
    acts = await house.held.rejudge("HY-0001", judge, lambda name: account, actor="budget", reason="stopped")
    assert [act.queue_id for act in acts] == [mine]
    await house.until(mine, "delivered")
    assert seen[0].envelope.account is account
    assert seen[0].envelope.client.ip == "192.0.2.50"
    assert [e["event"]["action"] for e in house.events()][-2:] == ["rejudged", "delivered"]


async def test_a_domain_without_a_way_fails_at_once_or_waits_for_the_dns(house, sinks) -> None:
    ours = await sinks()
    house.dialled[FIN] = ours.port
    house.zone |= {"null.example": {"MX": ["0 ."]}, "down.example": "SERVFAIL"}
    await house.close()
    house.open().start()
    gone, null, down = [await house.put(f"a@{d}.example") for d in ("gone", "null", "down")]
    assert (await house.until(gone, "failed"))["recipients"][0]["reply"].startswith("5.1.2")
    assert (await house.until(null, "failed"))["recipients"][0]["reply"].startswith("5.1.10")
    await wait_for(lambda: house.show(down)["recipients"][0]["tries"] == 1)
    assert house.states(down) == ["queued"]


async def test_mail_by_mx_tries_hosts_in_order_of_preference(house, sinks) -> None:
    first, second = await sinks(answers={"GREETING": "421 busy"}), await sinks()
    house.zone |= {
        "partner.example": {"MX": ["20 mx2.partner.example", "10 mx1.partner.example"]},
        "mx1.partner.example": {"A": ["203.0.113.1"]},
        "mx2.partner.example": {"A": ["203.0.113.2"]},
    }
    house.dialled |= {("203.0.113.1", 25): first.port, ("203.0.113.2", 25): second.port}
    await house.close()
    house.open().start()
    await house.until(await house.put("a@partner.example"), "delivered")
    assert first.connections == 1
    assert house.events()[-1]["email"]["direction"] == "outbound"


async def test_own_mail_goes_out_from_the_null_sender_and_is_never_answered(house, sinks) -> None:
    from mail.envelope import NULL, parse_path

    house.dialled[FIN] = (await sinks(answers={"RCPT": "550 5.1.1 no"})).port
    house.start()
    to = parse_path(b"amal@finance.saba.example", smtputf8=False)
    queue_id = await house.spool.put_own(NULL, [to], b"From: <p@relay.saba.example>\r\n\r\nx\r\n", "notice")
    await house.until(queue_id, "failed")
    assert house.spool.database.read("SELECT count(*) FROM messages") == [(1,)]


async def test_nothing_more_is_sent_while_outcomes_cannot_be_recorded(house, sinks, monkeypatch) -> None:
    from mail.carry import ledger
    from mail.shelf.room import SpoolFull

    hop = await sinks()
    house.dialled[INT] = hop.port
    monkeypatch.setattr(ledger, "FULL_WAIT", 0.1)
    original, full = house.spool.record, True

    async def record(*args: Any, **more: Any) -> None:
        if full:
            raise SpoolFull("no room")
        await original(*args, **more)

    house.spool.record = record
    house.start()
    first = await house.put("a@interior.saba.example")
    await wait_for(lambda: hop.messages)
    second = await house.put("b@interior.saba.example")
    await asyncio.sleep(0.3)
    assert len(hop.messages) == 1
    full = False
    await house.until(first, "delivered")
    await house.until(second, "delivered")
    assert len(hop.messages) == 2


async def test_messages_past_their_retention_are_forgotten_and_live_ones_stay(virtual_house, sinks) -> None:
    house = virtual_house
    house.settings = msgspec.structs.replace(house.settings, spool=Spool(min_free_bytes=0, trace_days=1))
    await house.close()
    house.open()
    house.dialled[INT] = (await sinks()).port
    old, held = await house.put("a@interior.saba.example"), await house.put("b@interior.saba.example", state="held")
    house.start()
    await house.until(old, "delivered")
    await house.clock.advance(timedelta(days=1, hours=2).total_seconds())
    await wait_for(lambda: house.spool.show(old) is None)
    assert house.states(held) == ["held"]


async def test_stopping_lets_what_is_under_way_end(house, sinks) -> None:
    hop = await sinks(delay=0.3)
    house.dialled[INT] = hop.port
    house.start()
    queue_id = await house.put("a@interior.saba.example")
    await wait_for(lambda: any(c == b"DATA" for c in hop.commands))
    house.stop.set()
    await house.running
    house.running = None
    assert house.states(queue_id) == ["delivered"]
