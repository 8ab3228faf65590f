"""The client side of SMTP and LMTP against real sockets: bytes, replies, breaks, TLS, hostile next hops."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from hudhud.settings import Delivery as Limits
from mail.carry.parcel import Addressee, Parcel
from mail.carry.pool import tls_contexts
from mail.delivery import Delivery, blocks, dot_stuffed
from mail.route import Hop, Target

HEAD = b"From: a@finance.saba.example\r\nSubject: x\r\n\r\n"
LIMITS = Limits(reply_timeout_s=2.0, connect_timeout_s=2.0, idle_s=1.0)


def parcel(content: bytes = HEAD + b"hello\r\n", *recipients: bytes, utf8: bool = False) -> Parcel:
    to = tuple(Addressee(one) for one in recipients or (b"b@health.saba.example",))
    return Parcel(b"a@finance.saba.example", to, content, utf8=utf8)


@pytest.fixture
async def delivery():
    made = Delivery(LIMITS, "mx.relay.saba.example", tls=tls_contexts())
    yield made
    await made.close()


STRANGE = {
    "dots": b".\r\n..\r\n.x\r\n...\r\n.\r\n",
    "8-bit": bytes(range(128, 256)) + b"\r\n",
    "trailing blanks": b"a  \t\r\n \r\n\t\r\n\r\n\r\n",
    "long line": b"y" * 200_000 + b"\r\n",
    "many lines": b"\r\n" * 50_000,
    "big": b"0123456789.\r\n" * 200_000,
    "control bytes": bytes(b for b in range(1, 32) if b not in b"\r\n") + b"\x7f\r\n",
}


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE.keys())
@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
async def test_what_arrives_is_byte_for_byte_what_was_sent(sinks, delivery, body, lmtp) -> None:
    sink = await sinks(lmtp=lmtp)
    (attempt,) = await delivery.deliver(parcel(HEAD + body), sink.hop())
    assert attempt.delivered
    assert sink.messages[0].content == HEAD + body


async def test_real_mails_arrive_byte_for_byte(sinks, delivery, real_mails) -> None:
    sink = await sinks()
    for content in real_mails:
        (attempt,) = await delivery.deliver(parcel(content), sink.hop())
        assert attempt.delivered, attempt
    assert [m.content for m in sink.messages] == real_mails
    assert sink.connections == -(-len(real_mails) // LIMITS.messages_per_connection)


async def test_every_recipient_has_an_outcome_of_its_own(sinks, delivery) -> None:
    sink = await sinks(answers={"RCPT TO:<no": "550 5.1.1 unknown", "RCPT TO:<later": "450 4.2.1 busy"})
    no, yes, later, also = await delivery.deliver(
        parcel(HEAD, b"no@h.example", b"yes@h.example", b"later@h.example", b"also@h.example"), sink.hop()
    )
    assert (no.delivered, no.permanent, no.reply, no.status) == (False, True, "550 5.1.1 unknown", "5.1.1")
    assert (later.delivered, later.permanent, later.status) == (False, False, "4.2.1")
    assert yes.delivered
    assert also.delivered
    assert [r.split(b">")[0] for r in sink.messages[0].rcpts] == [b"RCPT TO:<yes@h.example", b"RCPT TO:<also@h.example"]


async def test_lmtp_gives_each_recipient_its_own_final_reply(sinks, delivery) -> None:
    sink = await sinks(lmtp=True, answers={"DATA-END RCPT TO:<full": "452 4.2.2 mailbox full"})
    full, fine = await delivery.deliver(parcel(HEAD, b"full@h.example", b"fine@h.example"), sink.hop())
    assert (full.delivered, full.permanent, full.status) == (False, False, "4.2.2")
    assert fine.delivered
    assert fine.final


@pytest.mark.parametrize("offers", [("PIPELINING",), ()], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    ("answers", "permanent", "status"),
    [
        ({"MAIL": "550 5.7.1 not you"}, True, "5.7.1"),
        ({"MAIL": "451 4.3.0 wait"}, False, "4.3.0"),
        ({"RCPT": "550 5.1.1 unknown"}, True, "5.1.1"),
        ({"RCPT": "421 4.3.2 going down"}, False, "4.3.2"),
        ({"DATA": "554 5.7.1 no content"}, True, "5.7.1"),
        ({"RCPT": "550 5.1.1 unknown", "DATA": "354 go on all the same"}, True, "5.1.1"),
        ({"DATA-END": "552 5.3.4 too big"}, True, "5.3.4"),
        ({"DATA-END": "451 4.7.1 greylisted"}, False, "4.7.1"),
        ({"DATA-END": "250-2.0.0 taken\r\n250 as 42"}, None, "2.0.0"),
        ({"DATA-END": "999 what"}, False, "4.4.2"),
        ({"MAIL": "250-a\r\n550 b"}, False, "4.4.1"),
    ],
)
async def test_what_the_next_hop_answers_is_the_outcome_and_the_connection_goes_on(
    sinks, delivery, offers, answers, permanent, status
) -> None:
    sink = await sinks(offers=offers, answers=dict(answers))
    (attempt,) = await delivery.deliver(parcel(), sink.hop())
    assert attempt.delivered == (permanent is None)
    assert attempt.permanent == bool(permanent)
    assert attempt.status[0] == status[0]
    sink.answers.clear()
    (attempt,) = await delivery.deliver(parcel(), sink.hop())
    assert attempt.delivered
    assert sink.messages[-1].content == HEAD + b"hello\r\n"


@pytest.mark.parametrize("where", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DATA-END"])
async def test_a_break_anywhere_is_a_temporary_outcome_and_never_raises(sinks, delivery, where) -> None:
    sink = await sinks(break_at=where, answers={"GREETING": "554 5.3.2 closed"} if where == "GREETING" else {})
    (attempt,) = await delivery.deliver(parcel(), sink.hop())
    assert not attempt.delivered
    assert not attempt.permanent
    assert attempt.reached == (where in ("DATA-END",))


@pytest.mark.parametrize(
    "words",
    [
        b"",  # silence
        b"220 " + b"x" * 10_000,
        b"220-x\r\n" * 100_000,
        b"\xff\xfe\x00\r\n",
        b"220 a\r\n250 b\r\n250 c\r\n250 d\r\n" * 1000,
        b"199 no such class\r\n",
        b"220-a\r\n250 b\r\n",
        os.urandom(100_000),
    ],
    ids=range(8),
)
async def test_a_hostile_next_hop_costs_its_own_time_only(words) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(words)
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hop = Hop("smtp:hostile", "hostile", "smtp", "none", (Target("hostile", "127.0.0.1", port),))
    hurried = Delivery(Limits(reply_timeout_s=0.3, connect_timeout_s=1.0, max_reply_bytes=10_000), "relay.example")
    started = time.process_time()
    (attempt,) = await hurried.deliver(parcel(), hop)
    assert not attempt.delivered
    assert not attempt.permanent
    assert attempt.reply.isprintable()
    assert time.process_time() - started < 1.0
    await hurried.close()
    server.close()


async def test_replies_are_safe_to_show(sinks, delivery) -> None:
    sink = await sinks(answers={"RCPT": "550 5.1.1 \x1b[31mred\u202e\x07 " + "x" * 3000})
    (attempt,) = await delivery.deliver(parcel(), sink.hop())
    assert attempt.reply.isprintable()
    assert len(attempt.reply) <= 1000


@pytest.mark.parametrize(
    "content",
    [
        HEAD + b"a\nb\r\n",
        HEAD + b"a\rb\r\n",
        HEAD + b"\n.\r\nMAIL FROM:<x@y>\r\n",
        HEAD + b"\r.\r\n",
        HEAD + b"\r\n.\n",
        HEAD + b"\n.\n",
        HEAD + b"\r.\r",
        HEAD + b"x\0y\r\n",
        HEAD + b"no end",
    ],
)
async def test_bare_line_ends_and_nul_never_leave(sinks, delivery, content) -> None:
    sink = await sinks()
    (attempt,) = await delivery.deliver(parcel(content), sink.hop())
    assert (attempt.delivered, attempt.permanent, attempt.stage) == (False, True, "local")
    assert sink.connections == 0


@pytest.mark.parametrize(
    "address", [b"a@b>\r\nRCPT TO:<evil@x", b"a@b> NOTIFY=NEVER", b"a\n@b", b"a\0@b", b'"a@b', b"a b@c", b"<a@b"]
)
async def test_an_address_cannot_carry_a_command(sinks, delivery, address) -> None:
    sink = await sinks()
    for one in (parcel(HEAD, address), Parcel(address, (Addressee(b"a@b"),), HEAD)):
        (attempt,) = await delivery.deliver(one, sink.hop())
        assert (attempt.delivered, attempt.permanent) == (False, True)
    assert sink.connections == 0


async def test_addresses_are_sent_byte_for_byte(sinks, delivery) -> None:
    sink = await sinks()
    raw = [b'"a b>c"@h.example', b'"q\\"x"@h.example', "أمل@مالية.saba.example".encode(), b"MiXeD+tag@H.Example"]
    await delivery.deliver(parcel(HEAD, *raw, utf8=True), sink.hop())
    assert [r[len(b"RCPT TO:<") : -1] for r in sink.messages[0].rcpts] == raw
    assert sink.messages[0].mail.endswith(b" SMTPUTF8")


@pytest.mark.parametrize(
    ("offers", "more", "status"),
    [
        (("SIZE 10",), {}, "5.3.4"),
        (("8BITMIME",), {"utf8": True}, "5.6.7"),
        ((), {"content": HEAD + b"\xff\r\n"}, "5.6.3"),
    ],
)
async def test_what_the_next_hop_cannot_take_fails_with_the_reason(sinks, delivery, offers, more, status) -> None:
    sink = await sinks(offers=offers)
    (attempt,) = await delivery.deliver(parcel(**{"content": HEAD, **more}), sink.hop())
    assert (attempt.delivered, attempt.permanent, attempt.status) == (False, True, status)
    assert not sink.messages


async def test_dsn_parameters_go_on_where_they_are_offered(sinks, delivery) -> None:
    asked = Parcel(
        b"a@f.example",
        (Addressee(b"b@h.example", "SUCCESS,FAILURE", "rfc822;B+2Bx@h.example"),),
        HEAD,
        ret="HDRS",
        envid="QQ314159",
    )
    sink = await sinks()
    (attempt,) = await delivery.deliver(asked, sink.hop())
    assert sink.messages[0].mail == b"MAIL FROM:<a@f.example> SIZE=%d RET=HDRS ENVID=QQ314159" % len(HEAD)
    assert sink.messages[0].rcpts == [b"RCPT TO:<b@h.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;B+2Bx@h.example"]
    assert attempt.handed
    plain = await sinks(offers=())
    (attempt,) = await delivery.deliver(asked, plain.hop())
    assert plain.messages[0].rcpts == [b"RCPT TO:<b@h.example>"]
    assert not attempt.handed


async def test_a_connection_serves_many_messages_and_ends_with_quit(sinks, delivery) -> None:
    sink = await sinks()
    for _ in range(5):
        await delivery.deliver(parcel(), sink.hop())
    assert sink.connections == 1
    await delivery.close()
    await asyncio.sleep(0.05)
    assert sink.commands[-1] == b"QUIT"
    assert sink.open_now == 0


async def test_an_old_connection_that_was_closed_is_replaced_without_an_attempt(sinks, delivery) -> None:
    sink = await sinks()
    await delivery.deliver(parcel(), sink.hop())
    sink.break_at = "MAIL"  # the connection breaks under the next message
    breaking = asyncio.get_running_loop().call_later(0.05, setattr, sink, "break_at", "")
    (attempt,) = await delivery.deliver(parcel(), sink.hop())
    breaking.cancel()
    assert attempt.delivered or sink.connections == 2


async def test_the_next_address_is_tried_where_one_does_not_answer(sinks, delivery) -> None:
    dead, closed, alive = await sinks(), await sinks(answers={"GREETING": "554 no service"}), await sinks()
    await dead.stop()
    await asyncio.sleep(0)
    targets = tuple(Target(f"mx{n}", "127.0.0.1", sink.port) for n, sink in enumerate((dead, closed, alive)))
    (attempt,) = await delivery.deliver(parcel(), alive.hop(targets=targets))
    assert attempt.delivered
    assert attempt.host == "mx2 (127.0.0.1)"


async def test_no_address_answers_is_temporary_and_says_which(sinks, delivery) -> None:
    dead = await sinks()
    await dead.stop()
    (attempt,) = await delivery.deliver(parcel(), dead.hop())
    assert (attempt.delivered, attempt.permanent, attempt.reached) == (False, False, False)
    assert "localhost" in attempt.reply


def tls_pair(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def test_tls_is_used_where_it_may_be_and_verified_where_it_must(sinks) -> None:
    server, client = tls_pair("localhost")
    sink = await sinks(context=server)
    delivery = Delivery(LIMITS, "relay.example", tls={"may": tls_contexts()["may"], "verify": client})
    for policy, tls in (("none", ""), ("may", "TLSv1.3"), ("verify", "TLSv1.3")):
        (attempt,) = await delivery.deliver(parcel(), sink.hop(tls=policy))
        assert attempt.delivered, attempt
        assert attempt.tls == tls
    await delivery.close()
    assert sink.tls_sessions == 2


async def test_a_wrong_certificate_or_no_starttls_stops_verify_but_not_may(sinks) -> None:
    server, client = tls_pair("other.example")
    wrong, plain = await sinks(context=server), await sinks()
    delivery = Delivery(LIMITS, "relay.example", tls={"may": tls_contexts()["may"], "verify": client})
    for sink in (wrong, plain):
        (attempt,) = await delivery.deliver(parcel(), sink.hop(tls="verify"))
        assert not attempt.delivered
        assert not attempt.permanent
        assert not sink.messages
        (attempt,) = await delivery.deliver(parcel(), sink.hop(tls="may"))
        assert attempt.delivered
    await delivery.close()


async def test_words_before_the_handshake_are_not_believed(sinks) -> None:
    server, client = tls_pair("localhost")
    sink = await sinks(context=server, answers={"STARTTLS": "220 go on\r\n250 2.0.0 injected"})
    delivery = Delivery(LIMITS, "relay.example", tls={"verify": client})
    (attempt,) = await delivery.deliver(parcel(), sink.hop(tls="verify"))
    assert not attempt.delivered
    assert "injected" in attempt.reply
    await delivery.close()


def test_dots_are_stuffed_only_where_a_line_begins() -> None:
    assert dot_stuffed(b".a\r\n.\r\nb.c\r\n..\r\n") == b"..a\r\n..\r\nb.c\r\n...\r\n"


@given(
    st.lists(st.sampled_from([b".", b"\r\n", b"a", b"\r\n.", b"aaaa"]), max_size=80).map(b"".join),
    st.integers(1, 20),
)
def test_blocks_are_together_the_stuffed_content_wherever_they_are_cut(content: bytes, size: int) -> None:
    assert b"".join(blocks(content, size)) == dot_stuffed(content)


async def test_no_known_end_of_data_trick_leaves(sinks, delivery, shared_data) -> None:
    rows = json.loads((shared_data / "mail" / "smtp" / "smuggling" / "eod-sequences.json").read_text())
    tricks = [text.encode("latin-1") for text in dict.fromkeys((*rows["inbound"], *rows["outbound"]))]
    sink = await sinks()
    for trick in tricks:
        evil = HEAD + b"first" + trick + b"MAIL FROM:<x@y>\r\nRCPT TO:<z@y>\r\nDATA\r\nsecond\r\n"
        (attempt,) = await delivery.deliver(parcel(evil), sink.hop())
        assert (attempt.delivered, attempt.permanent) == (False, True)
    assert sink.connections == 0
