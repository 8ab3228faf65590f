"""Load: a raw SMTP client that keeps S sessions busy until N messages have their answer, one process each.

`python -m deploy.bench.load` reads what it shall do (`Order`, JSON) on standard input and writes what came of it
(`Result`, JSON) on standard output. No pipelining: it speaks as the common load generators do, one command a reply.
SIGTERM ends it early: what is under way gets its answer, nothing new is begun.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import ssl
import sys
import time
from collections import deque
from typing import cast

import msgspec
import uvloop

from deploy.bench import message

RETRY_S = 0.1  # pause before the next try where no connection comes or a session is turned away
CONNECT_S = 30.0  # how long an address may refuse connections before the rest is given up


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be sent, by whom, where to.

    `per_session`: messages on one connection. `rate`: messages a second, 0 for as fast as it goes. `first`: number of
    the first message. `proxy`: a documentation address that is announced by PROXY protocol, or "".
    """

    host: str = "127.0.0.1"
    port: int
    size: message.Size = "10k"
    count: int
    sessions: int = 20
    per_session: int = 1
    rate: float = 0.0
    first: int = 0
    sender: str
    recipients: tuple[str, ...]
    ca: str = ""  # with it: implicit TLS, and this authority must vouch for "localhost"
    login: str = ""
    password: str = ""
    proxy: str = ""
    patient: bool = False  # keep on where the server goes away (soak): what had no answer counts as unknown
    give_up_s: float = 120.0  # without any progress


class Result(msgspec.Struct, kw_only=True):
    """What came of it. Moments are of the monotonic clock, which all processes of a machine share."""

    begun: float = 0.0
    ended: float = 0.0
    accepted: list[int] = []
    refused: list[str] = []  # replies
    unknown: list[int] = []  # sent, or in sending, when the connection broke
    broken: int = 0  # connections that ended before their time
    accept_ms: list[float] = []  # from the last octet written to 250, in the order of the replies


class Source:
    """Hands out numbers, collects outcomes, opens sessions."""

    def __init__(self, order: Order) -> None:
        self.order, self.result = order, Result()
        self._templates = [message.templates(order.size, order.sender, to) for to in order.recipients]
        self._next, self._end, self._open = order.first, order.first + order.count, 0
        self._promised = 0  # sessions that have not sent their first message yet
        self._loop = asyncio.get_running_loop()
        self._tls = ssl.create_default_context(cafile=order.ca) if order.ca else None
        self._waiting: deque[Session] = deque()  # with a rate: sessions that wait for their turn
        self.finished = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._progress = time.monotonic()

    @property
    def left(self) -> int:
        return self._end - self._next

    async def run(self) -> Result:
        self.result.begun = self._progress = time.monotonic()
        for _ in range(min(self.order.sessions, self.order.count)):
            self.open()
        self._loop.add_signal_handler(signal.SIGTERM, self._stop)
        self._loop.add_reader(sys.stdin, os._exit, 1)  # it says no more, it can only end: whoever started this is gone
        ticking = self._loop.create_task(self._tick()) if self.order.rate else None
        while not self.finished.is_set():
            try:
                await asyncio.wait_for(self.finished.wait(), 1.0)
            except TimeoutError:
                if time.monotonic() - self._progress > self.order.give_up_s:
                    break
        if ticking is not None:
            ticking.cancel()
        self.result.ended = time.monotonic()
        return self.result

    def _stop(self) -> None:
        self._end = self._next
        while self._waiting:
            self._waiting.popleft().quit()
        self._done()

    def open(self) -> None:
        """One more session, if there is work for it."""
        if self.left > self._promised:
            self._open += 1
            self._promised += 1
            task = self._loop.create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._done()

    async def _connect(self) -> None:
        order, until = self.order, time.monotonic() + CONNECT_S
        while True:
            try:
                name = "localhost" if self._tls else None
                await self._loop.create_connection(
                    lambda: Session(self), order.host, order.port, ssl=self._tls, server_hostname=name
                )
            except OSError:
                self.result.broken += 1
                if self.left <= 0 or (not order.patient and time.monotonic() > until):
                    self._open -= 1
                    self._promised -= 1
                    return self._done(gone=True)
                await asyncio.sleep(RETRY_S)
            else:
                return None

    def take(self, session: Session) -> None:
        """The session is ready for a message: it gets one, waits for its turn, or ends."""
        if self.left <= 0:
            session.quit()
        elif self.order.rate:
            self._waiting.append(session)
        else:
            session.send(*self._message())

    def _message(self) -> tuple[int, str, bytes]:
        """The next message: its number, whom it is for, its bytes."""
        number = self._next
        self._next += 1
        which = number % len(self._templates)
        template = self._templates[which][(number // len(self._templates)) % message.VARIANTS]
        return number, self.order.recipients[which], template.fill(number)

    async def _tick(self) -> None:
        """Releases messages at the rate that was asked for, by the clock and not by the replies."""
        begun, given = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - begun) * self.order.rate)
            while given < due and self._waiting and self.left > 0:
                given += 1
                self._waiting.popleft().send(*self._message())
            given = due  # what could not go is not made up for later: no bursts
            if self.left <= 0:
                while self._waiting:
                    self._waiting.popleft().quit()
            await asyncio.sleep(0.002)

    def answered(self, number: int, reply: bytes, sent: float) -> None:
        now = self._progress = time.monotonic()
        if reply.startswith(b"250"):
            self.result.accepted.append(number)
            self.result.accept_ms.append(round((now - sent) * 1000, 3))
        else:
            self.refused(reply)

    def refused(self, reply: bytes) -> None:
        self._progress = time.monotonic()
        self.result.refused.append(reply.decode("utf-8", "replace").strip())

    def kept_promise(self) -> None:
        """A session begins its first message, or will never."""
        self._promised -= 1

    def closed(self, session: Session, number: int | None, *, whole: bool) -> None:
        """A session ended; `number`: the message it had in hand."""
        self._open -= 1
        if session in self._waiting:
            self._waiting.remove(session)
        if number is not None:
            self.result.unknown.append(number)
        self.result.broken += not whole
        if whole:
            self.open()
        elif self.order.patient:
            self._loop.call_later(RETRY_S, self.open)
        else:
            self._done(gone=True)

    def _done(self, *, gone: bool = False) -> None:
        if self._open <= 0 and (self.left <= 0 or gone):
            self.finished.set()


