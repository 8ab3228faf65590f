"""A tiny SMTP/LMTP sink that keeps every byte, answers as it is told, and counts; real sockets, no library."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mail.route import Hop, Target

OFFERS = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


@dataclass
class Received:
    mail: bytes
    rcpts: list[bytes]
    content: bytes  # dot-unstuffed, as the sender meant it


@dataclass
class Sink:
    """`answers` maps the beginning of a command (or "DATA-END", "GREETING") to the reply that is given for it."""

    offers: Sequence[str] = OFFERS
    lmtp: bool = False
    answers: dict[str, str] = field(default_factory=dict)
    break_at: str = ""  # the connection is cut where this command begins; "DATA-END" after the content, unanswered
    context: ssl.SSLContext | None = None
    messages: list[Received] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    connections: int = 0
    tls_sessions: int = 0
    open_now: int = 0
    open_most: int = 0
    port: int = 0
    delay: float = 0.0
    server: asyncio.Server | None = None

    async def start(self) -> Sink:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**26)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    def hop(self, **changes: object) -> Hop:
        protocol = "lmtp" if self.lmtp else "smtp"
        target = Target("localhost", "127.0.0.1", self.port)
        values: dict[str, object] = {"protocol": protocol, "tls": "none", "targets": (target,), **changes}
        return Hop(key=f"{protocol}:{self.port}:{values['tls']}", name="localhost", **values)  # type: ignore[arg-type]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            await self._session(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_now -= 1
            writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._say("GREETING", "220 sink ready"))
        mail, rcpts = b"", list[bytes]()
        while line := await reader.readline():
            command = line.rstrip(b"\r\n")
            self.commands.append(command)
            verb = command[:4].upper().decode("latin-1")
            if self.break_at and command.upper().startswith(self.break_at.encode()):
                return
            if verb in ("EHLO", "LHLO"):
                rows = ["sink", *self.offers, *(["STARTTLS"] if self.context else [])]
                shown = "\r\n".join(f"250{'-' if n < len(rows) - 1 else ' '}{row}" for n, row in enumerate(rows))
                writer.write(self._say(verb, shown))
            elif verb == "MAIL":
                mail, rcpts = command, []
                writer.write(self._say(command, "250 2.1.0 ok"))
            elif verb == "RCPT":
                reply = self._say(command, "250 2.1.5 ok")
                rcpts += [command] if reply.startswith(b"2") else []
                writer.write(reply)
            elif verb == "DATA":
                reply = self._say("DATA", "354 go on" if rcpts else "554 5.5.1 no recipients")
                writer.write(reply)
                if reply.startswith(b"354") and not await self._content(reader, writer, mail, rcpts):
                    return
            elif verb == "STAR" and self.context:
                writer.write(self._say("STARTTLS", "220 go on"))
                await writer.drain()
                await writer.start_tls(self.context)
                self.tls_sessions += 1
            elif verb == "QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                await writer.drain()
                return
            else:
                writer.write(self._say(command, "250 2.0.0 ok" if verb in ("RSET", "NOOP", "HELO") else "500 what?"))

    async def _content(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mail: bytes, rcpts: list[bytes]
    ) -> bool:
        rows: list[bytes] = []
        while (row := await reader.readuntil(b"\r\n")) != b".\r\n":
            rows.append(row.removeprefix(b"."))
        if self.delay:
            await asyncio.sleep(self.delay)
        if not rcpts:
            writer.write(b"554 5.5.1 no recipients\r\n")
            return True
        self.messages.append(Received(mail, rcpts, b"".join(rows)))
        if self.break_at == "DATA-END":
            return False
        for rcpt in rcpts if self.lmtp else rcpts[:1]:
            writer.write(self._say(f"DATA-END {rcpt.decode()}" if self.lmtp else "DATA-END", "250 2.0.0 taken"))
        return True

    def _say(self, command: str | bytes, usual: str) -> bytes:
        text = command.decode("latin-1") if isinstance(command, bytes) else command
        found = next((reply for start, reply in self.answers.items() if text.upper().startswith(start.upper())), usual)
        return found.encode() + b"\r\n"


@pytest.fixture
async def sinks() -> AsyncIterator[Callable[..., Awaitable[Sink]]]:
    """Starts sinks; stops them all afterwards."""
    started: list[Sink] = []

    async def start(**settings: object) -> Sink:
        started.append(await Sink(**settings).start())  # type: ignore[arg-type]
        return started[-1]

    yield start
    for sink in started:
        await sink.stop()


@pytest.fixture(scope="session")
def real_mails() -> list[bytes]:
    """Public mails of the shared test data with CRLF line ends and without NUL: strange, but lawful on the wire."""
    data = Path(__file__).parents[3].parent / "shared" / "data" / "mail"
    if not data.is_dir():
        pytest.skip(f"needs the shared test data in {data}")
    paths = sorted(path for folder in ("mime", "corpus") for path in (data / folder).rglob("*") if path.is_file())
    mails = (path.read_bytes().replace(b"\r", b"").replace(b"\n", b"\r\n") for path in paths[::4])
    return [mail if mail.endswith(b"\r\n") else mail + b"\r\n" for mail in mails if mail and b"\0" not in mail]
