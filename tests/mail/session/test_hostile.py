"""Live attacks over real sockets: a hostile session costs little memory and its own time, and smuggles nothing."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from mail.limits import AUTH_ACCOUNT, SESSIONS_ADDRESS, TIMEOUT

AMAL, NOOR = "amal@finance.saba.example", "noor@freemail.example"
MESSAGE = b"From: <noor@freemail.example>\r\nTo: <amal@finance.saba.example>\r\nSubject: hi\r\n\r\nHello.\r\n"
SMUGGLED = (
    b"MAIL FROM:<boss@finance.saba.example>\r\nRCPT TO:<amal@finance.saba.example>\r\nDATA\r\n"
    b"From: boss\r\n\r\nsmuggled\r\n"
)


def sequences(shared_data: Path) -> list[bytes]:
    """Every end-of-data variant of the public scanner, inbound and outbound."""
    table = json.loads((shared_data / "mail" / "smtp" / "smuggling" / "eod-sequences.json").read_text())
    return sorted({text.encode() for name in ("inbound", "outbound") for text in table[name]})


async def test_nothing_but_crlf_dot_crlf_ends_a_message(start: Any, shared_data: Path) -> None:
    found = sequences(shared_data)
    assert len(found) >= 9
    async with start() as running:
        for sequence in found:
            talk = await running.hello()
            await talk.envelope(NOOR, AMAL)
            await talk.say("DATA")
            talk.send(MESSAGE[:-2] + sequence + SMUGGLED + b"\r\n.\r\nQUIT\r\n")
            reply = await talk.reply()
            assert reply.startswith("554 5.6.0"), (sequence, reply)
            assert (await talk.reply()).startswith("221"), sequence
            assert await talk.ended()
        assert running.mail() == []


async def test_a_client_that_never_sends_the_right_end_is_refused_and_cut(start: Any) -> None:
    async with start(command_timeout_s=1.0) as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        await talk.say("DATA")
        talk.send(b"From: x\n\nbody\n.\n")
        assert (await talk.reply()).startswith("554 5.6.0")
        assert await talk.ended()


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\0"])
async def test_stray_octets_are_refused_wherever_they_stand(start: Any, octet: bytes) -> None:
    async with start() as running:
        for content in (octet + MESSAGE, MESSAGE[:10] + octet + MESSAGE[10:], MESSAGE + b"x" * 300_000 + octet + b"x"):
            talk = await running.hello()
            await talk.envelope(NOOR, AMAL)
            assert (await talk.data(content)).startswith("554 5.6.0")
            assert (await talk.say("NOOP")).startswith("250")
        assert running.mail() == []


async def test_commands_sent_in_clear_behind_starttls_are_forgotten(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        talk.send(b"STARTTLS\r\nMAIL FROM:<evil@freemail.example>\r\nRCPT TO:<amal@finance.saba.example>\r\n")
        assert (await talk.reply()).startswith("220")
        await talk.start_tls(running.context)
        assert (await talk.say("RCPT TO:<amal@finance.saba.example>")).startswith("503")
        assert (await talk.say("MAIL FROM:<noor@freemail.example>")).startswith("503 5.5.1 Say EHLO")
        assert "STARTTLS" not in await talk.say("EHLO x.example")


@pytest.mark.parametrize("hello", ["EHLO x.example\r\nNOOP\r\n", "HELO x.example\r\nMAIL FROM:<>\r\n"])
async def test_who_sends_on_before_hearing_the_offers_is_cut(start: Any, hello: str) -> None:
    async with start() as running:
        talk = await running.connect()
        await talk.reply()
        talk.send(hello)
        assert (await talk.reply()).startswith("554 5.5.0")
        assert await talk.ended()


async def test_who_speaks_before_the_greeting_is_noticed_and_cut(start: Any) -> None:
    async with start(proxies=("127.0.0.2",)) as running:
        for address, code in (("127.0.0.1", b"554 5.5.0"), ("127.0.0.2", b"220 ")):
            with socket.create_connection(("127.0.0.1", running.ports["mx"]), source_address=(address, 0)) as bot:
                bot.sendall(
                    b"EHLO bot.example\r\n" if code != b"220 " else b"PROXY TCP4 198.51.100.25 192.0.2.1 4 25\r\n"
                )
                bot.setblocking(False)  # all of it was there before the server looked
                said = await asyncio.get_running_loop().sock_recv(bot, 1000)
                assert said.startswith(code), said


async def test_content_sent_before_354_is_cut(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        talk.send(b"DATA\r\n" + MESSAGE + b".\r\n")
        assert (await talk.reply()).startswith("554 5.5.0")
        assert await talk.ended()
        assert running.mail() == []


@pytest.mark.parametrize("line", [b"EHLO x.example\n", b"NO\0OP\r\n", b"NOOP\rNOOP\r\n", b"\xff\xfe\r\n", b"\r\n"])
async def test_lines_that_are_no_commands_get_500(start: Any, line: bytes) -> None:
    async with start() as running:
        talk = await running.hello()
        talk.send(line)
        assert (await talk.reply()).startswith("500")


async def test_a_long_line_is_refused_and_an_endless_one_ends_the_session(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        assert (await talk.say(b"NOOP " + b"x" * 3000)).startswith("500 5.5.2")
        assert (await talk.say("NOOP")).startswith("250")
        try:
            for _ in range(200):
                talk.send(b"x" * 65_536)
                await talk.writer.drain()
        except ConnectionError:
            pass
        assert await _replies_end_with(talk, "421 4.7.0")


async def test_ten_thousand_recipients_cost_little_and_the_thousandth_is_the_last(start: Any) -> None:
    async with start(recipients_per_minute_per_account=10_000) as running:
        talk = await running.hello()
        await talk.say(f"MAIL FROM:<{NOOR}>")
        began, codes = time.process_time(), []
        for block in range(100):
            numbers = range(block * 100, block * 100 + 100)
            talk.send(b"".join(b"RCPT TO:<user%d@finance.saba.example>\r\n" % n for n in numbers))
            codes += [await talk.reply() for _ in numbers if not talk.reader.at_eof()]
        assert sum(code.startswith("250") for code in codes) == 1000
        assert codes[1000].startswith("452 4.5.3")
        assert time.process_time() - began < 20


async def test_thousands_of_commands_without_mail_end_the_session(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        talk.send(b"NOOP\r\n" * 2000)
        assert await _replies_end_with(talk, "421 4.7.0")


async def test_the_number_of_commands_in_a_session_has_an_end(start: Any) -> None:
    async with start(max_commands=20) as running:
        talk = await running.hello()
        talk.send(b"RSET\r\n" * 30)
        assert await _replies_end_with(talk, "421 4.7.0")


async def test_a_slow_command_and_a_slow_message_run_out_of_time(start: Any) -> None:
    async with start(command_timeout_s=0.4, data_timeout_s=0.8) as running:
        slow = await running.hello()
        assert await _drips(slow, b"MAIL FROM:<noor@freemail.example>")
        assert (await slow.reply()).startswith("421 4.4.2")
        slower = await running.hello()
        await slower.envelope(NOOR, AMAL)
        await slower.say("DATA")
        assert await _drips(slower, MESSAGE * 3, every=0.05)
        assert (await slower.reply()).startswith("421 4.4.2")
        assert running.house.limits.counters()[TIMEOUT] == 2
        assert running.mail() == []


async def test_millions_of_empty_lines_and_one_endless_line_stay_within_memory(start: Any) -> None:
    async with start(max_message_bytes=33 * 2**20) as running:
        for block in (b"\r\n" * 32_768, b"a" * 65_536):
            talk = await running.hello()
            await talk.envelope(NOOR, AMAL)
            await talk.say("DATA")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(700):  # 43 MiB: past the limit
                talk.send(block)
                await talk.writer.drain()
            talk.send(b"\r\n.\r\n")
            assert (await talk.reply()).startswith("552 5.3.4")
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 64 * 1024, f"{grown} KiB"
        assert running.mail() == []


async def test_a_declared_size_above_the_limit_is_refused_at_mail(start: Any) -> None:
    async with start(max_message_bytes=1000) as running:
        talk = await running.hello()
        assert (await talk.say("MAIL FROM:<noor@freemail.example> SIZE=1001")).startswith("552 5.3.4")
        assert (await talk.say("MAIL FROM:<noor@freemail.example> SIZE=1000")).startswith("250")


async def test_connections_of_one_address_and_of_the_node_are_capped(start: Any) -> None:
    async with start(max_sessions_per_address=3) as running:
        open_ones = [await running.connect() for _ in range(3)]
        for talk in open_ones:
            assert (await talk.reply()).startswith("220")
        fourth = await running.connect()
        assert (await fourth.reply()).startswith("421 4.7.0")
        assert await fourth.ended()
        assert running.house.limits.counters()[SESSIONS_ADDRESS] == 1
        assert (await open_ones[0].say("QUIT")).startswith("221")
        assert await open_ones[0].ended()
        assert (await (await running.connect()).reply()).startswith("220")


async def test_a_flood_of_messages_is_slowed_with_450(start: Any) -> None:
    async with start(messages_per_minute_per_address=3) as running:
        talk = await running.hello()
        codes = []
        for _ in range(5):
            codes.append((await talk.say(f"MAIL FROM:<{NOOR}>"))[:3])
            await talk.say("RSET")
        assert codes == ["250", "250", "250", "450", "450"]


async def test_replies_that_nobody_reads_do_not_pile_up(start: Any) -> None:
    async with start(max_commands=10**6, max_junk_commands=10**6, command_timeout_s=1.0) as running:
        talk = await running.hello()
        talk.writer.transport.pause_reading()  # type: ignore[attr-defined]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            async with asyncio.timeout(4):
                for _ in range(2000):
                    talk.send(b"VRFY x\r\n" * 2000)
                    await talk.writer.drain()
        except (TimeoutError, ConnectionError):
            pass
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


async def test_log_ins_are_offered_in_tls_only_and_end_after_three_failures(start: Any) -> None:
    async with start() as running:
        talk = await running.hello("submission")
        assert (await talk.say("AUTH PLAIN AGFtYWwAcHc=")).startswith("538 5.7.11")
        assert (await talk.say("MAIL FROM:<amal@finance.saba.example>")).startswith("530 5.7.0 Say STARTTLS")
        await talk.say("STARTTLS")
        await talk.start_tls(running.context)
        assert "AUTH PLAIN LOGIN" in await talk.say("EHLO x.example")
        assert (await talk.say("MAIL FROM:<amal@finance.saba.example>")).startswith("530 5.7.0 Log in")
        assert (await talk.say("AUTH PLAIN AGFtYWwAcHc=")).startswith("535 5.7.8")
        assert (await talk.say("AUTH PLAIN !!!")).startswith("501 5.5.2")
        assert (await talk.say("AUTH PLAIN AGFtYWwAcHc=")).startswith("535 5.7.8")
        assert (await talk.reply()).startswith("421")
        assert running.house.limits.counters()[AUTH_ACCOUNT] == 0


async def _drips(talk: Any, data: bytes, every: float = 0.02) -> bool:
    """Sends octet by octet until the server has enough of it."""
    for octet in data:
        try:
            talk.send(bytes([octet]))
            await talk.writer.drain()
        except ConnectionError:
            return True
        await asyncio.sleep(every)
        if talk.reader._buffer or talk.reader.at_eof():
            return True
    return False


async def _replies_end_with(talk: Any, code: str) -> bool:
    """Whether the session ended with that reply, or was cut so that TCP lost it with what was still on its way."""
    last = ""
    try:
        while reply := await talk.reply():
            last = reply
    except ConnectionError:
        pass
    return last.startswith(code) or last == ""
