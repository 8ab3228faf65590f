"""Live dialogs over real sockets: what is offered, taken and refused, and in which order."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from typing import Any

import pytest

from mail.verdict import Disposition, Verdict

AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
MESSAGE = (
    b"From: <noor@freemail.example>\r\nTo: <amal@finance.saba.example>\r\nSubject: hi\r\n"
    b"Message-ID: <1@freemail.example>\r\n\r\nHello.\r\n"
)
OWN = (
    b"From: <amal@finance.saba.example>\r\nTo: <salim@interior.saba.example>\r\nSubject: figures\r\n"
    b"Message-ID: <2@finance.saba.example>\r\n\r\nAttached.\r\n"
)


async def test_a_message_from_outside_is_stored_when_it_gets_its_250(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        assert [r[:3] for r in await talk.envelope(NOOR, AMAL)] == ["250", "250"]
        reply = await talk.data(MESSAGE[:-2])
        assert reply.startswith("250 2.0.0"), reply
        (stored,) = running.mail()
        assert stored["state"] == "queued"
        assert stored["id"] in reply
        assert running.spool.body(stored["id"]) == MESSAGE
        (event,) = running.events()
        assert event["event"]["action"] == "accepted"
        assert event["organization"]["id"] == "FIN"
        assert "subject" not in event["email"]


async def test_only_what_is_whole_is_offered(start: Any) -> None:
    async with start() as running:
        talk = await running.connect()
        await talk.reply()
        offers = (await talk.say("EHLO x.example")).splitlines()
        assert [line[4:] for line in offers[1:]] == [
            *("PIPELINING", f"SIZE {35 * 2**20}", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "STARTTLS"),
        ]
        helo = await talk.say("HELO x.example")
        assert helo == "250 mx.relay.saba.example"


async def test_commands_out_of_order_are_refused_and_the_session_goes_on(start: Any) -> None:
    async with start() as running:
        talk = await running.connect()
        await talk.reply()
        for line, code in (
            ("MAIL FROM:<a@b.example>", "503"),
            ("EHLO", "501"),
            ("EHLO two words", "501"),
            ("EHLO x.example", "250"),
            ("RCPT TO:<a@b.example>", "503"),
            ("DATA", "503"),
            ("MAIL FROM:<a@b.example>", "250"),
            ("MAIL FROM:<a@b.example>", "503"),
            ("DATA", "554"),
            ("RSET", "250"),
            ("RCPT TO:<a@b.example>", "503"),
            ("MAIL FROM:<noor@freemail.example> BODY=BINARYMIME", "501"),
            ("MAIL FROM:<noor@freemail.example> REQUIRETLS", "555"),
            ("MAIL FROM:<noor@@freemail.example>", "501"),
            ("MAIL FROM:<noor@freemail.example>", "250"),
            ("RCPT TO:<@relay.example:amal@finance.saba.example>", "501"),
            ("RCPT TO:<amal@[192.0.2.1]>", "501"),
            ("RCPT TO:amal@finance.saba.example", "501"),
            ("RCPT TO:<>", "501"),
            ("RCPT TO:<amal@finance.saba.example> NOTIFY=NEVER,DELAY", "501"),
            ("RCPT TO:<amal@finance.saba.example>", "250"),
            ("RCPT TO:<noor@freemail.example>", "550"),
            ("NOOP anything", "250"),
            ("VRFY amal", "252"),
            ("HELP", "214"),
            ("EXPN list", "502"),
            ("BDAT 1 LAST", "502"),
            ("AUTH PLAIN", "502"),
            ("QUIT now", "501"),
            ("QUIT", "221"),
        ):
            assert (await talk.say(line))[:3] == code, line
        assert await talk.ended()


async def test_a_client_without_extensions_is_served(start: Any) -> None:
    async with start() as running:
        talk = await running.connect()
        await talk.reply()
        await talk.say("HELO old.example")
        assert [r[:3] for r in await talk.envelope("", AMAL)] == ["250", "250"]
        assert (await talk.data(MESSAGE[:-2])).startswith("250")


async def test_postmaster_alone_is_taken_for_our_own(start: Any) -> None:
    async with start(postmaster="diwan@finance.saba.example") as running:
        talk = await running.hello()
        assert [r[:3] for r in await talk.envelope("", "PostMaster")] == ["250", "250"]
        await talk.data(MESSAGE[:-2])
        assert running.mail()[0]["recipients"][0]["address"] == "diwan@finance.saba.example"


async def test_a_pipelined_transaction_is_answered_in_order_and_may_be_followed_by_the_next(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        group = b"MAIL FROM:<noor@freemail.example>\r\nRCPT TO:<amal@finance.saba.example>\r\nRCPT TO:<x@y.example>\r\n"
        talk.send(group + b"DATA\r\n")
        codes = [(await talk.reply())[:3] for _ in range(4)]
        assert codes == ["250", "250", "550", "354"]
        talk.send(MESSAGE + b".\r\n" + group + b"RSET\r\nQUIT\r\n")
        assert [(await talk.reply())[:3] for _ in range(6)] == ["250", "250", "250", "550", "250", "221"]
        assert len(running.mail()) == 1


async def test_a_recipient_that_is_named_twice_is_served_once(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        assert [r[:3] for r in await talk.envelope(NOOR, AMAL, AMAL, AMAL)] == ["250"] * 4
        await talk.data(MESSAGE[:-2])
        assert len(running.mail()[0]["recipients"]) == 1


async def test_stuffed_dots_are_taken_off_and_every_other_byte_stays(start: Any) -> None:
    body = b"\r\n.\r\r\n"[:2] + b".dot\r\n..two\r\n. \r\n \t\r\n\xff\xfe\x80\r\n" + "لا إله".encode() + b"\r\n\r\n"
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        content = MESSAGE + body
        stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in content.split(b"\r\n"))
        assert (await talk.data(stuffed, b".\r\n")).startswith("250")
        assert running.spool.body(running.mail()[0]["id"]) == content


async def test_half_a_closed_connection_still_gets_its_answer(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        await talk.say("DATA")
        talk.send(MESSAGE + b".\r\n")
        talk.writer.write_eof()
        assert (await talk.reply()).startswith("250")
        assert len(running.mail()) == 1


async def test_eight_bits_go_on_as_8bitmime_whatever_the_client_said(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        await talk.data(MESSAGE + "نص".encode())
        assert running.spool.show(running.mail()[0]["id"])["envelope"]["body"] == "8BITMIME"


async def test_dsn_parameters_and_utf8_addresses_are_kept_as_they_were_written(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        assert (await talk.say("MAIL FROM:<نور@freemail.example>")).startswith("550 5.6.7")
        mail = "MAIL FROM:<نور@freemail.example> SMTPUTF8 RET=HDRS ENVID=Ab+2Bc BODY=8BITMIME SIZE=1000"
        assert (await talk.say(mail)).startswith("250")
        rcpt = "RCPT TO:<أمل@مالية.saba.example> NOTIFY=success,FAILURE ORCPT=rfc822;Amal+40x"
        assert (await talk.say(rcpt)).startswith("250")
        await talk.data(MESSAGE)
        shown = running.spool.show(running.mail()[0]["id"])
        assert shown["sender"] == "نور@freemail.example"
        assert shown["recipients"][0]["address"] == "أمل@مالية.saba.example"
        assert shown["recipients"][0]["notify"] == "SUCCESS,FAILURE"
        assert shown["envelope"] == {
            "body": "8BITMIME",
            "smtputf8": True,
            "ret": "HDRS",
            "envid": "Ab+2Bc",
            "requiretls": False,
        }


async def test_a_mail_program_sends_by_starttls_and_log_in(start: Any) -> None:
    async with start() as running:

        def send() -> dict[str, tuple[int, bytes]]:
            with smtplib.SMTP("localhost", running.ports["submission"], timeout=20) as client:
                client.starttls(context=running.context)
                client.login(AMAL, "a password of the lab")
                return client.sendmail(AMAL, [SALIM], OWN)

        assert await asyncio.to_thread(send) == {}
        (stored,) = running.mail()
        assert stored["account"] == AMAL
        assert stored["organization"] == "FIN"


async def test_a_mail_program_sends_by_implicit_tls(start: Any) -> None:
    async with start() as running:

        def send() -> dict[str, tuple[int, bytes]]:
            port = running.ports["submissions"]
            with smtplib.SMTP_SSL("localhost", port, timeout=20, context=running.context) as client:
                client.login(AMAL, "a password of the lab")
                return client.sendmail(AMAL, [SALIM], OWN)

        assert await asyncio.to_thread(send) == {}
        assert running.spool.show(running.mail()[0]["id"])["client"]["tls"] == "TLSv1.3"


async def test_what_an_account_may_not_send_is_refused_told_to_the_cert_and_to_its_sender(start: Any) -> None:
    async with start() as running:
        talk = await running.logged_in()
        assert [r[:3] for r in await talk.envelope(AMAL, SALIM, "x@freemail.example")] == ["250", "250", "250"]
        assert (await talk.data(OWN[:-2])).startswith("250 2.0.0 Accepted for 1 of 2 recipients")
        await talk.say("QUIT")
        await _until(lambda: running.notices() and "refused" in running.actions())
        (notice,) = running.notices()
        assert b"x@freemail.example" in notice
        assert b"H-NAT-02" in notice
        assert b"Subject: =?utf-8?" in notice
        assert b'dir=3D"rtl"' in notice
        refused = next(one for one in running.events() if one["event"]["action"] == "refused")
        assert refused["organization"]["id"] == "FIN"
        assert refused["rule"]["id"] == ["H-NAT-02"]
        assert refused["email"]["to"]["address"] == ["x@freemail.example"]


@pytest.mark.parametrize("ending", ["RSET", "QUIT", ""])
async def test_refusals_are_told_once_however_the_transaction_ends(start: Any, ending: str) -> None:
    async with start() as running:
        talk = await running.logged_in(SALIM)  # his body wants refusals in the reply
        replies = await talk.envelope(SALIM, "x@freemail.example", "y@freemail.example")
        assert [reply[:3] for reply in replies] == ["250", "550", "550"]
        if ending:
            await talk.say(ending)
        talk.close()
        await _until(lambda: bool(running.notices()))
        (notice,) = running.notices()
        assert b"x@freemail.example" in notice
        assert b"y@freemail.example" in notice
        assert running.actions() == ["refused"]


async def test_outsiders_get_no_notice(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, "x@partner.example")
        await talk.say("QUIT")
        await _until(lambda: running.actions() == ["refused"])
        assert running.notices() == []


async def test_the_whole_message_refused_at_data_is_told_too(start: Any) -> None:
    async with start() as running:
        talk = await running.logged_in()
        await talk.envelope(AMAL, SALIM)
        reply = await talk.data(b"Reply-To: <me@freemail.example>\r\n" + OWN[:-2])
        assert reply.startswith("550 5.7.1 H-LEAK-01"), reply
        assert "https://hudhud.example/r/H-LEAK-01" in reply
        await _until(lambda: bool(running.notices()))
        assert running.mail() == []
        assert running.actions() == ["refused"]


async def test_a_session_in_the_lab_may_say_where_it_comes_from(start: Any) -> None:
    async with start(proxies=("127.0.0.1",)) as running:
        talk = await running.connect()
        talk.send("PROXY TCP4 198.51.100.25 192.0.2.10 40000 25\r\n")
        assert (await talk.reply()).startswith("220")
        await talk.say("EHLO mx.freemail.example")
        await talk.envelope(NOOR, AMAL)
        await talk.data(MESSAGE)
        assert running.spool.show(running.mail()[0]["id"])["client"]["ip"] == "198.51.100.25"


async def test_elsewhere_proxy_is_no_command(start: Any) -> None:
    async with start() as running:
        talk = await running.connect()
        await talk.reply()
        assert (await talk.say("PROXY TCP4 198.51.100.25 192.0.2.10 40000 25")).startswith("500")


async def test_a_fault_of_ours_is_451_and_mute(start: Any) -> None:
    class Broken:
        async def at_rcpt(self, *_: object, **__: object) -> Any:
            raise ZeroDivisionError("secret detail")

    async with start(judge=Broken()) as running:
        talk = await running.hello()
        replies = await talk.envelope(NOOR, AMAL)
        assert replies[1].startswith("451 4.3.0")
        assert "secret" not in replies[1]
        assert (await talk.say("NOOP")).startswith("250")


async def test_a_full_disk_is_452_and_nothing_is_lost(start: Any) -> None:
    async with start(min_free=1 << 60) as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        assert (await talk.data(MESSAGE)).startswith("452 4.3.1")
        assert running.mail() == []


async def test_what_cannot_be_judged_is_held_at_the_third_time(start: Any) -> None:
    class Stuck:
        async def at_rcpt(self, _: Any, recipient: Any, **__: Any) -> Verdict:
            return Verdict(recipient.address.raw, Disposition.ACCEPT)

        async def at_data(self, *_: Any) -> Any:
            raise MemoryError

    async with start(judge=Stuck()) as running:
        talk = await running.hello()
        replies = []
        for _ in range(3):
            await talk.envelope(NOOR, AMAL)
            replies.append((await talk.data(MESSAGE))[:3])
        assert replies == ["451", "451", "250"]
        assert [one["state"] for one in running.mail()] == ["held"]
        assert running.mail()[0]["held_by"] == ["H-CONTENT-01"]


async def test_a_message_that_goes_round_is_refused(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        assert (await talk.data(b"Received: from x by y; now\r\n" * 51 + MESSAGE)).startswith("554 5.4.6")
        await talk.envelope(NOOR, AMAL)
        ours = b"X-Hudhud-Id: 0-0000000000 by=mx.relay.saba.example\r\n"
        assert (await talk.data(ours * 3 + MESSAGE)).startswith("554 5.4.6")
        await talk.envelope(NOOR, AMAL)
        folded = ours + b" a message that began with a blank\r\n"
        assert (await talk.data(folded * 3 + MESSAGE)).startswith("554 5.4.6")
        await talk.envelope(NOOR, AMAL)
        assert (await talk.data(ours * 2 + MESSAGE)).startswith("250")


async def test_a_worker_that_is_told_to_stop_says_so_between_commands(start: Any) -> None:
    async with start() as running:
        idle, busy = await running.hello(), await running.hello()
        await busy.envelope(NOOR, AMAL)
        await busy.say("DATA")
        closing = asyncio.create_task(running.door.close(5))
        assert (await idle.reply()).startswith("421 4.3.2")
        busy.send(MESSAGE + b".\r\n")
        assert (await busy.reply()).startswith("250")
        assert (await busy.reply()).startswith("421 4.3.2")
        await closing
        with pytest.raises(OSError, match="Connect call failed"):
            await running.connect()


async def test_certificates_are_checked_by_mail_programs_and_the_handshake_is_modern(start: Any) -> None:
    async with start() as running:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.ports["submissions"], ssl=running.context, server_hostname="localhost"
        )
        assert (await reader.readline()).startswith(b"220")
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.close()
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("127.0.0.1", running.ports["submissions"], ssl=old, server_hostname="x")


async def _until(true: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)
