"""Submission is kind: who is forbidden is told by notice, and what our own fault stops is judged again."""

from __future__ import annotations

import asyncio
import smtplib
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import msgspec
import pytest

from hudhud.clock import VirtualClock
from mail import dns
from mail.live import demo_zone
from mail.policy import Policy
from mail.session import kindness
from mail.shelf.search import Wanted
from mail.tell.where import told
from mail.verdict import Disposition, Finding, Verdict

AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
FORBIDDEN = "x@freemail.example"
OWN = (
    b"From: <amal@finance.saba.example>\r\nTo: <salim@interior.saba.example>\r\nSubject: figures\r\n"
    b"Message-ID: <2@finance.saba.example>\r\n\r\nAttached.\r\n"
)


class Outage(dns.ZoneResolver):
    """The demo zone, until its name servers are taken away."""

    @classmethod
    def make(cls) -> Outage:
        return cls.load(demo_zone())

    down = False

    async def proven(self, name: str, kind: dns.Kind) -> dns.Proven:
        return dns.Proven("TIMEOUT") if self.down else await super().proven(name, kind)


async def until(true: Any, seconds: float = 10) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := true()):
            await asyncio.sleep(0.02)
        return found


def words_of(notice: bytes) -> str:
    body = message_from_bytes(notice, policy=policy.default).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


async def test_permitted_recipients_are_served_and_the_forbidden_one_is_told_of_with_the_message(start: Any) -> None:
    async with start() as running:
        talk = await running.logged_in()
        replies = await talk.envelope(AMAL, SALIM, FORBIDDEN)
        assert [reply[:3] for reply in replies] == ["250", "250", "250"]
        assert (await talk.data(OWN[:-2])).startswith("250 2.0.0 Accepted for 1 of 2 recipients")
        (mail,) = running.mail()
        assert [one["address"] for one in mail["recipients"]] == [SALIM]
        (notice,) = running.notices()  # there at once: stored in the transaction of the message
        text = words_of(notice)
        assert FORBIDDEN in text
        assert "H-NAT-02" in text
        assert "«\u2068figures\u2069»" in text
        assert "“\u2068figures\u2069”" in text
        shown = running.spool.show(mail["id"])
        assert {one["recipient"]: one["disposition"] for one in shown["verdicts"]} == {
            SALIM: "accept",
            FORBIDDEN: "reject",
        }
        (path,) = running.spool.shelves.find(Wanted(recipient=FORBIDDEN))  # found by the one who did not get it
        assert [line for line in told(path, "en") if FORBIDDEN in line and "refused" in line]


async def test_when_all_are_forbidden_data_is_refused_so_that_nobody_thinks_it_went(start: Any) -> None:
    async with start() as running:
        talk = await running.logged_in()
        await talk.envelope(AMAL, FORBIDDEN, "y@freemail.example")
        assert (await talk.data(OWN[:-2])).startswith("550 5.7.1 H-NAT-02 Foreign recipient")
        await until(running.notices)
        assert running.mail() == []
        assert running.actions() == ["refused"]


async def test_a_mistyped_address_is_refused_while_it_can_be_put_right(start: Any) -> None:
    async with start(max_recipients=2) as running:
        talk = await running.logged_in()
        wrong = ("a%freemail.example@interior.saba.example", "a@nosuchdomain.saba.example")
        replies = await talk.envelope(AMAL, *wrong)
        assert [reply[:3] for reply in replies] == ["250", "550", "550"]
        assert (await talk.say(f"RCPT TO:<{SALIM}>")).startswith("452 4.5.3")


