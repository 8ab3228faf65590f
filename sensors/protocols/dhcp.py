"""DHCPv4, lightly (RFC 2131, 2132): who asks, under which name, and which address is given."""

from __future__ import annotations

import socket
import struct

from hudhud.event import Value
from sensors.flow import Half
from sensors.observation import Observation, Tell

PORTS = frozenset((67, 68))
MAX_NAME_BYTES = 64
_KINDS = {1: "discover", 2: "offer", 3: "request", 4: "decline", 5: "ack", 6: "nak", 7: "release", 8: "inform"}


def mac_text(data: bytes) -> str:
    """ECS form: upper case with hyphens."""
    return "-".join(f"{byte:02X}" for byte in data)


class Dhcp:
    """For datagrams; one object serves all flows."""

    name = "dhcp"

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def feed(self, half: Half, data: bytes, time: float) -> None:
        if len(data) < 240 or data[236:240] != b"\x63\x82\x53\x63":
            return
        options = _options(data)
        kind = options.get(53, b"\0")
        fields: dict[str, Value] = {
            "network.protocol": "dhcp",
            "hudhud.dhcp.type": _KINDS.get(kind[0] if kind else 0, "bootp"),
            "hudhud.dhcp.client_mac": mac_text(data[28:34]),
            "hudhud.dhcp.transaction": struct.unpack_from(">I", data, 4)[0],
        }
        if any(data[16:20]):
            fields["hudhud.dhcp.assigned_ip"] = socket.inet_ntoa(data[16:20])
        if len(options.get(50, b"")) == 4:
            fields["hudhud.dhcp.requested_ip"] = socket.inet_ntoa(options[50])
        if 12 in options:
            fields["hudhud.dhcp.host_name"] = options[12][:MAX_NAME_BYTES].decode("utf-8", "replace")
        self._tell(Observation("dhcp", time, half.flow, fields))

    def gap(self, half: Half, size: int, time: float) -> bool:
        return True

    def finish(self, time: float) -> None:
        """Every message was told as it came."""


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 240
    while at + 2 <= len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        found.setdefault(data[at], data[at + 2 : at + 2 + data[at + 1]])
        at += 2 + data[at + 1]
    return found
