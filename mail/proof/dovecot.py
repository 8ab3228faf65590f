"""Dovecot's auth socket as a back end: its auth-client protocol 1.2, one connection a worker, many log-ins on it.

https://doc.dovecot.org/2.3/developer_manual/design/auth_protocol/
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import os
from typing import Final

from hudhud import log
from hudhud.entity import a_label
from hudhud.settings import Dovecot as Settings
from mail.accounts import normal
from mail.proof.known import Asked, BackendDown, Known, NotOffered

MAX_LINE: Final = 16_384  # octets, AUTH_CLIENT_MAX_LINE_LENGTH is 8192
RENEWED_S: Final = 60.0
PASSED: Final = frozenset({"SCRAM-SHA-256"})  # mechanisms that go through it word for word

_log = log.get(__name__)
Answer = tuple[str, list[str]]  # OK, CONT or FAIL, and its fields


class Dovecot:
    """One Dovecot. A connection that broke is opened again by the next log-in."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name, self._settings = f"dovecot.{name}", settings
        self.domains = frozenset(one if one == "*" else a_label(one) for one in settings.domains)
        self._offers: frozenset[str] = frozenset()
        self._opened = 0.0
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[Answer | None]] = {}

    @property
    def mechanisms(self) -> frozenset[str]:
        return self._offers & PASSED

    async def verify(self, asked: Asked, password: bytes) -> Known | None:
        talk = await self._talk("PLAIN", asked)
        try:
            answer = await talk.step(b"\0" + asked.address.encode() + b"\0" + password)
        finally:
            talk.close()
        return answer if isinstance(answer, Known) else None

    async def exchange(self, mechanism: str, asked: Asked, *, main: bool = True) -> Talk:
        if not main or mechanism not in PASSED:
            raise NotOffered
        talk = await self._talk(mechanism, asked)
        if mechanism not in self._offers:
            talk.close()
            raise NotOffered
        return talk

    async def look(self) -> None:
        """Open the connection, which tells what it offers; BackendDown."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._open()
        except (TimeoutError, OSError, ValueError) as error:
            raise BackendDown(self.name, f"{self._settings.socket}: {str(error) or 'no greeting'}") from None

    async def close(self) -> None:
        self._drop()

    # inside

    async def _talk(self, mechanism: str, asked: Asked) -> Talk:
        if not self._waiting and asyncio.get_running_loop().time() - self._opened > RENEWED_S:
            self._drop()  # an auth process that Dovecot has replaced lives on as long as we hold it
        await self.look()
        if len(self._waiting) >= self._settings.max_pending:
            raise BackendDown(self.name, f"{self._settings.max_pending} log-ins wait already")
        return Talk(self, next(self._numbers) % (1 << 31), mechanism, asked)

    async def _open(self) -> None:
        async with self._opening:
            if self._writer is not None:
                return
            reader, writer = await asyncio.open_unix_connection(self._settings.socket, limit=MAX_LINE)
            try:
                self._offers = await _greeting(reader)
            except BaseException:
                writer.close()
                raise
            writer.write(f"VERSION\t1\t2\nCPID\t{os.getpid()}\n".encode())
            self._opened = asyncio.get_running_loop().time()
            self._writer, self._reading = writer, asyncio.create_task(self._read(reader, writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                kind, *fields = line.decode("utf-8", "replace").rstrip("\n").split("\t")
                if kind in ("OK", "CONT", "FAIL") and fields and fields[0].isdigit():
                    queue = self._waiting.get(int(fields[0]))
                    if queue is not None:
                        queue.put_nowait((kind, fields[1:]))
        except (OSError, ValueError) as error:
            _log.warning("Dovecot's connection broke", backend=self.name, problem=str(error))
        finally:
            if self._writer is writer:
                self._drop()

    def _drop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        if self._reading is not None and self._reading is not asyncio.current_task():
            self._reading.cancel()
        for queue in self._waiting.values():
            queue.put_nowait(None)

    async def say(self, number: int, line: str) -> Answer:
        """Send a line of that conversation and wait for the answer to it. BackendDown."""
        queue = self._waiting.setdefault(number, asyncio.Queue())
        if self._writer is None:
            raise BackendDown(self.name, "the connection broke")
        self._writer.write(line.encode() + b"\n")
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await queue.get()
        except TimeoutError:
            self._drop()  # it hangs: others are not made to wait for it as well
            raise BackendDown(self.name, f"no answer within {self._settings.timeout_s:g} s") from None
        if answer is None:
            raise BackendDown(self.name, "the connection broke")
        return answer

    def forget(self, number: int, *, running: bool) -> None:
        """The conversation is over; one that did not come to its end is cancelled there too."""
        self._waiting.pop(number, None)
        if running and self._writer is not None:
            self._writer.write(f"CANCEL\t{number}\n".encode())


class Talk:
    """One conversation with it."""

    def __init__(self, dovecot: Dovecot, number: int, mechanism: str, asked: Asked) -> None:
        self._dovecot, self._number, self._mechanism, self._asked = dovecot, number, mechanism, asked
        self._running = False

    async def step(self, message: bytes) -> bytes | Known | None:
        coded = base64.b64encode(message).decode()
        if self._running:
            line = f"CONT\t{self._number}\t{coded}"
        else:
            place = f"\trip={self._asked.ip}" if self._asked.ip else ""
            more = f"service=smtp\tsecured\tnologin\tno-penalty{place}\tresp={coded}"  # how often, we count ourselves
            line = f"AUTH\t{self._number}\t{self._mechanism}\t{more}"
        self._running = True
        kind, fields = await self._dovecot.say(self._number, line)
        if kind == "CONT":
            try:
                return base64.b64decode(fields[0] if fields else "", validate=True)
            except binascii.Error:
                raise BackendDown(self._dovecot.name, "a challenge that is not base64") from None
        self._running = False
        if kind == "FAIL":
            if "temp" in fields or "code=temp_fail" in fields:
                raise BackendDown(self._dovecot.name, "a fault of its own")
            return None
        user = next((_plain(one[5:]) for one in fields if one.startswith("user=")), "")
        if "@" not in user and self._dovecot.domains != {self._asked.domain}:
            _log.error("Dovecot tells no domain, but serves several", backend=self._dovecot.name)
            return None
        try:
            return Known(normal(user if "@" in user else f"{user}@{self._asked.domain}"))
        except ValueError:
            raise BackendDown(self._dovecot.name, "a user name that is no address") from None

    def close(self) -> None:
        self._dovecot.forget(self._number, running=self._running)
        self._running = False


async def _greeting(reader: asyncio.StreamReader) -> frozenset[str]:
    """The mechanisms that it names before DONE; ValueError where it is no auth socket of version 1."""
    offers: set[str] = set()
    while True:
        kind, *fields = (await reader.readline()).decode("utf-8", "replace").rstrip("\n").split("\t")
        if kind == "DONE":
            return frozenset(offers)
        if kind == "":
            raise ValueError("closed before its greeting ended")
        if kind == "VERSION" and fields[:1] != ["1"]:
            raise ValueError(f"speaks version {'.'.join(fields)} of the auth protocol, not 1")
        if kind == "MECH" and fields:
            offers.add(fields[0].upper())


def _plain(text: str) -> str:
    """Without the escapes of Dovecot's tab-separated lines."""
    for escaped, meant in (("\x01t", "\t"), ("\x01n", "\n"), ("\x01r", "\r"), ("\x010", "\0"), ("\x011", "\x01")):
        text = text.replace(escaped, meant)
    return text
