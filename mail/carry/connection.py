"""One connection to a next hop: commands out, replies in, each bounded in bytes, lines, number and time (RFC 5321)."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

MAX_LINE = 4096  # octets of one reply line; RFC 5321 section 4.5.3.1.5 allows 512
MAX_LINES = 200  # lines of one reply
MAX_TEXT = 1000  # characters of a reply that are kept
QUIT_WAIT = 5.0  # seconds for the answer to QUIT
_DER: Final = 2  # _ssl.ENCODING_DER

_SIZE = re.compile(r"[0-9]{1,20}\Z")
_LINE = re.compile(rb"([2345][0-9]{2})([ -]|\Z)(.*)\Z", re.DOTALL)


class Lost(Exception):  # noqa: N818 - what the world did, caught in mail/delivery.py; never leaves it
    """The connection is of no more use; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: `lines` without the code, printable."""

    code: int
    lines: tuple[str, ...]

    @property
    def good(self) -> bool:
        return 200 <= self.code < 300

    @property
    def text(self) -> str:
        """The whole reply on one line, cut at MAX_TEXT characters."""
        return f"{self.code} {' '.join(line for line in self.lines if line)}".strip()[:MAX_TEXT]


@dataclass(frozen=True, slots=True)
class Features:
    """What EHLO or LHLO offered. `size` in octets, None where no limit was named."""

    pipelining: bool = False
    starttls: bool = False
    eight_bit: bool = False
    utf8: bool = False
    dsn: bool = False
    requiretls: bool = False
    offers_size: bool = False
    size: int | None = None

    @classmethod
    def read(cls, lines: tuple[str, ...]) -> Features:
        """From the lines of the reply; the first is the greeting."""
        offered: dict[str, str] = {}
        for line in lines[1:]:
            keyword, _, parameters = line.strip().partition(" ")
            offered.setdefault(keyword.upper(), parameters.strip())
        size = offered.get("SIZE", "")
        return cls(
            pipelining="PIPELINING" in offered,
            starttls="STARTTLS" in offered,
            eight_bit="8BITMIME" in offered,
            utf8="SMTPUTF8" in offered,
            dsn="DSN" in offered,
            requiretls="REQUIRETLS" in offered,
            offers_size="SIZE" in offered,
            size=(int(size) or None) if _SIZE.match(size) else None,  # SIZE 0: no limit (RFC 1870 section 4)
        )


def printable(data: bytes) -> str:
    """Words of the world, safe to log and to show: what cannot be printed (bidi controls too) becomes `?`."""
    text = data[:MAX_LINE].decode("utf-8", "replace")
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


class Connection(asyncio.Protocol):
    """A socket to one address of a next hop. Made by `open_connection`."""

    def __init__(self, max_reply_bytes: int) -> None:
        self.features = Features()
        self.messages = 0  # transactions begun on it
        self.tls = ""
        self.proven = False  # whether its certificate was checked, by authorities or by DANE
        self.lost = ""  # why it is of no more use
        self.closed = False
        self._max_reply_bytes = max_reply_bytes
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._code = 0
        self._reply_bytes = 0
        self._expected = 1  # the greeting
        self._answers: deque[Answer] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._quitting: asyncio.TimerHandle | None = None
        self.idle: asyncio.TimerHandle | None = None

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.lost:
            return
        self._buffer += data
        while not self.lost and (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._take(line.removesuffix(b"\r"))
        if len(self._buffer) > MAX_LINE:
            self.abort("its reply line was too long")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._gone(f"the connection broke: {error}" if error else "it closed the connection")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # what delivery calls

    def send(self, data: bytes, expect: int) -> None:
        """Write bytes to which `expect` replies belong."""
        if self.lost or self._transport is None:
            raise Lost(self.lost or "it was never open")
        self._expected += expect
        self._transport.write(data)

    async def drain(self, within: float) -> None:
        """Wait until the next hop takes more bytes, at most `within` seconds."""
        if self._writable.is_set() and not self.lost:
            return
        try:
            async with asyncio.timeout(within):
                await self._writable.wait()
        except TimeoutError:
            self.abort(f"it took no bytes for {within:g} s")
        if self.lost:
            raise Lost(self.lost)

    async def answer(self, within: float) -> Answer:
        """The next reply, within `within` seconds; Lost where none comes. Replies before a break still count."""
        if not self._answers:
            if self.lost:
                raise Lost(self.lost)
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(within, self.abort, f"it did not answer for {within:g} s")
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        if not self._answers:
            raise Lost(self.lost)
        return self._answers.popleft()

    async def ask(self, command: bytes, within: float) -> Answer:
        """Send one command and wait for its reply."""
        self.send(command, 1)
        return await self.answer(within)

    async def secure(self, context: ssl.SSLContext, name: str, within: float) -> None:
        """TLS from here on (after the 220 to STARTTLS). Bytes that came before the handshake break it off."""
        if self._transport is None or self._buffer or self._answers or self._lines:
            self.abort("it sent bytes between STARTTLS and the handshake")
        if self.lost or self._transport is None:
            raise Lost(self.lost)
        try:
            secured = await self._loop.start_tls(
                self._transport, self, context, server_hostname=name, ssl_handshake_timeout=within
            )
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError, a name that cannot be checked a ValueError
            self.abort(f"TLS failed: {error}")
            raise Lost(self.lost) from None
        if secured is None:
            raise Lost("TLS failed: the connection closed")
        self._transport = secured
        self.features = Features()  # RFC 3207 section 4.2: forget what was said in the clear
        version = secured.get_extra_info("ssl_object")
        self.tls = (version.version() or "") if version is not None else ""

    def certificate(self) -> Mapping[str, Any]:
        """What the next hop's certificate says, where its chain was verified; else nothing."""
        secured = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return (secured.getpeercert() or {}) if secured is not None else {}

    def chain(self) -> list[bytes]:
        """The certificates that the next hop showed (DER), its own first."""
        secured = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        if secured is None:
            return []
        if hasattr(secured, "get_unverified_chain"):  # public from Python 3.13 on
            return list(secured.get_unverified_chain() or ())
        return [one.public_bytes(_DER) for one in secured._sslobj.get_unverified_chain() or ()]

    def quit(self) -> None:
        """Say QUIT and close once it is answered, or after QUIT_WAIT seconds; does not wait."""
        if self.lost or self._quitting is not None:
            return
        self._quitting = self._loop.call_later(QUIT_WAIT, self.abort, "it did not answer QUIT")
        self.send(b"QUIT\r\n", 1)

    def abort(self, reason: str) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
        self._gone(reason)

    # inside

    def _take(self, line: bytes) -> None:
        found = _LINE.match(line)
        self._reply_bytes += len(line) + 2
        if found is None or (self._lines and int(found[1]) != self._code):
            return self.abort(f"its reply makes no sense: {printable(line[:80])}")
        if self._reply_bytes > self._max_reply_bytes or len(self._lines) >= MAX_LINES or len(line) > MAX_LINE:
            return self.abort("its reply was too long")
        self._code = int(found[1])
        self._lines.append(printable(found[3]))
        return None if found[2] == b"-" else self._complete()

    def _complete(self) -> None:
        answer = Answer(self._code, tuple(self._lines))
        self._lines, self._reply_bytes = [], 0
        if not self._expected:
            return self.abort(f"it spoke unasked: {answer.text}")
        self._expected -= 1
        if self._quitting is not None and self._transport is not None:
            self._quitting.cancel()
            return self._transport.close()
        self._answers.append(answer)
        self._wake()
        return None

    def _gone(self, reason: str) -> None:
        self.lost = self.lost or reason
        for timer in (self._quitting, self.idle):
            if timer is not None:
                timer.cancel()
        self._writable.set()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def open_connection(host: str, port: int, *, within: float, max_reply_bytes: int) -> Connection:
    """A connection within `within` seconds; Lost where there is none. The greeting is still to be read."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(within):
            _, connection = await loop.create_connection(lambda: Connection(max_reply_bytes), host, port)
    except TimeoutError:
        raise Lost(f"no connection within {within:g} s") from None
    except OSError as error:
        raise Lost(f"no connection: {error.strerror or error}") from None
    return connection
