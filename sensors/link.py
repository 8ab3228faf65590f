"""Where the network packet begins in a frame of each link type (LINKTYPE_ values of tcpdump.org/linktypes)."""

from __future__ import annotations

from collections.abc import Callable

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
ETHERNET = 1

Found = tuple[int, int]  # EtherType, offset of what it names; (0, …) where there is nothing for us

NOTHING: Found = (0, 0)
_PPP = {0x21: IPV4, 0x57: IPV6, 0x281: 0x8847}
_AF_INET6 = (10, 23, 24, 28, 30)  # Linux, OpenBSD, NetBSD, FreeBSD, Darwin


def _ethernet(data: bytes, at: int, end: int) -> Found:
    return (data[at + 12] << 8 | data[at + 13], at + 14) if end - at >= 14 else NOTHING


def _null(data: bytes, at: int, end: int) -> Found:
    """BSD loopback: the address family in the byte order of the machine that captured."""
    if end - at < 4:
        return NOTHING
    family = int.from_bytes(data[at : at + 4], "little")
    family = family if family < 1 << 16 else int.from_bytes(data[at : at + 4], "big")
    return (IPV4 if family == 2 else IPV6 if family in _AF_INET6 else 0), at + 4


def _raw(data: bytes, at: int, end: int) -> Found:
    version = data[at] >> 4 if end > at else 0
    return {4: (IPV4, at), 6: (IPV6, at)}.get(version, NOTHING)


def _linux_cooked(data: bytes, at: int, end: int) -> Found:
    return (data[at + 14] << 8 | data[at + 15], at + 16) if end - at >= 16 else NOTHING


def _linux_cooked_2(data: bytes, at: int, end: int) -> Found:
    return (data[at] << 8 | data[at + 1], at + 20) if end - at >= 20 else NOTHING


def ppp(data: bytes, at: int, end: int) -> Found:
    """RFC 1661, RFC 1662: address and control bytes may be there, the protocol may be one byte."""
    if end - at >= 2 and data[at] == 0xFF and data[at + 1] == 3:
        at += 2
    if end - at < 2:
        return NOTHING
    if data[at] & 1:
        return _PPP.get(data[at], 0), at + 1
    return _PPP.get(data[at] << 8 | data[at + 1], 0), at + 2


def _cisco_hdlc(data: bytes, at: int, end: int) -> Found:
    return (data[at + 2] << 8 | data[at + 3], at + 4) if end - at >= 4 else NOTHING


def _nflog(data: bytes, at: int, end: int) -> Found:
    """Attributes (length, type, value in host order); type 9 is the packet."""
    if end - at < 4:
        return NOTHING
    at += 4
    while at + 4 <= end:
        length, kind = data[at] | data[at + 1] << 8, data[at + 2] | (data[at + 3] & 0x7F) << 8
        if length < 4:
            return NOTHING
        if kind == 9:
            return _raw(data, at + 4, end)
        at += (length + 3) & ~3
    return NOTHING


LINKS: dict[int, Callable[[bytes, int, int], Found]] = {
    0: _null,
    ETHERNET: _ethernet,
    9: ppp,
    12: _raw,
    14: _raw,
    50: ppp,
    101: _raw,
    104: _cisco_hdlc,
    108: _null,
    113: _linux_cooked,
    228: lambda data, at, end: (IPV4, at) if end > at else NOTHING,
    229: lambda data, at, end: (IPV6, at) if end > at else NOTHING,
    239: _nflog,
    276: _linux_cooked_2,
}
