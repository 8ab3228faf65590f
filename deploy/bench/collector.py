"""An intake that only counts: takes what relays ship, over HTTPS with mutual TLS, answers 202 and forgets it.

`python -m deploy.bench.collector` reads what it shall be (`Order`, JSON) on standard input and says "ready" on standard
output. With it the relay ships its events as it does in a country, and the intake's own work is not measured.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from hudhud import tls

_LENGTH = re.compile(rb"(?i)\r\nContent-Length: *(\d+)\r\n")
_TAKEN = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Order(msgspec.Struct, frozen=True):
    """Where it stands, and its certificate, key and the authority of its clients, as paths."""

    port: int
    certificate: str
    key: str
    authority: str


class Session(asyncio.Protocol):
    """One connection, one request after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head := self._buffer.find(b"\r\n\r\n")) != -1:
            length = _LENGTH.search(self._buffer, 0, head + 2)
            whole = head + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            del self._buffer[:whole]
            if self._transport is not None:
                self._transport.write(_TAKEN)


async def serve(order: Order) -> None:
    """Stand until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin, os._exit, 1)  # it says no more, it can only end: whoever started this is gone
    context = tls.server_context(Path(order.certificate), Path(order.key), client_ca=Path(order.authority))
    await loop.create_server(Session, "127.0.0.1", order.port, ssl=context)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)))
