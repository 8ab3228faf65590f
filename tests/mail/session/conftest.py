"""A worker's listeners on loopback with the real relay behind them: judging, spool, limits, accounts, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from hudhud import codec
from hudhud.clock import SYSTEM, Clock
from hudhud.people import hash_password
from hudhud.settings import Auth, Settings, Spool
from hudhud.settings import Relay as RelaySettings
from mail import accounts
from mail.accounts import Account
from mail.again import Again
from mail.careful import Careful, Judge
from mail.dialog import HEAVY, House
from mail.dns import Resolver, ZoneResolver
from mail.door import Door
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.judging import Judging
from mail.limits import Limits
from mail.live import FixedRules, demo_rules, demo_zone
from mail.message import Message
from mail.proof import ways
from mail.relay import Relay
from mail.session.live import LiveAccounts
from mail.session.login import Login
from mail.session.servers import Servers
from mail.session.shown import Asking
from mail.session.strikes import Strikes
from mail.session.telling import Telling
from mail.spool import open_spool
from mail.threads import NoThreads, Threads
from mail.verdict import Judgement, Verdict

PASSWORD = "a password of the lab"
HASHED = hash_password(PASSWORD)
AMAL = "amal@finance.saba.example"
SALIM = "salim@interior.saba.example"
NOOR = "noor@freemail.example"
RULES = demo_rules()
QUICK = Auth(failure_s=0)


class Faulty:
    """Passes judging on, or fails as often as it is told to."""

    def __init__(self, judge: Judge, faults: int) -> None:
        self._judge, self.faults = judge, faults

    async def at_rcpt(self, envelope: Envelope, recipient: Recipient, *, reference: str = "") -> Verdict:
        return await self._judge.at_rcpt(envelope, recipient, reference=reference)

    async def at_data(self, message: Message, rcpt_verdicts: Sequence[Verdict]) -> Judgement:
        if self.faults:
            self.faults -= 1
            raise ZeroDivisionError
        return await self._judge.at_data(message, rcpt_verdicts)


@dataclass
class Running:
    """A running worker, seen by a test."""

    house: House
    door: Door
    spool: Any
    context: ssl.SSLContext  # of a client that trusts the server
    again: Again
    judge: Judge
    accounts: LiveAccounts
    ports: dict[str, int] = field(default_factory=dict)
    password: str = PASSWORD

    def now(self) -> datetime:
        return SYSTEM.now()

    async def judge_again(self, clock: Clock = SYSTEM) -> None:
        """What the worker does every second, at that time."""
        again, before = self.again, self.again._clock
        again._clock = clock
        try:
            await again.look(self.spool, lambda name: Account(name, "FIN", frozenset({name})))
        finally:
            again._clock = before

    def queued(self) -> list[dict[str, Any]]:
        """What the spool holds, newest first."""
        return self.spool.list(_everything())  # type: ignore[no-any-return]

    def mail(self) -> list[dict[str, Any]]:
        return [one for one in self.queued() if one["kind"] == "mail"]

    def notices(self) -> list[bytes]:
        return [self.spool.body(one["id"]) for one in self.queued() if one["kind"] == "notice"]

    def events(self) -> list[dict[str, Any]]:
        rows = self.spool.database.read("SELECT document FROM journal ORDER BY sequence")
        return [codec.decode(bytes(row[0])) for row in rows]

    def actions(self) -> list[str]:
        return [one["event"]["action"] for one in self.events()]

    async def connect(self, listener: str = "mx") -> Talk:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[listener], limit=1 << 20)
        return Talk(reader, writer)

    async def hello(self, listener: str = "mx") -> Talk:
        """A session behind its greeting and EHLO."""
        talk = await self.connect(listener)
        assert (await talk.reply()).startswith("220 ")
        await talk.say("EHLO client.example")
        return talk

    async def logged_in(self, who: str = AMAL) -> Talk:
        """A submission session behind STARTTLS and AUTH."""
        import base64

        talk = await self.hello("submission")
        assert (await talk.say("STARTTLS")).startswith("220")
        await talk.start_tls(self.context)
        await talk.say("EHLO client.example")
        token = base64.b64encode(f"\0{who}\0{PASSWORD}".encode()).decode()
        assert (await talk.say(f"AUTH PLAIN {token}")).startswith("235")
        return talk


def _everything() -> Any:
    from mail.shelf.listing import Filter

    return Filter()


@dataclass
class Talk:
    """A client that sends exactly the bytes it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self) -> str:
        """One whole reply, several lines joined; "" at the end of the connection."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 15)).decode("ascii")
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    async def say(self, line: str | bytes) -> str:
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    async def envelope(self, sender: str, *recipients: str) -> list[str]:
        """MAIL and each RCPT; the replies."""
        return [await self.say(f"MAIL FROM:<{sender}>"), *[await self.say(f"RCPT TO:<{r}>") for r in recipients]]

    async def data(self, content: bytes, end: bytes = b"\r\n.\r\n") -> str:
        """DATA with these bytes as they are."""
        assert (await self.say("DATA")).startswith("354")
        self.send(content + end)
        return await self.reply()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context, server_hostname="localhost")

    async def ended(self) -> bool:
        """Whether the server hung up."""
        try:
            return await asyncio.wait_for(self.reader.read(), 15) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.close()


Start = Callable[..., Any]


@pytest.fixture
def rules() -> FixedRules:
    return RULES


@pytest.fixture
def envelope_of() -> Callable[..., Envelope]:
    def made(sender: str, *, kind: Any = "person", listener: Any = "submission") -> Envelope:
        account = Account(AMAL, "FIN", frozenset({AMAL}), kind=kind)
        client = Client("192.0.2.50", 1, "pc", "TLSv1.3", listener)
        return Envelope(parse_path(sender.encode(), smtputf8=True), (), client, account, SYSTEM.now())

    return made


def _server_tls(authority: trustme.CA, folder: Path, servers: Servers, clients: Path | None) -> Asking:
    """As a worker makes it."""
    own = authority.issue_cert("localhost")
    own.private_key_pem.write_to_path(str(folder / "relay.key"))
    (folder / "relay.pem").write_bytes(b"".join(one.bytes() for one in own.cert_chain_pems))
    return Asking(folder / "relay.pem", folder / "relay.key", clients, servers.asks)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def start(tmp_path: Path, authority: trustme.CA) -> Start:
    """`async with start(max_recipients=5) as running:` a worker with these relay settings."""
    return starting(tmp_path, authority)


def starting(tmp_path: Path, authority: trustme.CA) -> Start:
    """The same for who is no test: see tests/mail/session/hostile_child.py."""

    @asynccontextmanager
    async def running(
        *,
        judge: Judge | None = None,
        proxies: tuple[str, ...] = (),
        min_free: int = 0,
        rules: FixedRules = RULES,
        policy: Mapping[str, object] | None = None,
        resolver: Resolver | None = None,
        faults: int = 0,
        threads: Threads | None = None,
        authority_file: Path | None = None,
        auth: Auth = QUICK,
        **changes: object,
    ) -> AsyncIterator[Running]:
        relay = msgspec.structs.replace(
            RelaySettings(
                hostname="mx.relay.saba.example",
                postmaster="postmaster@relay.saba.example",
                help_url="https://hudhud.example/r",
            ),
            **changes,
        )
        settings = Settings(relay=relay, auth=auth, spool=Spool(min_free_bytes=min_free), folder=str(tmp_path))
        rows = [accounts.row(AMAL, "FIN", "Amal", HASHED), accounts.row(SALIM, "INT", "Salim", HASHED)]
        accounts.write(tmp_path / "accounts.toml", rows)
        spool = open_spool(tmp_path / "relay", 0, node="test", key=bytes(32), clock=SYSTEM, limits=settings.spool)
        limits = Limits(tmp_path / "relay" / "limits.bin", relay, worker=0)
        strikes = Strikes(tmp_path / "relay" / "strikes-0", limits)
        default = msgspec.structs.replace(rules.policy.default, **(policy or {}))
        rules = FixedRules(replace(rules.policy, default=default), rules.ruleset)
        judging = Judging(rules, resolver or ZoneResolver.load(demo_zone()), threads or NoThreads(), SYSTEM, settings)
        careful = Careful(judge or (Faulty(judging, faults) if faults else judging), strikes, limits, relay)
        telling = Telling(
            spool=spool, policy=lambda: rules.policy, limits=limits, clock=SYSTEM, settings=relay, node="test"
        )
        the_relay = Relay(
            spool=spool, judge=careful, telling=telling, limits=limits,
            clock=SYSTEM, settings=relay,
        )  # fmt: skip
        live = LiveAccounts(tmp_path / "accounts.toml")
        login = Login(
            live, limits, settings, SYSTEM,
            ways=ways.build(settings, SYSTEM), policy=lambda: rules.policy,
        )  # fmt: skip
        house = House(
            the_relay,
            login,
            limits,
            relay,
            tmp_path / "relay",
            asyncio.Semaphore(HEAVY),
            Servers(lambda: rules.policy.registry),
        )
        server = _server_tls(authority, tmp_path, house.servers, authority_file)
        client = ssl.create_default_context()
        authority.configure_trust(client)
        again = Again(careful, telling, clock=SYSTEM, settings=settings)
        worker = Running(house, Door(house, server, proxies, relay.proxy_from), spool, client, again, judging, live)
        for listener in ("mx", "submission", "submissions"):
            listening = socket.create_server(("127.0.0.1", 0))
            worker.ports[listener] = listening.getsockname()[1]
            await worker.door.open(listener, listening)
        try:
            yield worker
        finally:
            await worker.door.close(0.2)
            await telling.settle()
            await judging.close()
            spool.close()
            await login.close()
            strikes.close()
            limits.close()

    return running
