"""What lies inside tags and tunnels: VLAN, MPLS, PPPoE, NSH, PBB, GRE, ERSPAN, VXLAN, Geneve, Teredo, GTP. Pure."""

from __future__ import annotations

from collections.abc import Callable

from sensors.flow import Half
from sensors.link import IPV4, IPV6, NOTHING, Found, ppp

MAX_TAGS = 16  # stacked tags of one frame
ETHERNET_BRIDGED = 0x6558

Within = Callable[[int, int, bytes, int, float], None]  # kind, offset, buffer, end, time (s)

_VLAN = frozenset((0x8100, 0x88A8, 0x9100, 0x9200, 0x9300))
_SKIP = {0x8926: 4, 0x8903: 2, 0x88E7: 4}  # VN-Tag; Cisco FabricPath and PBB, whose inside is Ethernet


def inner(kind: int, data: bytes, at: int, end: int) -> Found:
    """(IPv4 or IPv6, offset) of what an EtherType names after its tags; kind 0 or another EtherType where it is
    neither.
    """
    for _ in range(MAX_TAGS):
        if kind in (IPV4, IPV6) or at + 4 > end:
            break
        if kind in _VLAN:
            kind, at = data[at + 2] << 8 | data[at + 3], at + 4
        elif kind == 0x8926 and at + 6 <= end:
            kind, at = data[at + 4] << 8 | data[at + 5], at + 6
        elif kind in _SKIP:
            kind, at = ETHERNET_BRIDGED, at + _SKIP[kind]
        elif kind == ETHERNET_BRIDGED and at + 14 <= end:
            kind, at = data[at + 12] << 8 | data[at + 13], at + 14
        elif kind in (0x8847, 0x8848):
            kind, at = _mpls(data, at, end)
        elif kind == 0x8864:
            kind, at = ppp(data, at + 6, end)
        elif kind == 0x894F:
            kind, at = {1: IPV4, 2: IPV6, 3: ETHERNET_BRIDGED}.get(data[at + 3], 0), at + (data[at + 1] & 0x3F) * 4
        elif kind <= 1500 and data[at : at + 3] == b"\xaa\xaa\x03" and at + 8 <= end:  # IEEE 802.2 SNAP
            kind, at = data[at + 6] << 8 | data[at + 7], at + 8
        else:
            break
    return kind, at


def _mpls(data: bytes, at: int, end: int) -> Found:
    """RFC 3032; behind the last label the first nibble tells: 4, 6, or 0 for a pseudowire's control word (RFC 4385)."""
    while at + 4 < end:
        bottom = data[at + 2] & 1
        at += 4
        if bottom:
            version = data[at] >> 4
            if version == 0:
                return ETHERNET_BRIDGED, at + 4
            return {4: (IPV4, at), 6: (IPV6, at)}.get(version, (ETHERNET_BRIDGED, at))
    return NOTHING


def gre(data: bytes, at: int, end: int) -> Found:
    """RFC 2784, 2890; version 1 is PPTP's (RFC 2637); ERSPAN carries Ethernet."""
    if end - at < 4:
        return NOTHING
    flags, version, kind = data[at], data[at + 1] & 7, data[at + 2] << 8 | data[at + 3]
    if version == 1:
        size = 8 + (4 if flags & 0x10 else 0) + (4 if data[at + 1] & 0x80 else 0)
        return ppp(data, at + size, end) if flags & 0x10 and at + size < end else NOTHING
    at += 4 + (4 if flags & 0xC0 else 0) + (4 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    if kind == 0x88BE:
        return ETHERNET_BRIDGED, at + (8 if flags & 0x10 else 0)
    if kind == 0x22EB and at + 12 <= end:
        return ETHERNET_BRIDGED, at + (20 if data[at + 11] & 1 else 12)
    return inner(kind, data, at, end)


def _vxlan(data: bytes) -> Found:
    return (ETHERNET_BRIDGED, 8) if len(data) > 22 and data[0] & 8 else NOTHING


def _geneve(data: bytes) -> Found:
    if len(data) < 8 or data[0] >> 6:
        return NOTHING
    return data[2] << 8 | data[3], 8 + (data[0] & 0x3F) * 4


def _teredo(data: bytes) -> Found:
    at = 0
    if data[:2] == b"\0\x01" and len(data) > 13:  # authentication
        at += 13 + data[2] + data[3]
    if data[at : at + 2] == b"\0\0":  # origin
        at += 8
    return (IPV6, at) if len(data) >= at + 40 and data[at] >> 4 == 6 else NOTHING


def _gtp(data: bytes) -> Found:
    """GTPv1-U (3GPP TS 29.281), G-PDU only."""
    if len(data) < 12 or data[0] >> 5 != 1 or data[1] != 255:
        return NOTHING
    at = 8
    if data[0] & 7:
        at, following = 12, data[11]
        while data[0] & 4 and following and at < len(data) and data[at]:
            at += data[at] * 4
            following = data[at - 1] if at <= len(data) else 0
    version = data[at] >> 4 if at < len(data) else 0
    return {4: (IPV4, at), 6: (IPV6, at)}.get(version, NOTHING)


def _gre_in_udp(data: bytes) -> Found:
    return gre(data, 0, len(data))


UDP_TUNNELS: dict[int, Callable[[bytes], Found]] = {
    4789: _vxlan,
    8472: _vxlan,
    6081: _geneve,
    3544: _teredo,
    2152: _gtp,
    4754: _gre_in_udp,
}


class Tunnel:
    """The parser of a UDP flow that carries packets; `within(kind, at, data, end, time)` takes them in."""

    name = "tunnel"

    def __init__(self, within: Within, find: Callable[[bytes], Found]) -> None:
        self._within, self._find = within, find

    def feed(self, half: Half, data: bytes, time: float) -> None:
        kind, at = self._find(data)
        self._within(kind, at, data, len(data), time)

    def gap(self, half: Half, size: int, time: float) -> bool:
        return True

    def finish(self, time: float) -> None:
        """A tunnel tells nothing of its own."""
