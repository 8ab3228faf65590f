"""The PROXY protocol, versions 1 and 2: who the client behind a balancer is. Pure; who may say so is the listener's.

The specification is haproxy's doc/proxy-protocol.txt.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
LONGEST: Final = 107  # octets of a header of version 1
MOST: Final = 2048  # octets of addresses and extensions of version 2 that are taken

_WORDS = re.compile(
    rb"PROXY (?:(TCP[46]) ([0-9A-Fa-f.:]{2,39}) ([0-9A-Fa-f.:]{2,39}) (\d{1,5}) (\d{1,5})|UNKNOWN[ -~]*)"
)
_FIXED: Final = struct.Struct(">12sBBH")
_FAMILIES: Final = {0x11: (4, 12), 0x21: (16, 36)}  # TCP over IPv4 and IPv6: octets of an address, of the whole block


@dataclass(frozen=True, slots=True)
class Header:
    """`length` octets that are no part of the session. `ip` is "" where the balancer speaks for itself."""

    length: int
    ip: str = ""
    port: int = 0


class Wanting(Exception):  # noqa: N818 - a state, not a fault
    """What is there may be the beginning of a header."""


def read(data: bytes) -> Header | None:
    """The header that `data` begins with, None where it begins with none. Wanting where more must come to tell."""
    if data.startswith(SIGNATURE) or SIGNATURE.startswith(data):
        return _second(data)
    if data.startswith(b"PROXY ") or b"PROXY ".startswith(data):
        return _first(data)
    return None


def _first(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, LONGEST)
    if end < 0:
        if len(data) >= LONGEST:
            return None
        raise Wanting
    found = _WORDS.fullmatch(data, 0, end)
    if found is None:
        return None
    if found[1] is None:
        return Header(end + 2)
    source, port = _address(found[2].decode()), int(found[4])
    version = 4 if found[1] == b"TCP4" else 6
    right = source is not None and source.version == version and max(port, int(found[5])) <= 65535
    if source is None or not right or _address(found[3].decode()) is None:
        return None
    return Header(end + 2, _written(source), port)


def _second(data: bytes) -> Header | None:
    if len(data) < _FIXED.size:
        raise Wanting
    _, command, family, length = _FIXED.unpack_from(data)
    if command not in (0x20, 0x21) or length > MOST:
        return None
    if len(data) < _FIXED.size + length:
        raise Wanting
    whole = _FIXED.size + length
    if command == 0x20 or family == 0:  # LOCAL, or of a kind that has no address
        return Header(whole)
    octets, block = _FAMILIES.get(family, (0, 0))
    if not octets or length < block:
        return None
    source = data[_FIXED.size : _FIXED.size + octets]
    (port,) = struct.unpack_from(">H", data, _FIXED.size + 2 * octets)
    return Header(whole, _written(ipaddress.ip_address(source)), port)


def _written(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An IPv4 address that a balancer with one socket for both families gives as IPv6 is an IPv4 address (RFC 4291
    section 2.5.5.2): limits, national prefixes and servers go by it."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
