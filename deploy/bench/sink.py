"""A next hop that only counts: SMTP and LMTP on loopback, as little work as the protocol allows.

`python -m deploy.bench.sink` reads what it shall be (`Order`, JSON) on standard input, says "ready" on standard output,
keeps its counters in a small file that others map, and ends with SIGTERM. SIGUSR1: nobody answers any more; SIGUSR2:
it is back. It can write down the Message-ID of each message with the monotonic second of its arrival, one a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import re
import signal
import struct
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, cast

import msgspec
import uvloop

from deploy.bench import message

OFFERS = ("sink", "PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 104857600", "ENHANCEDSTATUSCODES")
_COUNTS = struct.Struct("<5Q")
_END = b"\r\n.\r\n"
_ID = re.compile(rb"(?i)\nMessage-ID: <([^>\s]*)>")


class Port(msgspec.Struct, frozen=True):
    """Where a listener stands and what it speaks."""

    number: int
    protocol: Literal["smtp", "lmtp"] = "smtp"


class Order(msgspec.Struct, frozen=True):
    """What a sink shall be. `arrivals`: file for the moment and Message-ID of each message that came, or ""."""

    ports: tuple[Port, ...]
    counters: str
    arrivals: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the start: messages taken, those whose number came before, those without a number of ours, those with a
    DKIM signature, and octets."""

    messages: int
    again: int
    strange: int
    signed: int
    octets: int


def read_arrivals(path: Path) -> dict[str, list[float]]:
    """The moments at which each Message-ID came."""
    came: dict[str, list[float]] = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        moment, _, identity = line.partition(" ")
        came.setdefault(identity, []).append(float(moment))
    return came


def read_counts(path: Path) -> Counts:
    """What a sink has counted so far."""
    return Counts(*_COUNTS.unpack(path.read_bytes()[: _COUNTS.size]))


class Counter:
    """Counts messages and shows the counts to whoever maps the file."""

    def __init__(self, path: Path, arrivals: BinaryIO | None = None) -> None:
        path.write_bytes(bytes(_COUNTS.size))
        with path.open("r+b") as file:
            self._shown = mmap.mmap(file.fileno(), _COUNTS.size)
        self._arrivals = arrivals
        self._seen: set[int] = set()
        self._counts = [0] * 5

    def take(self, data: bytes) -> None:
        """One message came: `data` with its final dot."""
        counts, number = self._counts, message.number_of(data)
        counts[0] += 1
        if number is None:
            counts[2] += 1
        else:
            counts[1] += number in self._seen
            self._seen.add(number)
        counts[3] += b"DKIM-Signature:" in data[:4096]
        counts[4] += len(data)
        if self._arrivals is not None:
            identity = _ID.search(data)
            self._arrivals.write(b"%.6f %s\n" % (time.monotonic(), identity[1] if identity else b"-"))
            self._arrivals.flush()
        _COUNTS.pack_into(self._shown, 0, *counts)


class Session(asyncio.Protocol):
    """One connection. Commands may be pipelined; replies of one read go out together."""

    def __init__(self, counter: Counter, protocol: Literal["smtp", "lmtp"], open_: set[Session]) -> None:
        self._counter, self._lmtp, self._open = counter, protocol == "lmtp", open_
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._in_data = False
        self._searched = 0  # octets of the buffer in which the end was not found
        self._recipients = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)
        self._transport.write(b"220 sink\r\n")

    def connection_lost(self, _: Exception | None) -> None:
        self._open.discard(self)

    def abort(self) -> None:
        """The host is gone."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies: list[bytes] = []
        while (reply := self._content() if self._in_data else self._command()) is not None:
            replies.append(reply)
        if replies and self._transport is not None:
            self._transport.write(b"".join(replies))
            if replies[-1].startswith(b"221"):
                self._transport.close()

    def _content(self) -> bytes | None:
        """The reply to a whole message; None where more must come."""
        end = -2 if self._buffer.startswith(b".\r\n") else self._buffer.find(_END, self._searched)
        if end == -1:
            self._searched = max(len(self._buffer) - len(_END) + 1, 0)
            return None
        self._counter.take(bytes(self._buffer[: end + len(_END)]))
        del self._buffer[: end + len(_END)]
        self._in_data, self._searched = False, 0
        return b"250 2.0.0 counted\r\n" * (self._recipients if self._lmtp else 1)

    def _command(self) -> bytes | None:
        """The reply to the next command; None where its line is not whole."""
        end = self._buffer.find(b"\n")
        if end == -1:
            return None
        verb = bytes(self._buffer[:4]).upper()
        del self._buffer[: end + 1]
        if verb in (b"EHLO", b"LHLO"):
            last = len(OFFERS) - 1
            return b"".join(f"250{' ' if n == last else '-'}{text}\r\n".encode() for n, text in enumerate(OFFERS))
        if verb == b"MAIL":
            self._recipients = 0
        elif verb == b"RCPT":
            self._recipients += 1
        elif verb == b"DATA":
            self._in_data = True
            return b"354 go on\r\n"
        elif verb == b"QUIT":
            return b"221 2.0.0 bye\r\n"
        return b"250 2.0.0 ok\r\n"


class Listeners:
    """All ports together: somebody answers, or nobody does."""

    def __init__(self, ports: tuple[Port, ...], counter: Counter) -> None:
        self._ports, self._counter = ports, counter
        self._servers: list[asyncio.Server] = []
        self._sessions: set[Session] = set()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for port in self._ports:
            made = partial(Session, self._counter, port.protocol, self._sessions)
            self._servers.append(await loop.create_server(made, "127.0.0.1", port.number, backlog=1024))

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for session in tuple(self._sessions):
            session.abort()


async def serve(order: Order, counter: Counter) -> None:
    """Stand on every port until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop, listeners = asyncio.Event(), Listeners(order.ports, counter)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, listeners.close)
    tasks: set[asyncio.Task[None]] = set()
    loop.add_signal_handler(signal.SIGUSR2, lambda: tasks.add(loop.create_task(listeners.open())))
    loop.add_reader(sys.stdin, os._exit, 1)  # it says no more, it can only end: whoever started this is gone
    await listeners.open()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()


def main() -> None:
    """Read the order, be it."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    with contextlib.ExitStack() as stack:
        arrivals = stack.enter_context(Path(order.arrivals).open("wb")) if order.arrivals else None
        uvloop.run(serve(order, Counter(Path(order.counters), arrivals)))


if __name__ == "__main__":
    main()
