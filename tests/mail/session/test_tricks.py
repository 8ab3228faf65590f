"""Tricks over real sockets: nothing is smuggled in or out, nothing is split, and no stray octet gets anywhere."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path
from typing import Any

import pytest

from hudhud.settings import Delivery as DeliverySettings
from mail.carry.parcel import Addressee, Parcel
from mail.delivery import Delivery
from mail.route import Hop, Target

AMAL, NOOR = "amal@finance.saba.example", "noor@freemail.example"
MESSAGE = b"From: <noor@freemail.example>\r\nTo: <amal@finance.saba.example>\r\nSubject: hi\r\n\r\nHello."
SMUGGLED = (
    b"MAIL FROM:<boss@finance.saba.example>\r\nRCPT TO:<amal@finance.saba.example>\r\nDATA\r\n"
    b"From: boss\r\n\r\nsmuggled"
)


def endings(shared_data: Path) -> list[bytes]:
    """Every end-of-data variant of the public scanner, inbound and outbound."""
    table = json.loads((shared_data / "mail" / "smtp" / "smuggling" / "eod-sequences.json").read_text())
    return sorted({text.encode() for name in ("inbound", "outbound") for text in table[name]})


class Gullible:
    """A next hop that takes any of the endings for the end of a message, as old servers do."""

    def __init__(self, ends: list[bytes]) -> None:
        self.mails, self._ends = 0, ends

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 old.example ESMTP\r\n")
        pending, content = b"", False
        while chunk := await reader.read(65_536):
            pending += chunk
            while True:
                if content:
                    found = [(pending.find(end), len(end)) for end in self._ends if end in pending]
                    if not found:
                        break
                    at, length = min(found)
                    pending, content = pending[at + length :], False
                    writer.write(b"250 taken\r\n")
                    continue
                line, end, rest = pending.partition(b"\n")
                if not end:
                    break
                pending = rest
                self.mails += line.upper().startswith(b"MAIL")
                content = line.strip().upper() == b"DATA"
                pending = b"\r\n" + pending if content else pending
                writer.write(b"354 go on\r\n" if content else b"250 yes\r\n")


@pytest.mark.parametrize("stuffed", [False, True])
async def test_what_is_accepted_carries_nothing_past_a_gullible_next_hop(
    start: Any, shared_data: Path, stuffed: bool
) -> None:
    ends = endings(shared_data)
    sink = Gullible([*ends, b"\r\n.\r\n"])
    server = await asyncio.start_server(sink.speak, "127.0.0.1", 0)
    target = Target("127.0.0.1", "127.0.0.1", server.sockets[0].getsockname()[1])
    delivery, accepted = Delivery(DeliverySettings(), "relay.example"), 0
    async with start() as running:
        for end in [*ends, b"\r\n.\r\n"]:
            content = MESSAGE + end + SMUGGLED
            if stuffed or end == b"\r\n.\r\n":
                content = content.replace(b"\r\n.", b"\r\n..").replace(b"\n.", b"\n..").replace(b"....", b"..")
            talk = await running.hello()
            await talk.envelope(NOOR, AMAL)
            if not (await talk.data(content)).startswith("250"):
                continue
            accepted += 1
            data = running.spool.body(running.mail()[0]["id"])
            parcel = Parcel(NOOR.encode(), (Addressee(AMAL.encode()),), data)
            (attempt,) = await delivery.deliver(parcel, Hop("x", "x", "smtp", "none", (target,)))
            assert attempt.delivered, attempt
            assert sink.mails == accepted, end
        assert accepted >= 1
        assert len(running.mail()) == accepted
    await delivery.close()
    server.close()


@pytest.mark.parametrize("at", range(0, 48, 3))
async def test_however_the_octets_come_the_end_is_found_once(start: Any, at: int) -> None:
    """The boundary of two TCP segments at each place around a stuffed dot and the end."""
    tail = b"\r\n..\r\n. \r\n.x\r\n..\r\n\r\n.\r\nNOOP\r\n"
    async with start() as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        await talk.say("DATA")
        whole = MESSAGE + tail
        cut = max(len(MESSAGE) + at - 8, 1)
        for piece in (whole[:cut], whole[cut : cut + 1], whole[cut + 1 :]):
            talk.send(piece)
            await talk.writer.drain()
            await asyncio.sleep(0.002)
        assert (await talk.reply()).startswith("250 2.0.0")
        assert (await talk.reply()).startswith("250 2.0.0 OK")
        (one,) = running.mail()
        assert running.spool.body(one["id"]) == MESSAGE + b"\r\n.\r\n \r\nx\r\n.\r\n\r\n"


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\0", b"\x0b", b"\x7f", b"\xc2\x85"])
async def test_no_stray_octet_gets_through_a_command(start: Any, octet: bytes) -> None:
    lines = b"MAIL FROM:<noor@freemail.example> SIZE=100", b"RCPT TO:<amal@finance.saba.example> NOTIFY=NEVER"
    async with start(max_junk_commands=1000, messages_per_minute_per_address=10**6) as running:
        talk = await running.hello()
        for line in lines:
            for at in range(4, len(line), 3):
                talk.send(
                    line[:at] + octet + line[at:] + b"\r\nRSET\r\nMAIL FROM:<noor@freemail.example>\r\nNOOP x\r\n"
                )
                codes = []
                while not codes or codes[-1] != "250 2.0.0 OK" or len(codes) < 4:
                    codes.append(await talk.reply())
                assert codes[0][0] == "5", (octet, at, codes)
                if octet == b"\n":  # one line became two: neither is a command
                    codes.pop(0)
                assert codes[1:] == ["250 2.0.0 OK", "250 2.1.0 OK", "250 2.0.0 OK"], (at, codes)


async def test_the_commands_behind_quit_are_not_heard(start: Any) -> None:
    async with start() as running:
        talk = await running.hello()
        talk.send(b"QUIT\r\nMAIL FROM:<noor@freemail.example>\r\n")
        assert (await talk.reply()).startswith("221")
        assert await talk.ended()


async def test_a_login_that_is_sent_along_with_starttls_is_forgotten(start: Any) -> None:
    async with start() as running:
        talk = await running.hello("submission")
        talk.send(b"STARTTLS\r\nEHLO x.example\r\nAUTH PLAIN AGFtYWwAcHc=\r\n")
        assert (await talk.reply()).startswith("220")
        await talk.start_tls(running.context)
        assert (await talk.say("NOOP")).startswith("250")
        assert (await talk.say("MAIL FROM:<amal@finance.saba.example>")).startswith("503 5.5.1 Say EHLO")


async def test_public_lists_of_addresses_as_recipients(start: Any, shared_data: Path) -> None:
    """Every line of the lists gets one reply; what is relayed to is of our domains and of our grammar only."""
    folder = shared_data / "mail" / "smtp" / "addresses-flanker"
    lines = [
        line.strip()
        for name in ("mailbox_valid.txt", "mailbox_invalid.txt", "abridged_localpart_valid.txt")
        for line in (folder / name).read_bytes().splitlines()
        if line.strip() and not line.startswith(b"#")
    ]
    assert len(lines) > 150
    async with start(max_junk_commands=10**6) as running:
        talk = await running.hello()
        await talk.say(f"MAIL FROM:<{NOOR}> SMTPUTF8")
        talk.send(b"".join(b"RCPT TO:<%b>\r\n" % line for line in lines))
        for line in lines:
            reply = await talk.reply()
            assert reply[:3] in ("501", "500", "550"), (line, reply)
            assert reply[4] == "5"
        assert (await talk.say("DATA")).startswith("554")


async def test_addresses_that_programs_read_otherwise_are_refused(start: Any) -> None:
    tricks = (
        "amal@finance.saba.example>, <x@evil.example", "amal@finance.saba.example\t", "<amal@finance.saba.example>",
        "amal%evil.example@finance.saba.example", "evil.example!amal@finance.saba.example",
        '"x@evil.example"@finance.saba.example', "amal@finance.saba.example.", "amal@finance.saba.example,x@e.example",
        "amal@evil.example@finance.saba.example", "=?utf-8?q?x=40evil.example=3e?=@finance.saba.example",
        "amal(x@evil.example)@finance.saba.example", "amal@finance。saba。example", "amal\u202e@finance.saba.example",
    )  # fmt: skip
    async with start() as running:
        talk = await running.hello()
        await talk.say(f"MAIL FROM:<{NOOR}> SMTPUTF8")
        for trick in tricks:
            reply = await talk.say(f"RCPT TO:<{trick}>")
            assert reply[:1] == "5", (trick, reply)


@pytest.mark.parametrize("lasting", [False, True])
async def test_what_cannot_be_kept_while_it_is_read_is_never_taken_for_commands(
    start: Any, monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device") if not lasting else ZeroDivisionError

    monkeypatch.setattr("mail.session.incoming.tempfile.TemporaryFile", refuse)
    async with start(memory_body_bytes=1000) as running:
        talk = await running.hello()
        await talk.envelope(NOOR, AMAL)
        assert (await talk.say("DATA")).startswith("354")
        talk.send(MESSAGE + b"\r\n" + b"x" * 70 + b"\r\n" + b"pad\r\n" * 500)
        await talk.writer.drain()
        await asyncio.sleep(0.05)
        talk.send(b"RSET\r\n" + SMUGGLED + b"\r\n.\r\nNOOP\r\n")
        if lasting:
            assert (await talk.reply()).startswith("421")
            assert await talk.ended()
        else:
            assert (await talk.reply()).startswith("452 4.3.1")
            assert (await talk.reply()).startswith("250 2.0.0 OK")
            assert (await talk.say(f"MAIL FROM:<{NOOR}>")).startswith("250")
        assert running.mail() == []