async def test_outsiders_and_other_bodies_hear_it_at_rcpt(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        assert [r[:3] for r in await talk.envelope(NOOR, "x@partner.example")] == ["250", "550"]
        talk = await running.logged_in(SALIM)  # his body wants refusals in the reply
        assert [r[:3] for r in await talk.envelope(SALIM, FORBIDDEN)] == ["250", "550"]


async def test_who_gave_up_before_data_is_not_written_to_but_the_try_is_an_event(start: Any) -> None:
    async with start() as running:
        talk = await running.logged_in()
        await talk.envelope(AMAL, FORBIDDEN)
        await talk.say("RSET")
        await until(lambda: running.actions() == ["refused"])
        assert running.notices() == []


async def test_past_the_hours_notices_a_refusal_is_heard_at_rcpt(start: Any) -> None:
    async with start(notices_per_hour_per_account=1) as running:
        talk = await running.logged_in()
        assert [r[:3] for r in await talk.envelope(AMAL, SALIM, FORBIDDEN, "y@freemail.example")] == ["250"] * 4
        await talk.data(OWN[:-2])
        assert [r[:3] for r in await talk.envelope(AMAL, SALIM, FORBIDDEN)] == ["250", "250", "550"]


def refused(envelope: Any, live: Policy, reason: str = "foreign-recipient") -> bool:
    finding = Finding("national", "H-NAT-02", "1", Disposition.REJECT, reason)
    return kindness.by_notice(envelope, live, Verdict(b"x@freemail.example", Disposition.REJECT, (finding,)))


def test_a_bodys_server_the_mx_port_and_the_null_sender_are_never_put_off(envelope_of: Any, rules: Any) -> None:
    person = envelope_of(AMAL)
    assert refused(person, rules.policy)
    assert not refused(person, rules.policy, "no-such-domain")
    assert not refused(envelope_of(AMAL, kind="server"), rules.policy)
    assert not refused(envelope_of(AMAL, listener="mx"), rules.policy)
    assert not refused(envelope_of(""), rules.policy)


async def test_what_the_dns_keeps_from_being_judged_is_taken_judged_again_and_sent(start: Any) -> None:
    outage = Outage.make()
    async with start(resolver=outage) as running:
        outage.down = True
        talk = await running.logged_in()
        unsure = "a@unlisted.saba.example"  # a national suffix: the DNS decides
        assert [r[:3] for r in await talk.envelope(AMAL, SALIM, unsure)] == ["250", "250", "250"]
        reply = await talk.data(OWN[:-2])
        assert reply.startswith("250 2.0.0 Accepted; a fault here delays"), reply
        assert states(running) == {SALIM: "queued", unsure: "unjudged"}
        assert "unjudged" in running.actions()
        await running.judge_again(VirtualClock(running.now() + timedelta(seconds=6)))
        assert states(running)[unsure] == "unjudged"
        (one,) = [r for r in running.spool.show(running.mail()[0]["id"])["recipients"] if r["address"] == unsure]
        assert "H-NAT-02" in one["attempts"][0]["reply"]
        outage.down = False
        await running.judge_again(VirtualClock(running.now() + timedelta(seconds=60)))
        assert states(running)[unsure] == "failed"  # no mail hosts there: refused, and told so
        assert unsure in words_of(running.notices()[0])
        assert running.actions()[-1] == "refused"


def states(running: Any) -> dict[str, str]:
    return {one["address"]: one["state"] for one in running.spool.show(running.mail()[0]["id"])["recipients"]}


async def test_what_a_fault_kept_from_being_judged_is_encrypted_never_sent_and_goes_on_when_it_is_over(
    start: Any,
) -> None:
    async with start(faults=1) as running:
        talk = await running.logged_in()
        await talk.envelope(AMAL, SALIM)
        assert (await talk.data(OWN[:-2])).startswith("250 2.0.0 Accepted; a fault here delays")
        assert states(running) == {SALIM: "unjudged"}
        rows = running.spool.database.read("SELECT data, key FROM bodies")
        assert b"Attached" not in rows[0][0]
        assert rows[0][1] is not None
        assert running.spool.fresh.take() is None  # dispatch has not heard of it
        assert running.spool.due(["interior.saba.example"], lambda _: 100, {})[0] == []
        await running.judge_again()  # not due yet
        assert states(running) == {SALIM: "unjudged"}
        await running.judge_again(VirtualClock(running.now() + timedelta(seconds=6)))
        assert states(running) == {SALIM: "queued"}
        shown = running.spool.show(running.mail()[0]["id"])
        assert [act["act"] for act in shown["acts"]] == ["judged"]
        assert "with ESMTPSA" in shown["trace"]
        assert running.spool.body(shown["id"]) == OWN
        assert running.actions() == ["unjudged", "accepted"]


async def test_a_message_that_makes_judging_fail_three_times_is_held_and_its_sender_told(start: Any) -> None:
    async with start(faults=99) as running:
        talk = await running.logged_in()
        await talk.envelope(AMAL, SALIM)
        await talk.data(OWN[:-2])
        for seconds in (6, 60):
            assert states(running) == {SALIM: "unjudged"}
            await running.judge_again(VirtualClock(running.now() + timedelta(seconds=seconds)))
        assert states(running) == {SALIM: "held"}
        assert running.mail()[0]["held_by"] == ["H-CONTENT-01"]
        assert running.actions()[-1] == "held"
        (notice,) = running.notices()
        assert "is held until a person" in words_of(notice)


async def test_what_lasts_is_told_once_and_ends_with_a_person(start: Any) -> None:
    outage = Outage.make()
    async with start(resolver=outage) as running:
        outage.down = True
        talk = await running.logged_in()
        await talk.envelope(AMAL, "a@unlisted.saba.example")
        await talk.data(OWN[:-2])
        for hours in (0.1, 5, 6):
            await running.judge_again(VirtualClock(running.now() + timedelta(hours=hours)))
        (notice,) = running.notices()
        assert "a fault of the mail system keeps it from being examined" in words_of(notice)
        assert "رسالتك متأخرة" in str(message_from_bytes(notice, policy=policy.default)["subject"])
        await running.judge_again(VirtualClock(running.now() + timedelta(days=6)))
        assert running.mail()[0]["state"] == "held"


@pytest.mark.parametrize("who", ["outsider", "body"])
async def test_451_stays_for_outsiders_and_for_bodies_that_want_it(start: Any, who: str) -> None:
    changed = {"faults": "defer"} if who == "body" else {}
    async with start(faults=1, policy=changed) as running:
        talk = await running.logged_in() if who == "body" else await running.hello()
        await talk.envelope(AMAL if who == "body" else NOOR, SALIM if who == "body" else AMAL)
        assert (await talk.data(OWN[:-2])).startswith("451 4.3.0 H-FAULT")
        assert running.mail() == []


async def test_a_judgement_past_its_time_is_cut_and_counted(start: Any) -> None:
    class Endless:
        async def at_rcpt(self, _: Any, recipient: Any, **__: Any) -> Verdict:
            return Verdict(recipient.address.raw, Disposition.ACCEPT)

        async def at_data(self, *_: Any) -> Any:
            await asyncio.sleep(60)

    async with start(judge=Endless(), judge_timeout_s=0.05) as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        assert (await talk.data(OWN[:-2])).startswith("451 4.3.0 H-FAULT")
        assert running.house.limits.counters()["judge_timeout_s"] == 1


async def test_a_mail_program_that_gives_up_on_one_refused_rcpt_has_its_message_sent(start: Any) -> None:
    def send() -> None:
        with smtplib.SMTP("localhost", running.ports["submission"], timeout=10) as client:
            client.starttls(context=running.context)
            client.login(AMAL, running.password)
            client.mail(AMAL)
            for recipient in (SALIM, FORBIDDEN, "hala@interior.saba.example"):
                code, text = client.rcpt(recipient)
                assert code == 250, text  # a mail program would stop here
            assert client.data(OWN)[0] == 250

    async with start() as running:
        await asyncio.to_thread(send)
        assert len(running.mail()[0]["recipients"]) == 2


def test_the_policy_says_which_way_a_body_wants(rules: Any) -> None:
    assert rules.policy.rules("FIN").refusals == "notice"
    assert rules.policy.rules("INT").refusals == "reply"
    assert msgspec.structs.asdict(rules.policy.default)["faults"] == "spool"
