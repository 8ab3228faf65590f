"""The server's side of an SMTP session: which command may come when, and what it is answered with.

RFC 5321, 2920 (pipelining), 3207 (STARTTLS), 6409 (submission). It reads and writes through a Wire and knows nothing of
sockets; what a message means is the relay's business, what a log-in means is in mail/session/sasl.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from hudhud import log
from hudhud.settings import Relay as Settings
from mail import limits
from mail.envelope import NULL, Client, PathError
from mail.limits import Limits
from mail.relay import FAULT, Relay
from mail.session import answers, reading, sasl
from mail.session.grammar import ParameterError, parse_mail_command, parse_rcpt_command
from mail.session.login import LoggedIn, Login
from mail.session.servers import Servers
from mail.session.speaker import Speaker
from mail.session.transaction import Transaction
from mail.session.wire import Endless, HungUp, TooSlow, Wire
from mail.verdict import Reply

HEAVY: Final = 4  # messages above `memory_body_bytes` that are in memory at once, per worker

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class House:
    """What every session of a worker stands on. `folder` is where large messages lie, unnamed, while they are read."""

    relay: Relay
    login: Login
    limits: Limits
    settings: Settings
    folder: Path | None
    heavy: asyncio.Semaphore
    servers: Servers


class Dialog:
    """One session from greeting to QUIT."""

    def __init__(self, wire: Wire, house: House) -> None:
        self._wire, self._house, self._settings = wire, house, house.settings
        self._helo = ""
        self._speaker = Speaker(wire, house.login, house.servers)
        self._transaction: Transaction | None = None
        self._junk = self._failures = 0
        self.closing = False  # set from outside: it ends before the next command
        self.idle = False  # between two commands
        self.heard = 0  # commands so far
        self._commands: Mapping[bytes, Callable[[bytes], Awaitable[None]]] = {
            b"EHLO": self._ehlo, b"HELO": self._helo_, b"MAIL": self._mail, b"RCPT": self._rcpt, b"DATA": self._data,
            b"RSET": self._rset, b"QUIT": self._quit,
            b"STARTTLS": self._starttls, b"AUTH": self._auth,
        }  # fmt: skip

    @property
    def resting(self) -> bool:
        """Whether it waits for a command, and no message is under way."""
        return self.idle and self._transaction is None

    async def run(self) -> None:
        """Greet and answer until somebody hangs up. Never raises for what the client does."""
        try:
            if self._wire.waiting():
                _log.info("spoke before the greeting", ip=self._wire.ip, listener=self._wire.listener)
                self._goodbye(answers.TOO_EARLY)
            self._wire.send(f"220 {self._settings.hostname} ESMTP Hudhud")
            for _ in range(self._settings.max_commands):
                await self._answer()
            self._house.limits.hit(limits.COMMANDS)
            self._goodbye(answers.TOO_MANY)
        except TooSlow:
            self._house.limits.hit(limits.TIMEOUT)
            self._wire.send(answers.TIMED_OUT)
        except Endless:
            self._house.limits.hit(limits.LINE)
            self._wire.send(answers.ENDLESS)
        except HungUp:
            pass
        finally:
            self._end()

    async def _answer(self) -> None:
        if self.closing:
            self._goodbye(answers.CLOSING)
        self.idle, self.heard = True, self.heard + 1
        line = await self._wire.line(sasl.MAX_LINE, self._settings.command_timeout_s)
        self.idle = False
        verb, _, argument = (line or b"").partition(b" ")
        if line is not None and len(line) > answers.MAX_LINE and verb.upper() != b"AUTH":  # RFC 4954 section 4
            line, verb = None, b""
        command = self._commands.get(verb.upper())
        try:
            if command is None:
                self._misuse(answers.UNREADABLE if line is None else answers.plain(verb))
            else:
                await command(argument.strip(b" "))
        except HungUp:
            raise
        except Exception:  # mute: what went wrong is for our log only
            _log.exception("a command failed", ip=self._wire.ip, command=verb[:16].decode("ascii", "replace"))
            self._wire.send(FAULT)

    # commands

    async def _ehlo(self, argument: bytes) -> None:
        if not self._hello(argument):
            return
        offers = ["PIPELINING", f"SIZE {self._settings.max_message_bytes}", "8BITMIME", "SMTPUTF8", "DSN"]
        offers.append("ENHANCEDSTATUSCODES")
        if self._wire.tls is None:
            offers.append("STARTTLS")
        if self._requiretls:
            offers.append("REQUIRETLS")
        if self._wire.tls is not None and self._wire.listener != "mx" and not self._speaker.logged_in:
            offers.append(f"AUTH {' '.join(self._house.login.mechanisms)}")
        lines = [self._settings.hostname, *offers]
        self._wire.send(*(f"250{'-' if n < len(lines) - 1 else ' '}{text}" for n, text in enumerate(lines)))

    async def _helo_(self, argument: bytes) -> None:
        if self._hello(argument):
            self._wire.send(f"250 {self._settings.hostname}")

    def _hello(self, argument: bytes) -> bool:
        name = argument.decode("utf-8", "replace")
        if not name or len(name) > 255 or not name.isprintable() or " " in name:
            self._misuse(answers.NO_NAME)
            return False
        if self._wire.waiting():  # it cannot know what may be pipelined before it has heard the answer
            self._goodbye(answers.TOO_EARLY)
        self._end()
        self._helo = name
        return True

    async def _mail(self, argument: bytes) -> None:
        if not self._speaker.still_good():
            self._goodbye(answers.GONE)
        if refusal := self._not_yet():
            self._misuse(refusal)
            return
        try:
            command = parse_mail_command(argument, requiretls=self._requiretls)
        except (PathError, ParameterError) as error:
            self._misuse(answers.wrong(error, utf8=550))
            return
        wire, account = self._wire, self._speaker.account(command.sender)
        client = Client(wire.ip, wire.port, self._helo, wire.tls, wire.listener)
        begun = self._house.relay.begin(client, account, command)
        if isinstance(begun, Transaction):
            self._transaction = begun
        wire.send(answers.MAIL_OK if isinstance(begun, Transaction) else begun)

    @property
    def _requiretls(self) -> bool:
        """RFC 8689 is for sessions in TLS."""
        return self._settings.requiretls and self._wire.tls is not None

    def _not_yet(self) -> Reply | None:
        """What must come before MAIL; a body's own server need not log in."""
        if not self._helo:
            return answers.HELLO_FIRST
        if self._wire.listener != "mx" and self._speaker.account(NULL) is None:
            return answers.TLS_FIRST if self._wire.tls is None else answers.AUTH_FIRST
        return answers.NESTED if self._transaction is not None else None

    async def _rcpt(self, argument: bytes) -> None:
        transaction = self._transaction
        if transaction is None:
            self._misuse(answers.MAIL_FIRST)
            return
        try:
            recipient = parse_rcpt_command(argument, smtputf8=transaction.mail.smtputf8)
        except (PathError, ParameterError) as error:
            self._misuse(answers.wrong(error))
            return
        self._wire.send(await self._house.relay.rcpt(transaction, recipient))

    async def _data(self, argument: bytes) -> None:
        transaction = self._transaction
        if argument or transaction is None or not transaction.taken:
            self._misuse(
                answers.NO_ARGUMENT if argument else answers.MAIL_FIRST if transaction is None else answers.NO_RECIPIENT
            )
            return
        if self._wire.waiting():  # nobody may send on before 354
            self._goodbye(answers.TOO_EARLY)
        self._wire.send(answers.READY)
        settings = self._settings
        incoming = reading.begin(settings, self._house.folder)
        try:
            await reading.read(self._wire, incoming, settings)
            if incoming.hit:
                self._house.limits.hit(incoming.hit)
            large = incoming.size > settings.memory_body_bytes and incoming.problem is None
            async with self._house.heavy if large else contextlib.nullcontext():
                if incoming.hit == limits.SIZE:
                    reply = self._house.relay.oversize(transaction, incoming.size)
                else:
                    reply = (
                        incoming.problem
                        or self._changed(transaction)
                        or await self._house.relay.data(transaction, incoming.data())
                    )
        finally:
            incoming.close()
            self._end()
        self._junk = 0
        self._wire.send(reply)

    def _changed(self, transaction: Transaction) -> Reply | None:
        """Why what was begun may not go on: a message may take minutes, and what its sender may do has ended."""
        if not self._speaker.still_good():
            self._goodbye(answers.GONE)
        same = self._speaker.account(transaction.mail.sender) == transaction.account
        return None if same else answers.CHANGED

    async def _rset(self, argument: bytes) -> None:
        if argument:
            self._misuse(answers.NO_ARGUMENT)
            return
        self._end()
        self._wire.send(answers.OK)

    async def _quit(self, argument: bytes) -> None:
        if argument:
            self._misuse(answers.NO_ARGUMENT)
            return
        self._goodbye(answers.BYE)

    async def _starttls(self, argument: bytes) -> None:
        if argument or self._wire.tls is not None:
            self._misuse(answers.NO_ARGUMENT if argument else answers.TLS_ALREADY)
            return
        self._wire.send(answers.GO_AHEAD)
        self._end()
        self._helo = ""
        self._speaker.forget()
        await self._wire.start_tls()

    async def _auth(self, argument: bytes) -> None:
        if self._wire.listener == "mx":
            self._misuse(answers.NOT_OFFERED)
            return
        if refusal := self._no_login():
            self._misuse(refusal)
            return
        answer = await sasl.authenticate(self._wire, self._house.login, argument)
        if isinstance(answer, LoggedIn):
            self._speaker.enter(answer)
            self._wire.send(sasl.WELCOME)
            return
        self._failures += 1
        self._misuse(answer)
        if self._failures >= sasl.MAX_FAILURES:
            self._goodbye(answers.TOO_MANY)

    def _no_login(self) -> Reply | None:
        if not self._helo:
            return answers.HELLO_FIRST
        if self._wire.tls is None:
            return answers.NO_CLEAR_LOGIN
        if self._speaker.logged_in:
            return answers.LOGGED_IN
        return answers.NESTED if self._transaction is not None else None

    # endings

    def _end(self) -> None:
        """The transaction, if there is one, is over."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            self._house.relay.end(transaction)

    def _misuse(self, reply: Reply) -> None:
        """Answer a command that is wrong or brings no mail; too many of them in a row end the session."""
        self._junk += 1
        if self._junk > self._settings.max_junk_commands:
            self._house.limits.hit(limits.JUNK)
            self._goodbye(answers.TOO_MANY)
        self._wire.send(reply)

    def _goodbye(self, reply: Reply) -> NoReturn:
        self._wire.send(reply)
        raise HungUp
