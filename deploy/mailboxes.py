"""The lab's mailbox servers: one listener a ministry, SMTP or LMTP (RFC 5321, RFC 2033), and maildirs behind it.

They also play the foreign hosts of the demo country. They keep bytes exactly as they came: tests compare them.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from hudhud import log

MAX_LINE = 4096  # octets of one command line
MAX_MESSAGE = 64 * 1024 * 1024  # octets
HOLD = (
    "closed"  # while this file stands in the root, every listener answers 421: the tour closes the ministries with it
)
CLOSED = b"421 4.3.2 closed for a while\r\n"

_log = log.get(__name__)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where one listener stands, what it speaks, and the domains it keeps mailboxes for."""

    host: str
    port: int
    protocol: Literal["smtp", "lmtp"]
    domains: tuple[str, ...]


def maildir(root: Path, address: str) -> Path:
    """The maildir of an address; its parts are made safe as file names."""
    local, _, domain = address.rpartition("@")
    safe = [
        "".join(c if c.isalnum() or c in "-_+." else "_" for c in part).lstrip(".") or "_" for part in (domain, local)
    ]
    return root / safe[0].lower() / safe[1].lower() / "Maildir"


def deliver(root: Path, address: str, data: bytes) -> Path:
    """Put one message into a maildir: written and fsynced in tmp/, then moved to new/."""
    folder = maildir(root, address)
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    name = f"{time.time():.6f}.{os.getpid()}_{next(_numbers)}.lab"
    fresh = folder / "tmp" / name
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return fresh.rename(folder / "new" / name)


class Session:
    """One connection: just enough of the protocol to receive, strictly."""

    def __init__(self, mailbox: Mailbox, root: Path, tls: ssl.SSLContext | None) -> None:
        self._mailbox, self._root, self._tls = mailbox, root, tls
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._secure = False

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._closed():
                writer.write(CLOSED)
                return
            writer.write(f"220 {self._mailbox.domains[0]} lab {self._mailbox.protocol.upper()}\r\n".encode())
            while line := await reader.readuntil(b"\n"):
                verb, _, rest = line.strip().partition(b" ")
                if verb.upper() == b"DATA" and self._recipients:
                    writer.write(b"354 go on\r\n")
                    await writer.drain()
                    writer.write(self._store(await _read_data(reader)))
                elif verb.upper() == b"STARTTLS" and self._tls is not None and not self._secure:
                    writer.write(b"220 go on\r\n")
                    await writer.drain()
                    await writer.start_tls(self._tls)
                    self._secure = True
                elif verb.upper() == b"MAIL" and self._closed():
                    writer.write(CLOSED)
                    break
                elif verb.upper() == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    writer.write(self._answer(verb.upper().decode("latin-1"), rest))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ssl.SSLError, ValueError):
            pass
        finally:
            writer.close()

    def _closed(self) -> bool:
        return (self._root / HOLD).exists()

    def _answer(self, verb: str, rest: bytes) -> bytes:
        if verb == ("LHLO" if self._mailbox.protocol == "lmtp" else "EHLO"):
            offers = ["8BITMIME", "SMTPUTF8", "PIPELINING", f"SIZE {MAX_MESSAGE}", "ENHANCEDSTATUSCODES", "DSN"]
            offers += ["STARTTLS"] if self._tls is not None and not self._secure else []
            lines = [self._mailbox.domains[0], *offers]
            return b"".join(f"250{'-' if n < len(lines) - 1 else ' '}{t}\r\n".encode() for n, t in enumerate(lines))
        if verb == "MAIL":
            self._sender, self._recipients = _path(rest), []
            return b"250 2.1.0 ok\r\n"
        if verb == "RCPT" and self._sender is not None:
            return self._rcpt(_path(rest))
        if verb in {"RSET", "NOOP", "HELO"}:
            self._recipients = []
            return b"250 2.0.0 ok\r\n"
        return b"503 5.5.1 not here\r\n"

    def _rcpt(self, address: str) -> bytes:
        domain = address.rpartition("@")[2].lower()
        if domain not in self._mailbox.domains and domain.encode("idna").decode() not in self._mailbox.domains:
            return b"550 5.1.1 no such mailbox here\r\n"
        if address.startswith("full@"):
            return b"452 4.2.2 mailbox full\r\n"
        if address.startswith("nobody@"):
            return b"550 5.1.1 no such mailbox here\r\n"
        self._recipients.append(address)
        return b"250 2.1.5 ok\r\n"

    def _store(self, data: bytes) -> bytes:
        for address in self._recipients:
            deliver(self._root, address, data)
        replies = len(self._recipients) if self._mailbox.protocol == "lmtp" else 1
        self._sender, self._recipients = None, []
        return b"250 2.0.0 stored\r\n" * replies


def _path(rest: bytes) -> str:
    inner = rest[rest.index(b"<") + 1 : rest.rindex(b">")]
    return inner.decode("utf-8", "replace")


async def _read_data(reader: asyncio.StreamReader) -> bytes:
    """The message, dots unstuffed, every other byte as it came."""
    lines: list[bytes] = []
    size = 0
    while (line := await reader.readuntil(b"\n")) != b".\r\n":
        size += len(line)
        if size > MAX_MESSAGE:
            raise ValueError("message too large")
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(lines)


async def serve(mailboxes: Sequence[Mailbox], root: Path, tls: ssl.SSLContext | None) -> list[asyncio.Server]:
    """Open every listener; mail that comes lies in maildirs below `root`."""
    servers = []
    for mailbox in mailboxes:

        async def session(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mailbox: Mailbox = mailbox
        ) -> None:
            await Session(mailbox, root, tls).run(reader, writer)

        servers.append(await asyncio.start_server(session, mailbox.host, mailbox.port, limit=1 << 20))
        _log.info("mailbox server", domains=list(mailbox.domains), port=mailbox.port, protocol=mailbox.protocol)
    return servers
