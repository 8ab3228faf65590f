"""The lab's name server: answers the demo zone on loopback, so that nothing of the lab asks the outside."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Literal, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

TTL = 60  # seconds
Zone = dict[str, dict[str, list[str]]]


def answer(zone: Zone, wire: bytes) -> bytes | None:
    """The reply to one question, as wire bytes; None for what is no question. Names outside the zone: NXDOMAIN."""
    try:
        query = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError):
        return None
    if not query.question or query.flags & dns.flags.QR:
        return None
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA | dns.flags.RA
    question = query.question[0]
    name = question.name.to_text(omit_final_dot=True).lower()
    kind = dns.rdatatype.to_text(question.rdtype)
    records = zone.get(name)
    if records is None:
        inner = any(other.endswith("." + name) for other in zone)
        reply.set_rcode(dns.rcode.NOERROR if inner else dns.rcode.NXDOMAIN)
    elif kind in records:
        texts = [_strings(text) for text in records[kind]] if kind == "TXT" else records[kind]
        reply.answer.append(dns.rrset.from_text_list(question.name, TTL, dns.rdataclass.IN, kind, texts))
    return reply.to_wire()


def _strings(text: str) -> str:
    """A TXT record as quoted strings of at most 255 octets (RFC 1035 section 3.3.14)."""
    return " ".join(f'"{text[at : at + 250]}"' for at in range(0, max(len(text), 1), 250))


def read_zone(path: Path) -> Zone:
    """The zone file: {"name": {"TXT": [...], "MX": [...]}}, names in A-labels."""
    zone: Zone = json.loads(path.read_text(encoding="utf-8"))
    return {name.lower().rstrip("."): records for name, records in zone.items()}


def failure(wire: bytes) -> bytes:
    """SERVFAIL to one question, as wire bytes."""
    reply = dns.message.make_response(dns.message.from_wire(wire))
    reply.set_rcode(dns.rcode.SERVFAIL)
    return reply.to_wire()


class NameServer(asyncio.DatagramProtocol):
    """UDP and TCP (RFC 1035, RFC 7766) over one zone, read again when its file changes.

    `state`: "up", or how it fails from now on.
    """

    def __init__(self, path: Path) -> None:
        self.state: Literal["up", "failing", "silent"] = "up"
        self._path = path
        self._stamp = -1
        self._zone: Zone = {}
        self._transport: asyncio.DatagramTransport | None = None

    def zone(self) -> Zone:
        stamp = self._path.stat().st_mtime_ns
        if stamp != self._stamp:
            self._zone, self._stamp = read_zone(self._path), stamp
        return self._zone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # asyncio's own class says so only from 3.12 on

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._reply(data)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)

    def _reply(self, wire: bytes) -> bytes | None:
        if self.state == "silent":
            return None
        return answer(self.zone(), wire) if self.state == "up" else failure(wire)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await asyncio.wait_for(reader.readexactly(2), 10))
                reply = self._reply(await asyncio.wait_for(reader.readexactly(length), 10))
                if reply is None:
                    break
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()


async def serve(path: Path, host: str, port: int, server: NameServer | None = None) -> asyncio.Server:
    """Answer on host:port, UDP and TCP, until the server is closed. `server`: one whose state the caller changes."""
    server = server or NameServer(path)
    server.zone()
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: server, local_addr=(host, port))
    return await asyncio.start_server(server.stream, host, port)
