"""What the sensors' tests share: packets made by hand, and a sensor that keeps what leaves it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from hudhud.entity import Registry
from hudhud.event import Value
from sensors.watch import Watch
from sensors.wire import Block

START = 1_785_571_200.0  # 2026-08-01 08:00 UTC


def frame(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """Ethernet and IP around a transport segment."""
    if ":" in source:
        ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
        return b"\x02" * 12 + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    return b"\x02" * 12 + b"\x08\0" + header + ends + payload


def tcp(source: str, sport: int, target: str, dport: int, flags: int, seq: int, ack: int, data: bytes = b"") -> bytes:
    segment = struct.pack(">HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, 0x50, flags, 1024, 0, 0)
    return frame(source, target, 6, segment + data)


def udp(source: str, sport: int, target: str, dport: int, data: bytes) -> bytes:
    return frame(source, target, 17, struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data)


def query(name: str, kind: int = 1) -> bytes:
    """A DNS question."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def talk(
    client: str, server: str, port: int, turns: list[tuple[bool, bytes]], *, sport: int = 40_000
) -> Iterator[bytes]:
    """A whole TCP conversation; True marks the client's turn."""
    mine, theirs = 1000, 9000
    yield tcp(client, sport, server, port, 2, mine, 0)
    yield tcp(server, port, client, sport, 0x12, theirs, mine + 1)
    mine, theirs = mine + 1, theirs + 1
    yield tcp(client, sport, server, port, 0x10, mine, theirs)
    for from_client, data in turns:
        if from_client:
            yield tcp(client, sport, server, port, 0x18, mine, theirs, data)
            mine += len(data)
        else:
            yield tcp(server, port, client, sport, 0x18, theirs, mine, data)
            theirs += len(data)
    yield tcp(client, sport, server, port, 0x11, mine, theirs)
    yield tcp(server, port, client, sport, 0x11, theirs, mine + 1)


SMTP_TURNS = [
    (False, b"220 mx ESMTP\r\n"), (True, b"EHLO app.example\r\n"), (False, b"250 mx\r\n"),
    (True, b"MAIL FROM:<app@finance.saba.example>\r\n"), (False, b"250 ok\r\n"),
    (True, b"RCPT TO:<noor@freemail.example>\r\n"), (False, b"250 ok\r\n"), (True, b"DATA\r\n"), (False, b"354 go\r\n"),
    (True, b"Subject: canary-subject\r\n\r\ncanary-body\r\n.\r\n"), (False, b"250 queued\r\n"), (True, b"QUIT\r\n"),
]  # fmt: skip


def block(frames: list[bytes], *, start: float = START, step: float = 0.01, link: int = 1) -> Block:
    """Frames as one block, `step` seconds apart."""
    data, records, at = b"".join(frames), [], 0
    for number, one in enumerate(frames):
        records.append((start + number * step, at, at + len(one), len(one)))
        at += len(one)
    return Block(link, data, records)


@dataclass
class Sensor:
    """A watch and everything that left it."""

    registry: Registry | None
    left: list[tuple[float, dict[str, Value]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = Watch(lambda time, fields: self.left.append((time, fields)), self.registry)

    def see(self, frames: list[bytes], **where: float) -> Sensor:
        self.watch.take(block(frames, **where))
        return self

    def done(self) -> Sensor:
        self.watch.finish()
        return self

    def of(self, dataset: str) -> list[dict[str, Value]]:
        return [fields for _, fields in self.left if fields["event.dataset"] == f"hudhud.{dataset}"]

    def alerts(self, rule: str) -> list[dict[str, Value]]:
        return [fields for _, fields in self.left if fields.get("rule.id") == rule]
