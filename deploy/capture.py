"""Makes the demo capture with scapy: a morning on the demo bodies' networks, the same for the same seed.

In it: a ministry's server that speaks SMTP abroad, around the relay; staff of one ministry at a foreign webmail (nine
hosts) and of another (three, too few to be shown); data carried out in DNS names; a port scan from abroad; and the
ordinary morning around them, which must stay silent: mail through the relay, the relay's own mail abroad, national
names and sites.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hudhud.entity import Entity, Registry
from sensors import dissect

FREEMAIL_MX, WEBMAIL = "198.51.100.25", "198.51.100.80"
TUNNEL_SERVER, SCANNER = "203.0.113.53", "203.0.113.99"
WEBMAIL_NAME, TUNNEL_ZONE = "webmail.freemail.example", "exchange.example"
MANY, FEW = "HEA", "JUS"  # ministries whose staff use the webmail: nine hosts, three hosts
EGRESS, TUNNELS, SCANNED = "FIN", "EDU", "INT"
SECONDS = 420.0  # from the first packet to the last


def make_capture(
    path: Path,
    registry: Registry | None = None,
    *,
    run_id: str = "demo",
    start: datetime = datetime(2026, 8, 1, 8, tzinfo=UTC),
    seed: int = 1,
) -> int:
    """Write the capture (pcap, Ethernet) to `path`; the number of packets. `run_id` stands in the egress's HELO."""
    if registry is None:
        from deploy.demo import demo_registry

        registry = demo_registry()
    dice = random.Random(seed)  # noqa: S311 - a reproducible play, nothing secret
    morning = _Morning(registry, run_id, dice, start.timestamp())
    packets = sorted(morning.packets(), key=lambda packet: float(packet.time))
    scapy = dissect.layers()
    with scapy.PcapWriter(str(path), linktype=1, nano=False) as writer:
        for packet in packets:
            writer.write(packet)
    return len(packets)


