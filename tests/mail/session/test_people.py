"""Who acts for whom, over real sockets: roles, delegations that end while a session lasts, and people who leave."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from hudhud.clock import SYSTEM
from mail import accounts
from mail.accounts import Accounts, Delegation, Row
from mail.live import demo_rules
from mail.session.live import account_named

AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
GUEST = "visitor@finance.saba.example"
MINISTER = "minister@finance.saba.example"
ROLE = Row(address=MINISTER, entity="FIN", kind="role")
LENT = Delegation(address=MINISTER, to=AMAL, owner="yusuf@finance.saba.example", ends=SYSTEM.now() + timedelta(days=9))


def message(sender: str, *more: str) -> bytes:
    lines = (f"From: <{sender}>", f"To: <{SALIM}>", "Subject: figures", "Message-ID: <2@x.example>", *more)
    return "\r\n".join((*lines, "", "Attached.")).encode()


def change(running: Any, rows: tuple[Row, ...] = (ROLE,), delegations: tuple[Delegation, ...] = (LENT,)) -> None:
    """Write accounts.toml anew, as a command does, and let the worker see it."""
    known: Accounts = running.accounts.value
    accounts.write(running.accounts._path, {**known.rows, **{one.address: one for one in rows}}.values(), delegations)
    assert running.accounts.refresh()


def left(running: Any, address: str = AMAL) -> Row:
    return Row(address=address, entity=running.accounts.value.rows[address].entity, left=SYSTEM.now())


async def test_who_acts_for_a_role_is_recorded_and_not_told_to_recipients(start: Any) -> None:
    async with start() as running:
        change(running)
        talk = await running.logged_in()
        assert [r[:3] for r in await talk.envelope(MINISTER, SALIM)] == ["250", "250"]
        assert (await talk.data(message(MINISTER))).startswith("250")
        await talk.envelope(AMAL, SALIM)  # her own envelope, the role's name in From
        assert (await talk.data(message(MINISTER))).startswith("250")
        await talk.envelope(AMAL, SALIM)
        assert (await talk.data(message(AMAL))).startswith("250")
        told = [(e["hudhud"]["mail"]["account"], e["hudhud"]["mail"].get("role")) for e in running.events()]
        assert told == [(AMAL, MINISTER), (AMAL, MINISTER), (AMAL, None)]
        assert {one["account"] for one in running.mail()} == {AMAL}
        ours = running.spool.database.read("SELECT trace FROM messages")
        assert not any(b"amal" in bytes(trace) for (trace,) in ours)


async def test_nobody_logs_in_as_a_role(start: Any) -> None:
    async with start() as running:
        change(running)
        with pytest.raises(AssertionError):
            await running.logged_in(MINISTER)


async def test_a_role_is_not_for_who_is_not_delegated(start: Any) -> None:
    async with start() as running:
        change(running, delegations=())
        talk = await running.logged_in()
        assert (await talk.envelope(MINISTER, SALIM))[1].startswith("550 5.7.1 H-ID-01")


async def test_the_person_hears_what_becomes_of_the_roles_mail(start: Any) -> None:
    async with start() as running:
        change(running)
        talk = await running.logged_in()
        await talk.envelope(MINISTER, SALIM, NOOR)
        assert (await talk.data(message(MINISTER))).startswith("250")
        (notice,) = running.notices()
        assert f"To: {AMAL}\r\n".encode() in notice


async def test_a_delegation_that_ends_is_over_in_an_open_session_and_in_a_message_under_way(start: Any) -> None:
    async with start() as running:
        change(running)
        talk = await running.logged_in()
        await talk.envelope(MINISTER, SALIM)
        assert (await talk.say("DATA")).startswith("354")
        talk.send(message(MINISTER))
        change(running, delegations=())
        talk.send(b"\r\n.\r\n")
        assert (await talk.reply()).startswith("451 4.7.1")
        assert (await talk.envelope(MINISTER, SALIM))[1].startswith("550 5.7.1 H-ID-01")
        assert running.mail() == []


async def test_who_has_left_is_out_at_once(start: Any) -> None:
    async with start() as running:
        talk, slow = await running.logged_in(), await running.logged_in()
        await slow.envelope(AMAL, SALIM)
        assert (await slow.say("DATA")).startswith("354")
        change(running, rows=(left(running),), delegations=())
        assert (await talk.say(f"MAIL FROM:<{AMAL}>")).startswith("421")
        assert await talk.ended()
        slow.send(message(AMAL) + b"\r\n.\r\n")
        assert (await slow.reply()).startswith("421")
        with pytest.raises(AssertionError):
            await running.logged_in()
        assert running.mail() == []


async def test_a_guest_whose_time_is_over_is_out_in_an_open_session_and_does_not_come_in_again(start: Any) -> None:
    async with start() as running:
        now, amal = SYSTEM.now(), running.accounts.value.rows[AMAL]
        guest = msgspec.structs.replace(amal, address=GUEST, kind="guest", sponsor=AMAL, ends=now + timedelta(days=1))
        change(running, rows=(guest,), delegations=())
        talk = await running.logged_in(GUEST)
        assert (await talk.envelope(GUEST, SALIM))[1].startswith("250")
        await talk.say("RSET")
        change(running, rows=(msgspec.structs.replace(guest, ends=now),), delegations=())
        assert (await talk.say(f"MAIL FROM:<{GUEST}>")).startswith("421")
        with pytest.raises(AssertionError):
            await running.logged_in(GUEST)


async def test_mail_to_who_has_left_still_goes_to_her_bodys_mailbox_server(start: Any) -> None:
    async with start() as running:
        change(running, rows=(left(running),), delegations=())
        talk = await running.hello()
        assert [r[:3] for r in await talk.envelope(NOOR, AMAL)] == ["250", "250"]


def test_mail_of_whom_only_another_back_end_knows_is_judged_again_in_that_persons_name_and_with_what_is_lent() -> None:
    registry, known = demo_rules().policy.registry, Accounts([ROLE], [LENT])
    account = account_named(AMAL, known, registry, SYSTEM.now())
    assert account is not None
    assert (account.entity, account.addresses, set(account.delegated)) == ("FIN", frozenset({AMAL}), {MINISTER})
    assert account_named("somebody@freemail.example", known, registry, SYSTEM.now()) is None