class Session(asyncio.Protocol):
    """One connection as a state: what was said last decides what the next reply means."""

    def __init__(self, source: Source) -> None:
        self._source, self._order = source, source.order
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._state = "greeting"
        self._number: int | None = None
        self._recipient, self._content = "", b""
        self._sent_at = 0.0
        self._messages = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._order.proxy:
            self._say("greeting", f"PROXY TCP4 {self._order.proxy} 192.0.2.10 40000 25")

    def connection_lost(self, _: Exception | None) -> None:
        if not self._messages:
            self._source.kept_promise()
        self._source.closed(self, self._number, whole=self._state == "quit")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\n")) != -1:
            line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
            if line[3:4] != b"-":
                self._reply(line)

    def _say(self, state: str, text: str) -> None:
        self._state = state
        if self._transport is not None:
            self._transport.write(text.encode() + b"\r\n")

    def _reply(self, line: bytes) -> None:
        state, order = self._state, self._order
        if state == "content":
            number, self._number = self._number, None
            if number is not None:
                self._source.answered(number, line, self._sent_at)
            self._next()
        elif state == "quit" or line[:1] not in b"23":
            self._trouble(line)
        elif state == "greeting":
            self._say("ehlo", "EHLO desk.example")
        elif state == "ehlo" and order.login:
            secret = base64.b64encode(f"\0{order.login}\0{order.password}".encode()).decode()
            self._say("auth", f"AUTH PLAIN {secret}")
        elif state in ("ehlo", "auth"):
            self._next()
        elif state == "mail":
            self._say("rcpt", f"RCPT TO:<{self._recipient}>")
        elif state == "rcpt":
            self._say("data", "DATA")
        elif state == "data" and self._transport is not None:
            self._state = "content"
            self._transport.write(self._content + b".\r\n")
            self._sent_at = time.monotonic()
        elif state == "rset":
            self._next()

    def _trouble(self, line: bytes) -> None:
        """A refusal before the content; after QUIT, the end."""
        if self._state != "quit":
            self._number = None
            self._source.refused(line)
        if self._state in ("mail", "rcpt", "data"):
            self._say("rset", "RSET")
        elif self._transport is not None:
            self._transport.close()

    def _next(self) -> None:
        if self._messages >= self._order.per_session:
            self.quit()
        else:
            self._state = "ready"
            self._source.take(self)

    def send(self, number: int, recipient: str, content: bytes) -> None:
        """The next message."""
        if not self._messages:
            self._source.kept_promise()
        self._messages += 1
        self._number, self._recipient, self._content = number, recipient, content
        self._say("mail", f"MAIL FROM:<{self._order.sender}> SIZE={len(content)} BODY=8BITMIME")

    def quit(self) -> None:
        self._say("quit", "QUIT")


async def main(order: Order) -> Result:
    """Send it."""
    return await Source(order).run()


if __name__ == "__main__":
    sent = uvloop.run(main(msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)))
    sys.stdout.buffer.write(msgspec.json.encode(sent) + b"\n")
