"""ARP (RFC 826), lightly: each new binding of an address to a card is told once."""

from __future__ import annotations

import socket
import struct

from hudhud.event import Value
from sensors.observation import Observation, Tell
from sensors.protocols.dhcp import mac_text

MAX_BINDINGS = 16_384  # remembered, so that each is told once
_OPERATIONS = {1: "request", 2: "reply", 3: "reverse-request", 4: "reverse-reply"}


class Arp:
    """Called with an ARP packet, its length on the wire (bytes) and its time."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._seen: set[bytes] = set()
        self.counters = {"packets": 0, "forgotten": 0}

    def __call__(self, data: bytes, wire: int, time: float) -> None:
        self.counters["packets"] += 1
        if len(data) < 28 or data[:6] != b"\0\x01\x08\0\x06\x04":
            return
        key = data[6:18] + data[24:28]
        if key in self._seen:
            return
        if len(self._seen) >= MAX_BINDINGS:
            self._seen.clear()
            self.counters["forgotten"] += MAX_BINDINGS
        self._seen.add(key)
        operation = struct.unpack_from(">H", data, 6)[0]
        fields: dict[str, Value] = {
            "network.protocol": "arp",
            "network.type": "arp",
            "hudhud.arp.operation": _OPERATIONS.get(operation, str(operation)),
            "source.mac": mac_text(data[8:14]),
            "source.ip": socket.inet_ntoa(data[14:18]),
            "destination.mac": mac_text(data[18:24]),
            "destination.ip": socket.inet_ntoa(data[24:28]),
        }
        self._tell(Observation("arp", time, None, fields))