@dataclass(slots=True)
class _Morning:
    registry: Registry
    run_id: str
    dice: random.Random
    start: float
    scapy: Any = field(default_factory=dissect.layers)

    def packets(self) -> Iterator[Any]:
        """Every packet of the morning, in no order."""
        relay, resolver = "192.0.2.10", "192.0.2.3"
        yield from self._egress()
        for code, count in ((MANY, 9), (FEW, 3)):
            for host in self._hosts(code, "staff")[:count]:
                yield from self._webmail(host, resolver)
        yield from self._tunnel(resolver)
        yield from self._scan()
        for entity in self.registry.entities.values():
            yield from self._ordinary(entity, relay, resolver)
        yield from self._smtp(self._when(), relay, FREEMAIL_MX, "mx.relay.saba.example", "huda@health.saba.example")

    def _hosts(self, code: str, kind: str) -> list[str]:
        """Addresses of a body's first IPv4 network of that class, mail hosts apart."""
        entity = self.registry.entity(code)
        network = next(n.prefix for n in entity.networks if n.kind == kind and n.prefix.version == 4)
        return [str(host) for host in network.hosts() if host not in entity.mail_hosts]

    def _when(self) -> float:
        return self.start + self.dice.uniform(0, SECONDS - 20)

    def _egress(self) -> Iterator[Any]:
        server = self._hosts(EGRESS, "server")[6]
        helo = f"reports-{self.run_id}.finance.saba.example"
        for _ in range(3):
            yield from self._smtp(self._when(), server, FREEMAIL_MX, helo, "reports@finance.saba.example")

    def _webmail(self, host: str, resolver: str) -> Iterator[Any]:
        at = self._when()
        yield from self._lookup(at, host, resolver, WEBMAIL_NAME, WEBMAIL)
        yield from self._tls(at + 0.05, host, WEBMAIL, WEBMAIL_NAME)

    def _tunnel(self, resolver: str) -> Iterator[Any]:
        """Eighty names within two minutes, as iodine or dns2tcp make them."""
        host, at = self._hosts(TUNNELS, "server")[4], self.start + 60
        for number in range(80):
            label = "".join(self.dice.choices("abcdefghijklmnopqrstuvwxyz234567", k=44))
            yield from self._lookup(at + number * 1.4, host, TUNNEL_SERVER, f"{label}.{TUNNEL_ZONE}", None)

    def _scan(self) -> Iterator[Any]:
        target, at = self._hosts(SCANNED, "server")[1], self.start + 200
        for number, port in enumerate(self.dice.sample(range(1, 10_000), 60)):
            when, source = at + number * 0.2, self.dice.randrange(40_000, 60_000)
            yield self._tcp(when, SCANNER, target, source, port, "S", 1000 + number, 0)
            if number % 3:
                yield self._tcp(when + 0.01, target, SCANNER, port, source, "RA", 0, 1001 + number)

    def _ordinary(self, entity: Entity, relay: str, resolver: str) -> Iterator[Any]:
        """Mail to the relay, national names, national sites, a mail program at its own server."""
        staff, mail_host = self._hosts(entity.code, "staff"), str(entity.mail_hosts[0])
        site = f"www.{entity.domains[0]}"
        if mail_host != relay:
            yield from self._smtp(
                self._when(), mail_host, relay, f"mail.{entity.domains[0]}", f"diwan@{entity.domains[0]}"
            )
        for host in staff[:5]:
            at = self._when()
            yield from self._lookup(at, host, resolver, site, mail_host)
            yield from self._tls(at + 0.03, host, mail_host, site)
        for host in staff[5:8]:
            yield from self._tls(self._when(), host, "203.0.113.80", "news.example")

    def _lookup(self, at: float, host: str, server: str, name: str, answer: str | None) -> Iterator[Any]:
        s, port, number = self.scapy, self.dice.randrange(20_000, 60_000), self.dice.randrange(65_536)
        question = s.DNSQR(qname=name, qtype="A" if answer else "TXT")
        yield self._frame(at, host, server, s.UDP(sport=port, dport=53) / s.DNS(id=number, rd=1, qd=question))
        kind, data = ("A", answer) if answer else ("TXT", "ok")
        reply = s.DNS(id=number, qr=1, rd=1, ra=1, qd=question, an=s.DNSRR(rrname=name, type=kind, ttl=60, rdata=data))
        yield self._frame(at + 0.01, server, host, s.UDP(sport=53, dport=port) / reply)

    def _tls(self, at: float, client: str, server: str, name: str) -> Iterator[Any]:
        yield from self._talk(
            at, client, server, 443, [(True, client_hello(name, self.dice)), (False, server_hello(self.dice))]
        )

    def _smtp(self, at: float, client: str, server: str, helo: str, sender: str) -> Iterator[Any]:
        lines = [
            (False, "220 mx ESMTP"), (True, f"EHLO {helo}"), (False, "250 mx"), (True, f"MAIL FROM:<{sender}>"),
            (False, "250 ok"), (True, "RCPT TO:<noor@freemail.example>"), (False, "250 ok"), (True, "DATA"),
            (False, "354 go on"), (True, f"Subject: run {self.run_id}\r\n\r\nA morning's report.\r\n."),
            (False, "250 queued"), (True, "QUIT"), (False, "221 bye"),
        ]  # fmt: skip
        yield from self._talk(at, client, server, 25, [(side, line.encode() + b"\r\n") for side, line in lines])

    def _talk(self, at: float, client: str, server: str, port: int, turns: list[tuple[bool, bytes]]) -> Iterator[Any]:
        """A whole TCP conversation: handshake, turns (True: the client's), both FINs."""
        source = self.dice.randrange(20_000, 60_000)
        mine, theirs = self.dice.randrange(1 << 31), self.dice.randrange(1 << 31)
        ends = ((client, server, source, port), (server, client, port, source))
        yield self._tcp(at, *ends[0], "S", mine, 0)
        yield self._tcp(at + 0.002, *ends[1], "SA", theirs, mine + 1)
        yield self._tcp(at + 0.004, *ends[0], "A", mine + 1, theirs + 1)
        mine, theirs, at = mine + 1, theirs + 1, at + 0.006
        for from_client, data in turns:
            at += 0.01
            if from_client:
                yield self._tcp(at, *ends[0], "PA", mine, theirs, data)
                mine += len(data)
            else:
                yield self._tcp(at, *ends[1], "PA", theirs, mine, data)
                theirs += len(data)
        yield self._tcp(at + 0.01, *ends[0], "FA", mine, theirs)
        yield self._tcp(at + 0.012, *ends[1], "FA", theirs, mine + 1)
        yield self._tcp(at + 0.014, *ends[0], "A", mine + 1, theirs + 1)

    def _tcp(  # noqa: PLR0917 - a segment is its header
        self, at: float, source: str, target: str, sport: int, dport: int, flags: str, seq: int, ack: int,
        data: bytes = b"",
    ) -> Any:  # fmt: skip
        segment = self.scapy.TCP(sport=sport, dport=dport, flags=flags, seq=seq % (1 << 32), ack=ack % (1 << 32))
        return self._frame(at, source, target, segment / self.scapy.Raw(data) if data else segment)

    def _frame(self, at: float, source: str, target: str, payload: Any) -> Any:
        s = self.scapy
        frame = s.Ether(src=_mac(source), dst=_mac(target)) / s.IP(src=source, dst=target, ttl=63) / payload
        frame.time = at
        return frame


def _mac(address: str) -> str:
    """A locally administered card for each address."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def client_hello(name: str, dice: random.Random) -> bytes:
    """A TLS record with a ClientHello as a browser of today sends it (RFC 8446 section 4.1.2)."""
    host = name.encode()
    extensions = b"".join((
        _extension(0, struct.pack(">HBH", len(host) + 3, 0, len(host)) + host),
        _extension(10, bytes.fromhex("0006001d00170018")),
        _extension(11, b"\x01\x00"),
        _extension(13, bytes.fromhex("000804030804040108050503")[:10]),
        _extension(16, b"\x00\x0c\x02h2\x08http/1.1"),
        _extension(43, bytes.fromhex("0403040303")),
        _extension(51, struct.pack(">HHH", 36, 29, 32) + dice.randbytes(32)),
    ))  # fmt: skip
    ciphers = bytes.fromhex("130113021303c02bc02fc02cc030cca9cca8")
    body = (
        b"\x03\x03" + dice.randbytes(32) + b"\x20" + dice.randbytes(32) + struct.pack(">H", len(ciphers)) + ciphers
        + b"\x01\x00" + struct.pack(">H", len(extensions)) + extensions
    )  # fmt: skip
    return _handshake(1, body)


def server_hello(dice: random.Random) -> bytes:
    """A TLS record with a ServerHello that chooses TLS 1.3."""
    extensions = _extension(43, b"\x03\x04") + _extension(51, struct.pack(">HH", 29, 32) + dice.randbytes(32))
    body = (
        b"\x03\x03" + dice.randbytes(32) + b"\x00" + b"\x13\x01\x00" + struct.pack(">H", len(extensions)) + extensions
    )
    return _handshake(2, body)


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">HH", kind, len(data)) + data


def _handshake(kind: int, body: bytes) -> bytes:
    message = bytes((kind,)) + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message
