"""What is fuzzed, and what must hold whatever the bytes are: by hypothesis (test_fuzz.py) and by atheris (run.py)."""

from __future__ import annotations

import asyncio
import re
import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hudhud.settings import Relay as Settings
from mail.dialog import House
from mail.door import Door
from mail.envelope import NULL, PathError, Recipient, parse_path
from mail.limits import Limits
from mail.listener import Session
from mail.live import demo_rules
from mail.session import proxied
from mail.session.grammar import MailCommand, ParameterError, parse_mail_command, parse_rcpt_command
from mail.session.incoming import Incoming
from mail.session.servers import Servers
from mail.session.transaction import Transaction
from mail.session.wire import HungUp
from mail.verdict import Disposition, Reply, Verdict

RULES = demo_rules()
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MOST = 4096  # octets that a session may keep of what it was sent in these runs, beyond one chunk
LINE = re.compile(rb"[2345][0-9]{2}(?:[ -][ -~]*)?\r\n")
ENHANCED = re.compile(rb"([245])[0-9]{2} ([245])\.[0-9]{1,3}\.[0-9]{1,3} [ -~]+\r\n")
PLAIN = re.compile(rb"[A-Za-z0-9_+-]{1,20}(?:\.[A-Za-z0-9_+-]{1,20})?@[a-z]{1,20}(?:\.[a-z]{1,20}){1,3}")
HOSTNAME = b"mx.relay.example"


class Pipe(asyncio.Transport):
    """A connection of which the client's end is this object."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 4000)})
        self.said = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.said += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Taking:
    """A relay that takes everything and remembers it."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.recipients: list[Recipient] = []

    def begin(self, client: Any, account: Any, mail: MailCommand) -> Transaction:
        return Transaction(client, account, mail, "0-0000000000", NOW)

    async def rcpt(self, transaction: Transaction, recipient: Recipient) -> Reply:
        self.recipients.append(recipient)
        verdict = Verdict(recipient.address.raw, Disposition.ACCEPT)
        transaction.taken[recipient.address.raw] = recipient, verdict
        return Reply(250, "2.1.5", "OK")

    async def data(self, transaction: Transaction, data: bytes) -> Reply:
        self.messages.append(data)
        return Reply(250, "2.0.0", "OK")

    def oversize(self, transaction: Transaction, size: int) -> Reply:
        return Reply(552, "5.3.4", "Too large")

    def end(self, transaction: Transaction) -> None: ...


class Clear(Session):
    """A session whose client breaks off every handshake: TLS is the library's."""

    async def start_tls(self) -> None:
        self._flush()
        raise HungUp


