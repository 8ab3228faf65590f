"""A tiny SMTP/LMTP sink that keeps every byte, answers as it is told, and counts; real sockets, no library."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from hudhud import codec
from hudhud.clock import SYSTEM, Clock, VirtualClock
from hudhud.registry import parse_registry
from hudhud.settings import Delivery, Relay, Settings, Spool
from mail.accounts import Account
from mail.carry.link import Link
from mail.carry.pool import tls_contexts
from mail.delivery import Delivery as Hands
from mail.dispatch import Dispatch
from mail.dns import ZoneResolver
from mail.envelope import Client as EnvelopeClient
from mail.envelope import Envelope, Recipient, parse_path
from mail.held import Held
from mail.limits import Limits
from mail.message import Message
from mail.route import Hop, Routes, Target
from mail.sign import Signer
from mail.spool import Entry, open_spool
from mail.verdict import Disposition, Finding, Judgement, Reply, Verdict

KEY = bytes(range(32))
LIMITS = Delivery(reply_timeout_s=2.0, connect_timeout_s=2.0, idle_s=1.0)
RELAY = Relay(hostname="mx.relay.saba.example", postmaster="postmaster@relay.saba.example")
SPOOL = Spool(min_free_bytes=0)
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


@dataclass
class House:
    """A spool and its dispatch on the demo registry; each body's next hop may be played by a sink."""

    folder: Path
    clock: Clock
    settings: Settings
    dialled: dict[tuple[str, int], int] = field(default_factory=dict)
    zone: dict[str, object] = field(default_factory=dict)
    shard: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Task[None] | None = None

    def open(self) -> House:
        self.spool = open_spool(
            self.folder / "relay", self.shard, node="node-1", key=KEY, clock=self.clock, limits=self.settings.spool
        )
        self.delivery = Hands(
            self.settings.delivery, "mx.relay.saba.example", tls=tls_contexts(), dial=self.dial, clock=self.clock
        )
        files = {"registry.toml": resources.files("hudhud").joinpath("demo", "registry.toml").read_bytes()}
        registry = parse_registry(files)
        self.routes = Routes(lambda: registry, ZoneResolver(self.zone), own=frozenset({"192.0.2.10"}), clock=self.clock)
        self.signer = Signer(self.folder / "keys", "hudhud", self.clock)
        self.counts = Limits(self.folder / "limits.bin", self.settings.relay, worker=0, clock=self.clock)
        self.link = Link(self.folder, self.settings.delivery, self.clock)
        self.dispatch = Dispatch(
            self.spool, self.routes, self.signer, self.delivery,
            clock=self.clock, settings=self.settings, counts=self.counts, link=self.link,
        )  # fmt: skip
        self.held = Held(self.spool, self.clock, lambda d: e.code if (e := registry.by_domain(d)) else "")
        return self

    def dial(self, host: str, port: int) -> tuple[str, int]:
        return "127.0.0.1", self.dialled.get((host, port), 9)  # port 9: nobody listens

    def start(self) -> House:
        self.stop = asyncio.Event()
        self.running = asyncio.create_task(self.dispatch.run(self.stop))
        return self

    async def close(self) -> None:
        if self.running is not None:
            self.stop.set()
            await self.running
            self.running = None
        self.counts.close()
        self.spool.close()

    async def put(
        self,
        *recipients: str,
        sender: str = "amal@finance.saba.example",
        body: bytes = b"hello\r\n",
        state: str = "queued",
        listener: str = "submission",
        **more: object,
    ) -> str:
        """Store a message as the relay does; its queue id."""
        given = {k: more.pop(k) for k in ("notify", "orcpt") if k in more}
        to = tuple(Recipient(parse_path(r.encode(), smtputf8=True), **given) for r in recipients)  # type: ignore[arg-type]
        account = Account(sender, "FIN", frozenset({sender})) if listener != "mx" else None
        envelope = Envelope(
            parse_path(sender.encode(), smtputf8=True),
            to,
            EnvelopeClient("192.0.2.50", 4711, "pc.finance.saba.example", "TLSv1.3", listener),  # type: ignore[arg-type]
            account,
            self.clock.now(),
            **{k: more.pop(k) for k in ("ret", "envid", "smtputf8") if k in more},  # type: ignore[arg-type]
        )
        head = f"From: <{sender}>\r\nTo: {', '.join(recipients)}\r\nSubject: x\r\nMessage-ID: <1@x.example>\r\n\r\n"
        message = Message.read(envelope, self.spool.new_id(), head.encode() + body)
        held = state == "held"
        finding = Finding("content", "HY-0001", "1", Disposition.HOLD, "macro", facts={"part": "1.2"})
        verdicts = tuple(
            Verdict(r.address.raw, Disposition.HOLD if held else Disposition.ACCEPT, (finding,) if held else ())
            for r in to
        )
        judgement = Judgement(verdicts, Reply(250, "2.0.0", "ok"), (finding,) if held else (), ruleset="r", policy="p")
        more.setdefault("trace", b"Received: from pc by mx.relay.saba.example; now\r\n")
        entries = [Entry(r, state) for r in to]  # type: ignore[arg-type]
        await self.spool.put(message, judgement, entries, [b'{"event":{"action":"accepted"}}'], **more)  # type: ignore[arg-type]
        return message.queue_id

    def show(self, queue_id: str) -> dict[str, Any]:
        shown = self.spool.show(queue_id)
        assert shown is not None
        return shown

    def states(self, queue_id: str) -> list[str]:
        return [one["state"] for one in self.show(queue_id)["recipients"]]

    async def until(self, queue_id: str, *states: str, within: float = 5.0) -> dict[str, Any]:
        """Wait (real time) until every recipient is in one of the states."""
        async with asyncio.timeout(within):
            while not set(self.states(queue_id)) <= set(states):
                await asyncio.sleep(0.005)
        return self.show(queue_id)

    def events(self) -> list[dict[str, Any]]:
        return [codec.decode(row[0]) for row in self.spool.database.read("SELECT document FROM journal")]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path, SYSTEM, Settings(delivery=LIMITS, relay=RELAY, spool=SPOOL)).open()
    yield made
    await made.close()


@pytest.fixture
async def virtual_house(tmp_path: Path) -> AsyncIterator[House]:
    """Its time passes only when told; sockets are real."""
    made = House(tmp_path, VirtualClock(), Settings(delivery=LIMITS, relay=RELAY, spool=SPOOL)).open()
    yield made
    await made.close()
