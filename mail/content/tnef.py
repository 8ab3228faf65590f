"""Attachments out of winmail.dat (MS-OXTNEF): a walk over its attributes. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from mail.content.opened import Entry

SIGNATURE: Final = 0x223E9F78
_TITLE, _DATA, _RENDER, _PROPS = 0x8010, 0x800F, 0x9002, 0x9005
_LONG_NAME: Final = b"\x1f\x00\x07\x37"  # PidTagAttachLongFilename, Unicode
_LONG_NAME_8: Final = b"\x1e\x00\x07\x37"


def tnef(data: bytes) -> Iterator[Entry]:
    """Each attachment's name and bytes; stops where the stream is damaged."""
    if len(data) < 6 or struct.unpack_from("<I", data)[0] != SIGNATURE:
        return
    name, content = "", b""
    for attribute, value in _attributes(data):
        if attribute == _RENDER and content:
            yield Entry(name, content)
            name, content = "", b""
        elif attribute == _TITLE:
            name = name or value.rstrip(b"\x00").decode("utf-8", "replace")
        elif attribute == _DATA:
            content = value
        elif attribute == _PROPS:
            name = _long_name(value) or name
    if content:
        yield Entry(name, content)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 6
    while at + 9 <= len(data):
        _, attribute, _, size = struct.unpack_from("<BHHI", data, at)
        yield attribute, data[at + 9 : at + 9 + size]
        at += 9 + size + 2


def _long_name(properties: bytes) -> str:
    for tag, coding in ((_LONG_NAME, "utf-16-le"), (_LONG_NAME_8, "latin-1")):
        at = properties.find(tag)
        if 0 <= at <= len(properties) - 12:
            size = int.from_bytes(properties[at + 8 : at + 12], "little")
            return properties[at + 12 : at + 12 + min(size, 2048)].decode(coding, "replace").rstrip("\x00")
    return ""