class Conversation:
    """A live session on a pipe; `say` sends a chunk and lets it work, `check` is what must hold at any time."""

    def __init__(self, limits: Limits, settings: Settings) -> None:
        self.relay, self.pipe = Taking(), Pipe()
        servers = Servers(lambda: RULES.policy.registry)
        house = House(self.relay, None, limits, settings, None, asyncio.Semaphore(4), servers)  # type: ignore[arg-type]
        self._door = Door(house, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self.session = Clear(self._door.way, "mx")
        self.session.connection_made(self.pipe)
        self._longest = 0

    async def say(self, chunk: bytes) -> None:
        if not self.pipe.closed:
            self._longest = max(self._longest, len(chunk))
            self.session.data_received(chunk)
        await self.rest()

    async def rest(self) -> None:
        """Until the session has nothing more to do."""
        for _ in range(2000):
            before = (len(self.pipe.said), len(self.session._input), self.session.dialog.idle, len(self.relay.messages))
            for _ in range(4):
                await asyncio.sleep(0)
            after = (len(self.pipe.said), len(self.session._input), self.session.dialog.idle, len(self.relay.messages))
            if before == after and (self.session._more is not None or self.pipe.closed):
                return

    async def end(self) -> None:
        self.session.eof_received()
        await self.rest()
        assert self.pipe.closed, "a session outlived its connection"
        self.session.connection_lost(None)
        await asyncio.sleep(0)

    def check(self) -> None:
        lines = bytes(self.pipe.said).splitlines(keepends=True)
        ready = 0
        for number, line in enumerate(lines):
            assert LINE.fullmatch(line), line
            assert len(line) <= 512, line
            assert b"451 4.3.0" not in line, "a fault of ours"
            ready += line.startswith(b"354 ")
            plain = number == 0 or line[3:4] == b"-" or line.startswith((b"354 ", b"250 " + HOSTNAME))
            if not plain and not (line.startswith(b"250 ") and lines[number - 1][3:4] == b"-"):
                found = ENHANCED.fullmatch(line)
                assert found, line
                assert found[1] == found[2], line
        assert len(self.relay.messages) <= ready, "two messages from one DATA"
        for message in self.relay.messages:
            assert b"\r" not in message.replace(b"\r\n", b"")
            assert b"\n" not in message.replace(b"\r\n", b"")
            assert b"\0" not in message
        for recipient in self.relay.recipients:
            harmless(recipient.address.raw)
        if self.session._more is not None:
            assert len(self.session._input) <= max(self._longest, 64 * 1024) + MOST


class Ground:
    """What all conversations of a process stand on."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.settings = Settings(
            hostname=HOSTNAME.decode(), max_message_bytes=20_000, max_header_bytes=4000, max_message_lines=2000,
            memory_body_bytes=10_000, max_sessions=10**9, max_sessions_per_address=10**9,
            max_sessions_per_network=10**9, connections_per_minute_per_address=10**12,
            connections_per_minute_per_network=10**12,
        )  # fmt: skip
        self.limits = Limits(Path(self._folder.name) / "limits", self.settings, worker=0)
        self.loop = asyncio.new_event_loop()

    def talk(self, chunks: Sequence[bytes]) -> Conversation:
        """A whole conversation, checked."""

        async def whole() -> Conversation:
            conversation = Conversation(self.limits, self.settings)
            await conversation.rest()
            for chunk in chunks:
                await conversation.say(chunk)
            await conversation.end()
            conversation.check()
            return conversation

        return self.loop.run_until_complete(whole())

    def close(self) -> None:
        self.loop.close()
        self.limits.close()
        self._folder.cleanup()


def harmless(raw: bytes) -> None:
    """Nothing that ends a line, a path or a program's string, for any program."""
    assert not re.search(rb"[\x00-\x1f\x7f]", raw), raw
    text = raw.decode("utf-8")
    assert len(text.splitlines()) <= 1, raw
    assert len(raw) <= 254, raw
    outside = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", raw)
    assert b"<" not in outside, raw
    assert b">" not in outside, raw


def envelope(data: bytes) -> None:
    """The grammar: what it takes, it takes byte for byte; what is plain, it takes; it fails in one way only."""
    for smtputf8 in (False, True):
        try:
            address = parse_path(data, smtputf8=smtputf8)
        except PathError as error:
            assert not PLAIN.fullmatch(data), (data, error)
            assert str(error).isascii()
            continue
        assert address.raw == data
        harmless(data)
        assert address == NULL or (address.local and address.domain.isascii())
        assert smtputf8 or data.isascii()
    for parse in (parse_mail_command, parse_rcpt_command):
        for argument in (
            data,
            b"FROM:<" + data,
            b"TO:<" + data,
            b"FROM:<a@b.example> " + data,
            b"TO:<a@b.example> " + data,
        ):
            try:
                found = parse(argument)
            except (PathError, ParameterError) as error:
                assert str(error).isascii()
                assert str(error).isprintable()
                continue
            kept = [found.envid, found.auth] if isinstance(found, MailCommand) else [found.orcpt, found.notify]
            for value in kept:
                assert value is None or (value.isprintable() and " " not in value), value
                assert value is None or value.upper().encode() in argument.upper(), value
            harmless(found.sender.raw if isinstance(found, MailCommand) else found.address.raw)


def content(data: bytes) -> None:
    """DATA: the reading does not depend on how it was cut, and a plain reading agrees."""
    cut = data[0] + 1 if data else 1
    whole, pieces = data[1:], [data[1:][at : at + cut] for at in range(0, len(data) - 1, cut)]
    results = []
    for chunks in ([whole], pieces):
        incoming = Incoming(limit=5000, memory=5000)
        rest = None
        for number, chunk in enumerate(chunks):
            rest = incoming.feed(chunk) if chunk else None
            if rest is not None:
                rest += b"".join(chunks[number + 1 :])
                break
        ended = rest is not None
        results.append(
            (rest, ended and bool(incoming.problem), incoming.data() if ended and not incoming.problem else None)
        )
        incoming.close()
    assert results[0] == results[1], data
    rest, refused, taken = results[0]
    before, end, after = (b"\r\n" + whole).partition(b"\r\n.\r\n")
    assert (rest is None) == (not end)
    if end:
        assert rest == after
    if taken is not None:
        lines = (before + b"\r\n")[2:].split(b"\r\n")
        assert taken == b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
        assert not refused


def balancer(data: bytes) -> None:
    """The PROXY header."""
    try:
        found = proxied.read(data)
    except proxied.Wanting:
        return
    assert found is None or (0 < found.length <= len(data) and 0 <= found.port <= 65535)


def session(data: bytes, ground: Ground) -> None:
    """A conversation: 0xFF, which is in no UTF-8, stands between two chunks."""
    ground.talk([chunk for chunk in data.split(b"\xff") if chunk])


_HELLO, _ENVELOPE = b"EHLO x\r\n\xff", b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n\xff"
SEEDS: dict[str, tuple[bytes, ...]] = {
    "session": (
        _HELLO + _ENVELOPE + b"Subject: x\r\n\r\n..body\r\n.\r\nQUIT\r\n",
        _HELLO + _ENVELOPE + b"a\n.\nMAIL FROM:<>\r\n.\r\n" + _ENVELOPE + b"\r\n.\r\n",
        _HELLO + "MAIL FROM:<أ@b.example> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=x+2B SIZE=9 AUTH=<>\r\n".encode()
        + "RCPT TO:<\"q\\\"\"@مالية.example> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;أ\r\n".encode() + b"RSET\r\nNOOP\r\n",
        b"HELO x\r\n\xffSTARTTLS\r\nVRFY x\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + _HELLO,
        _HELLO + _ENVELOPE + b"x" * 21_000 + b"\r\n.\r\nRSET\r\n",
    ),
    "envelope": (
        b"a.b@c.example", b'"a b\\""@c.example', "أ@مالية.example".encode(), b"a@b.example> SIZE=1 BODY=7BIT ENVID=+2B",
        b"a@b.example> NOTIFY=NEVER ORCPT=rfc822;a+40b", "a@b.example> ORCPT=utf-8;أ\\x{2B}".encode(),
    ),
    "content": (b"\x05a\r\n..b\r\n.\r\nc", b"\x01\r\n.\r\n", b"\x02a\n.\n\r\n.\r\n"),
    "balancer": (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", proxied.SIGNATURE + b"\x21\x11\0\x0c" + bytes(12),
        proxied.SIGNATURE + b"\x21\x21\0\x24" + bytes(36),
    ),
}  # fmt: skip
"""Where atheris begins."""
