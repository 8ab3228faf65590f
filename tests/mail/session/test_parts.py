"""The small parts below the sessions: DATA as it streams in, limits per node, log-ins, trace headers, strikes."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hudhud.clock import VirtualClock
from hudhud.database import Database
from hudhud.people import hash_password
from hudhud.settings import Budget, Relay
from mail import accounts, limits, trace
from mail.accounts import AccountsError, Delegation
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.limits import Limits
from mail.message import Message
from mail.node.stopping import Stop, Stops, over_budget
from mail.session.incoming import END, Incoming
from mail.session.strikes import Strikes
from mail.shelf.stored import SCHEMA, edited, number_at
from mail.verdict import Disposition, Finding, Judgement, Reply, Verdict

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
AMAL = "amal@finance.saba.example"
HASHED = hash_password("a password of the lab")


# DATA


def plainly(stream: bytes) -> tuple[bytes, bytes] | None:
    """The whole stream read at once: (content, what came behind)."""
    whole = b"\r\n" + stream
    end = whole.find(END)
    if end < 0:
        return None
    return whole[: end + 2].replace(b"\r\n.", b"\r\n")[2:], whole[end + len(END) :]


@settings(max_examples=1500)
@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\0", b"\r\n.\r\n"]), max_size=25), st.data())
def test_however_a_message_is_cut_into_chunks_it_is_read_the_same(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    incoming, at, rest = Incoming(limit=10_000, memory=8), 0, None
    while at < len(stream) and rest is None:
        step = data.draw(st.integers(1, 5))
        rest = incoming.feed(stream[at : at + step])
        at += step
    expected = plainly(stream)
    if expected is None:
        assert rest is None
    else:
        content, behind = expected
        raw = stream[: len(stream) - len(behind) - 3]
        bare = raw.count(b"\r") != raw.count(b"\r\n") or raw.count(b"\n") != raw.count(b"\r\n") or b"\0" in raw
        assert rest is not None
        assert rest + stream[at:] == behind
        assert (incoming.problem is not None) == bare
        assert bare or (incoming.data(), incoming.size) == (content, len(content))
    incoming.close()


def test_a_large_message_lies_in_a_file_without_a_name(tmp_path: Path) -> None:
    incoming = Incoming(limit=10**6, memory=1000, folder=tmp_path)
    content = b"0123456789\r\n" * 10_000
    for at in range(0, len(content), 777):
        incoming.feed(content[at : at + 777])
    assert list(tmp_path.iterdir()) == []
    assert incoming.feed(b".\r\nQUIT\r\n") == b"QUIT\r\n"
    assert incoming.data() == content
    incoming.close()


def test_reading_costs_grow_with_the_size_only() -> None:
    for block in (b"\r\n" * 32_768, b"a" * 65_536, b".\r\r" * 20_000):
        incoming, began = Incoming(limit=2**26, memory=2**18), time.process_time()
        for _ in range(256):  # 16 MiB
            incoming.feed(block)
        assert time.process_time() - began < 2
        incoming.close()


# limits


def test_a_bucket_is_shared_by_workers_fills_with_time_and_outlives_a_restart(tmp_path: Path) -> None:
    clock, relay = VirtualClock(NOW), Relay(messages_per_minute_per_account=3)
    one, two = (Limits(tmp_path / "limits", relay, worker=n, clock=clock) for n in (0, 1))
    taken = [limit.take(limits.MESSAGES_ACCOUNT, AMAL) for limit in (one, two, one, two)]
    assert taken == [True, True, True, False]
    assert one.take(limits.MESSAGES_ACCOUNT, "other@finance.saba.example")
    one.close()
    again = Limits(tmp_path / "limits", relay, worker=0, clock=clock)
    assert not again.take(limits.MESSAGES_ACCOUNT, AMAL)
    asyncio.run(clock.advance(20))
    assert again.take(limits.MESSAGES_ACCOUNT, AMAL)
    assert not two.take(limits.MESSAGES_ACCOUNT, AMAL)
    assert two.counters()[limits.MESSAGES_ACCOUNT] == 3


def test_a_clock_that_goes_back_gives_nothing(tmp_path: Path) -> None:
    relay = Relay(messages_per_minute_per_address=1)
    with Limits(tmp_path / "limits", relay, worker=0, clock=VirtualClock(NOW)) as first:
        assert first.take(limits.MESSAGES_ADDRESS, "192.0.2.1")
    with Limits(tmp_path / "limits", relay, worker=0, clock=VirtualClock(NOW - timedelta(days=3))) as earlier:
        assert not earlier.take(limits.MESSAGES_ADDRESS, "192.0.2.1")


def test_sessions_are_counted_over_workers_and_forgotten_with_a_dead_one(tmp_path: Path) -> None:
    relay = Relay(max_sessions=4, max_sessions_per_address=2, workers=2)
    one, two = (Limits(tmp_path / "limits", relay, worker=n) for n in (0, 1))
    assert [one.enter("192.0.2.1"), two.enter("192.0.2.1")] == [None, None]
    assert one.enter("192.0.2.1") == limits.SESSIONS_ADDRESS
    assert [one.enter("192.0.2.2"), two.enter("2001:db8::1"), two.enter("192.0.2.3")] == [None, None, limits.SESSIONS]
    assert one.enter("2001:db8::2") == limits.SESSIONS
    two.leave("192.0.2.1")
    assert one.sessions() == 3
    again = Limits(tmp_path / "limits", relay, worker=0)  # the first one died
    assert again.sessions() == 1


def test_one_site_is_one_address() -> None:
    assert limits.network_of("2001:db8::1") == limits.network_of("2001:db8::ffff:1")
    assert limits.network_of("2001:db8::1") != limits.network_of("2001:db8:0:1::1")
    assert limits.network_of("::ffff:192.0.2.1") == "192.0.2.1"


def test_a_file_that_is_not_ours_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "limits").write_bytes(b"something else")
    with Limits(tmp_path / "limits", Relay(), worker=0) as fresh:
        assert fresh.take(limits.MESSAGES_ACCOUNT, AMAL)


# accounts and log-ins


def test_accounts_survive_writing_and_reading(tmp_path: Path) -> None:
    rows = [
        accounts.row("Amal@FINANCE.saba.example", "FIN", 'Amal "the" Haddad\\', HASHED),
        accounts.row("أمل@مالية.saba.example", "FIN", "أمل", HASHED, language="en"),
    ]
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    given = Delegation(address="diwan@finance.saba.example", to=AMAL, owner="yusuf@finance.saba.example", ends=ends)
    accounts.write(tmp_path / "accounts.toml", rows, [given])
    assert (tmp_path / "accounts.toml").stat().st_mode & 0o777 == 0o600
    found = accounts.load(tmp_path / "accounts.toml")
    assert list(found) == rows
    row = found.find("AMAL@finance.saba.example")
    assert row is not None
    assert found.account(row, NOW).delegated == {"diwan@finance.saba.example": "yusuf@finance.saba.example"}
    assert found.account(row, ends).delegated == {}
    assert found.find("أمل@xn--mgbe4fc1a.saba.example") == rows[1]
    assert found.language("nobody@x.example") == "ar"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[account."no address"]\nentity = "X"\n', "accounts.toml:1"),
        (
            '[account."a@b.example"]\nentity = "X"\naliases = ["c@d.example"]\n[account."c@d.example"]\nentity = "Y"',
            ":4",
        ),
        ('[account."a@b.example"]\nentity = "X"\nshell = "sh"\n', ":3"),
        ('[[delegation]]\naddress = "a@b.example"\nto = "x@y.example"\nowner = "o@b.example"\nends = 2027-01-01', ":5"),
    ],
)
def test_a_mistake_in_accounts_is_named_with_its_line(text: str, place: str) -> None:
    with pytest.raises(AccountsError) as wrong:
        accounts.parse(text.encode())
    assert place in str(wrong.value)


def test_a_message_that_was_judged_when_the_worker_died_gets_a_strike(tmp_path: Path) -> None:
    sha256 = "ab" * 32
    left = []
    with Limits(tmp_path / "limits", Relay(), worker=0) as shared:
        for _ in range(2):
            dying = Strikes(tmp_path / "strikes", shared)
            assert not dying.given_up(sha256)
            left.append(dying.judging(sha256))
            left[-1].__enter__()  # and never leaves
        again = Strikes(tmp_path / "strikes", shared)
        assert again.given_up(sha256)
        with again.judging("cd" * 32):
            pass
        assert not Strikes(tmp_path / "strikes", shared).given_up("cd" * 32)


# trace


def message(data: bytes, listener: str = "mx", smtputf8: bool = False) -> Message:
    client = Client("198.51.100.25", 4711, "mx.freemail.example", "TLSv1.3", listener)  # type: ignore[arg-type]
    to = Recipient(parse_path(AMAL.encode(), smtputf8=True))
    sender = parse_path(b"noor@freemail.example", smtputf8=True)
    return Message.read(Envelope(sender, (to,), client, None, NOW, smtputf8=smtputf8), "0-7H3K9QX2M4", data)


def judged(disposition: Disposition, reason: str = "from-abroad") -> Judgement:
    finding = Finding("inbound", "H-IN-01", "1", disposition, reason)
    return Judgement((Verdict(AMAL.encode(), disposition, (finding,)),), Reply(250, "2.0.0", "ok"), (finding,))


def test_our_header_says_who_gave_it_how_and_when() -> None:
    above = trace.headers(
        message(b"").envelope, "0-7H3K9QX2M4", judged(Disposition.TAG), hostname="mx.relay.saba.example"
    )
    assert above == (
        b"Received: from mx.freemail.example ([198.51.100.25])\r\n\tby mx.relay.saba.example (Hudhud) with ESMTPS\r\n"
        b"\t(using TLSv1.3)\r\n\tid 0-7H3K9QX2M4\r\n\tfor <amal@finance.saba.example>;\r\n"
        b"\tMon, 23 Nov 2026 08:00:00 +0000\r\nX-Hudhud-Id: 0-7H3K9QX2M4 by=mx.relay.saba.example\r\n"
        b"X-Hudhud-Rules: H-IN-01\r\n"
    )


def test_a_client_cannot_write_a_header_by_its_name() -> None:
    client = Client("::1", 1, "x\r\nBcc: y (evil) é", None, "mx")
    envelope = Envelope(parse_path(b"", smtputf8=False), (), client, None, NOW)
    above = trace.received(envelope, "0-7H3K9QX2M4", "mx.relay.saba.example")
    assert above.startswith(b"Received: from x__Bcc:_y__evil___ ([IPv6:::1])\r\n\tby ")


def test_claims_in_our_name_and_inbound_return_paths_give_way_and_nothing_else() -> None:
    keep = (
        b"Authentication-Results: other.example; spf=pass\r\n", b"From: a@b.example\r\n", b"Subject: =?utf-8?q?x?=\r\n",
        b"DKIM-Signature: v=1\r\n", b"\r\nAuthentication-Results: mx.relay.saba.example; in the body\r\n",
    )  # fmt: skip
    drop = (
        b"Return-Path: <x@y.example>\r\n", b"Authentication-Results: mx.relay.saba.example; spf=pass\r\n",
        b'authentication-results:\r\n (comment "x")\r\n "MX.relay.saba.example" 1;\r\n dkim=pass\r\n',
        b"AUTHENTICATION-RESULTS: mx.relay.saba.example.; none\r\n"
        b"Authentication-Results: (a (b\\)) c) mx.relay.saba.example(d); dkim=pass\r\n"
        b"Authentication-Results: " + b"(" * 9000 + b")" * 9000 + b" mx.relay.saba.example; dkim=pass\r\n",
    )  # fmt: skip
    data = drop[0] + keep[0] + drop[1] + keep[1] + drop[2] + keep[2] + drop[3] + keep[3] + keep[4]
    found = trace.edits(message(data), judged(Disposition.TAG), "mx.relay.saba.example")
    assert edited(data, found) == b"".join(keep)
    submitted = trace.edits(message(data, "submission"), judged(Disposition.ACCEPT), "mx.relay.saba.example")
    assert edited(data, submitted) == drop[0] + b"".join(keep)


@pytest.mark.parametrize(
    ("header", "tagged"),
    [(b"", True), (b"DKIM-Signature: v=1\r\n", False), (b"Content-Type: multipart/signed; x\r\n", False)],
)
def test_the_subject_is_tagged_only_where_no_signature_breaks_by_it(header: bytes, tagged: bool) -> None:
    data = header + b"Subject:  Hello\r\n World\r\nSubject: second\r\n\r\nbody\r\n"
    changed = edited(data, trace.edits(message(data), judged(Disposition.TAG), "mx.relay.saba.example"))
    assert changed == (data.replace(b"Hello", b"[EXTERNAL] Hello") if tagged else data)
    assert trace.edits(message(data), judged(Disposition.HOLD), "mx.relay.saba.example") == ()


# rules that stop themselves


def outcomes(path: Path, held: list[tuple[str, ...]]) -> None:
    """A shard with messages that these rules held, oldest first."""
    shard = Database(path, SCHEMA)
    for number, rules in enumerate(held):
        values = number_at(NOW) + number, "mail"
        shard.commit_now(
            lambda c, v=values, r=rules: c.execute(
                "INSERT INTO messages(number, kind, received, sender, account, entity, listener, bounce, size, sha256,"
                " message_id, held_by, envelope, judgement, trace, edits, acts)"
                " VALUES (?, ?, 0, x'', '', '', 'mx', 0, 0, '', '', ?, x'', x'', x'', x'', x'')",
                (*v, json.dumps(r)),
            )
        )
    shard.close()


def test_the_twenty_first_of_a_thousand_is_one_too_many_over_all_shards(tmp_path: Path) -> None:
    paths = [tmp_path / "shard-0.db", tmp_path / "shard-1.db"]
    outcomes(paths[0], [("HY-1",)] * 10 + [("H-NAT-02", "HY-2")] * 30)
    outcomes(paths[1], [("HY-1",)] * 11 + [()] * 20)
    versions = {"HY-1": "1", "HY-2": "1"}
    assert over_budget(paths, Budget(), versions, {}) == {"HY-1": 21, "HY-2": 30}
    assert over_budget(paths[:1], Budget(), versions, {}) == {"HY-2": 30}
    later = {"HY-1": number_at(NOW) + 1, "HY-2": number_at(NOW + timedelta(days=1))}
    assert over_budget(paths, Budget(), versions, later) == {}
    assert over_budget([tmp_path / "gone.db"], Budget(), versions, {}) == {}


def test_a_stop_is_the_nodes_and_ends_with_another_version_or_by_a_person(tmp_path: Path) -> None:
    mine, other = Stops(tmp_path), Stops(tmp_path)
    assert mine.stop("HY-1", Stop("1", "2026-11-23T08:00:00.000000Z", 21, 1000))
    assert not other.stop("HY-1", Stop("1", "2026-11-23T08:00:01.000000Z", 22, 1000))
    assert list(other.stopped) == ["HY-1"]
    assert other.changed({"HY-1": "1"}) == []
    assert other.changed({"HY-1": "2"}) == ["HY-1"]
    assert other.changed({}) == ["HY-1"]
    assert other.let_run("HY-1", NOW)
    assert not other.let_run("HY-1", NOW)
    assert mine.refresh()
    assert mine.since() == {"HY-1": number_at(NOW)}
    (tmp_path / "stopped.json").write_text("{")
    assert not Stops(tmp_path).stopped
