"""Every limit of the sessions: one node counts once over its workers, says what was hit, and remembers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hudhud.clock import VirtualClock
from hudhud.settings import Relay
from mail import limits
from mail.limits import Limits
from mail.session import answers
from mail.tally import COUNTERS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
MESSAGE = b"From: <noor@freemail.example>\r\nTo: <amal@finance.saba.example>\r\nSubject: hi\r\n\r\nHello.\r\n"
SETTINGS = {  # the setting behind each bucket
    limits.MESSAGES_ACCOUNT: "messages_per_minute_per_account",
    limits.MESSAGES_ADDRESS: "messages_per_minute_per_address",
    limits.MESSAGES_NETWORK: "messages_per_minute_per_network",
    limits.MESSAGES_RECIPIENT: "messages_per_minute_per_recipient",
    limits.RECIPIENTS_ACCOUNT: "recipients_per_minute_per_account",
    limits.CONNECTIONS_ADDRESS: "connections_per_minute_per_address",
    limits.CONNECTIONS_NETWORK: "connections_per_minute_per_network",
    limits.AUTH_ACCOUNT: "auth_failures_per_hour",
    limits.AUTH_ADDRESS: "auth_failures_per_hour",
    limits.NOTICES: "notices_per_hour_per_account",
}


def two(folder: Path, clock: VirtualClock | None = None, **changes: int) -> tuple[Limits, Limits]:
    """Two workers of one node."""
    relay = Relay(workers=2, **changes)  # type: ignore[arg-type]  # whole numbers fit every field that is given
    first, second = (Limits(folder / "limits", relay, worker=n, clock=clock or VirtualClock(NOW)) for n in (0, 1))
    return first, second


@pytest.mark.parametrize("name", SETTINGS)
def test_every_rate_is_the_nodes_is_counted_and_outlives_a_restart(tmp_path: Path, name: str) -> None:
    clock = VirtualClock(NOW)
    one, other = two(tmp_path, clock, **{SETTINGS[name]: 3})
    assert [one.take(name, "k"), other.take(name, "k"), one.take(name, "k"), other.take(name, "k")] == [
        *(True, True, True, False)
    ]
    assert one.take(name, "another")
    one.close()
    again, _ = two(tmp_path, clock, **{SETTINGS[name]: 3})
    assert not again.take(name, "k")
    assert again.counters()[name] == other.counters()[name] == 2
    asyncio.run(clock.advance(limits.rates(Relay())[name].seconds / 3))
    assert again.take(name, "k")


def test_no_name_ever_changes_its_place_in_the_file() -> None:
    assert limits.NAMES[:20] == (
        "messages_per_minute_per_account", "messages_per_minute_per_address", "recipients_per_minute_per_account",
        "auth_failures_per_hour_account", "auth_failures_per_hour_address", "max_sessions", "max_sessions_per_address",
        "max_recipients", "max_commands", "max_junk_commands", "max_message_bytes", "command_timeout_s",
        "data_timeout_s", "notices_per_hour_per_account", "faults_per_message", "messages_per_minute_per_network",
        "messages_per_minute_per_recipient", "connections_per_minute_per_address",
        "connections_per_minute_per_network", "max_sessions_per_network",
    )  # fmt: skip
    assert len(set(limits.NAMES)) == len(limits.NAMES) <= COUNTERS


def test_what_is_asked_of_several_buckets_is_taken_from_all_or_from_none(tmp_path: Path) -> None:
    one, other = two(tmp_path, messages_per_minute_per_address=5, messages_per_minute_per_network=2)
    wanted = (limits.MESSAGES_ADDRESS, "192.0.2.1"), (limits.MESSAGES_NETWORK, "192.0.2.0/24")
    assert [one.take_each(*wanted), other.take_each(*wanted), one.take_each(*wanted)] == [
        *(None, None, limits.MESSAGES_NETWORK)
    ]
    assert one.peek(*wanted[0]) == 3


def test_networks_are_slash_24_and_slash_48() -> None:
    assert limits.wide_network_of("192.0.2.77") == limits.wide_network_of("::ffff:192.0.2.1") == "192.0.2.0/24"
    assert limits.wide_network_of("2001:db8:1:2::3") == limits.wide_network_of("2001:db8:1:ffff::") == "2001:db8:1::/48"
    assert limits.network_of("2001:db8:1:2::3") == "2001:db8:1:2::/64"
    assert limits.network_of("nobody") == "nobody"


def test_sessions_of_a_network_are_capped_over_workers(tmp_path: Path) -> None:
    one, other = two(tmp_path, max_sessions_per_network=2, max_sessions_per_address=2)
    assert [one.enter("192.0.2.1"), other.enter("192.0.2.2")] == [None, None]
    assert [one.enter("192.0.2.3"), one.enter("198.51.100.1")] == [limits.SESSIONS_NETWORK, None]
    other.leave("192.0.2.2")
    assert one.enter("192.0.2.3") is None
    assert [one.enter("2001:db8::1"), other.enter("2001:db8:0:1::1")] == [None, None]
    assert one.enter("2001:db8:0:2::1") == limits.SESSIONS_NETWORK


def test_connections_in_a_minute_are_capped_by_address_and_by_network(tmp_path: Path) -> None:
    clock = VirtualClock(NOW)
    one, other = two(
        tmp_path, clock, connections_per_minute_per_address=2, connections_per_minute_per_network=3,
    )  # fmt: skip
    for worker in (one, other):
        assert worker.enter("192.0.2.1") is None
        worker.leave("192.0.2.1")
    assert one.enter("192.0.2.1") == limits.CONNECTIONS_ADDRESS
    assert [one.enter("192.0.2.2"), other.enter("192.0.2.3")] == [None, limits.CONNECTIONS_NETWORK]
    assert one.sessions() == 1  # who was refused is not counted in
    asyncio.run(clock.advance(30))
    assert other.enter("192.0.2.1") is None


def test_a_clock_that_was_far_ahead_locks_nobody_out_for_long(tmp_path: Path) -> None:
    ahead, _ = two(tmp_path, VirtualClock(NOW + timedelta(days=400)), messages_per_minute_per_address=60)
    assert ahead.take(limits.MESSAGES_ADDRESS, "k", 60)
    clock = VirtualClock(NOW)
    right, _ = two(tmp_path, clock, messages_per_minute_per_address=60)
    assert not right.take(limits.MESSAGES_ADDRESS, "k")
    asyncio.run(clock.advance(1.1))
    assert right.take(limits.MESSAGES_ADDRESS, "k")


def test_every_reply_of_a_limit_says_which_and_is_short(tmp_path: Path) -> None:
    for name in (limits.SESSIONS, limits.SESSIONS_ADDRESS, limits.SESSIONS_NETWORK, limits.CONNECTIONS_ADDRESS):
        assert answers.full_house(name).code == 421
        assert name in answers.full_house(name).text
    for name in (limits.MESSAGES_ACCOUNT, limits.MESSAGES_ADDRESS, limits.MESSAGES_NETWORK, limits.MESSAGES_RECIPIENT):
        assert answers.slower(name).code == 450
        assert name in answers.slower(name).text


async def test_a_recipient_who_gets_too_much_is_spared_and_others_are_not(start: Any) -> None:
    async with start(messages_per_minute_per_recipient=2) as running:
        talk = await running.hello()
        for _ in range(2):
            await talk.envelope(NOOR, AMAL)
            assert (await talk.data(MESSAGE[:-2])).startswith("250")
        codes = await talk.envelope(NOOR, AMAL.upper(), '"amal"@finance.saba.example', SALIM)
        assert [code[:9] for code in codes] == ["250 2.1.0", "450 4.2.1", "450 4.2.1", "250 2.1.5"]
        assert limits.MESSAGES_RECIPIENT in codes[1]
        assert (await talk.data(MESSAGE[:-2])).startswith("250")
        assert running.house.limits.counters()[limits.MESSAGES_RECIPIENT] == 2


async def test_naming_a_recipient_without_a_message_costs_that_recipient_nothing(start: Any) -> None:
    async with start(messages_per_minute_per_recipient=1) as running:
        talk = await running.hello()
        for _ in range(3):
            assert (await talk.envelope(NOOR, AMAL))[1].startswith("250")
            await talk.say("RSET")


async def test_an_address_and_its_network_are_slowed_at_mail(start: Any) -> None:
    async with start(messages_per_minute_per_network=2) as running:
        talk = await running.hello()
        said = []
        for _ in range(3):
            said.append(await talk.say(f"MAIL FROM:<{NOOR}>"))
            await talk.say("RSET")
        assert [one[:9] for one in said] == ["250 2.1.0", "250 2.1.0", "450 4.7.1"]
        assert "network" in said[2]


async def test_an_account_is_slowed_at_rcpt_and_the_session_goes_on(start: Any) -> None:
    async with start(recipients_per_minute_per_account=1) as running:
        talk = await running.logged_in()
        said = await talk.envelope(AMAL, SALIM, "noor@health.saba.example")
        assert said[1].startswith("250")
        assert said[2].startswith("450 4.7.1")
        assert limits.RECIPIENTS_ACCOUNT in said[2]


async def test_connections_that_come_too_fast_hear_421_with_the_reason(start: Any) -> None:
    async with start(connections_per_minute_per_address=2) as running:
        for _ in range(2):
            talk = await running.connect()
            assert (await talk.reply()).startswith("220")
            assert (await talk.say("QUIT")).startswith("221")
        late = await running.connect()
        reply = await late.reply()
        assert reply.startswith("421 4.7.0")
        assert limits.CONNECTIONS_ADDRESS in reply
        assert await late.ended()
