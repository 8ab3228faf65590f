"""Builds the bytes of samples from pieces: text, hex, zip, OLE; harmless stand-ins, never live malware. Pure."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

MAX_SAMPLE: Final = 4_000_000  # bytes; a sample that needs more is no sample

_SECTOR: Final = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_ZIP_TIME: Final = (0, 0x21)  # 1980-01-01, so that a sample is the same bytes everywhere


class BuildError(ValueError):
    """A piece that cannot be built; the message says which and why."""


def build(pieces: object) -> bytes:
    """Bytes of one piece, or of a list of pieces one after another. Raises BuildError.

    A piece is text (UTF-8) or a table with one of the keys of PIECES, e.g. {hex = "4d5a"}, {zip = [{name, data}]}.
    """
    if isinstance(pieces, str):
        return pieces.encode()
    if isinstance(pieces, Sequence):
        joined = b"".join(build(piece) for piece in pieces)
    elif isinstance(pieces, Mapping):
        joined = _piece(pieces)
    else:
        raise BuildError(f"a piece is text or a table, not {type(pieces).__name__}")
    if len(joined) > MAX_SAMPLE:
        raise BuildError(f"larger than {MAX_SAMPLE} bytes")
    return joined


def _piece(piece: Mapping[str, object]) -> bytes:
    kinds = set(piece) & set(PIECES)
    if len(kinds) != 1:
        raise BuildError(f"a piece has one of {', '.join(PIECES)}")
    kind = kinds.pop()
    data = PIECES[kind](piece[kind])
    times = piece.get("times", 1)
    if set(piece) - {kind, "times"} or not isinstance(times, int) or not 0 <= times * len(data) <= MAX_SAMPLE:
        raise BuildError(f"beside {kind!r} a piece may only say `times`, up to {MAX_SAMPLE} bytes in all")
    return data * times


def _hex(value: object) -> bytes:
    try:
        return bytes.fromhex(str(value))
    except ValueError as error:
        raise BuildError(f"not hexadecimal: {error}") from error


def _base64(value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except binascii.Error as error:
        raise BuildError(f"not base64: {error}") from error


def _members(value: object, *, what: str) -> list[tuple[str, bytes, Mapping[str, object]]]:
    """The entries of an archive or compound file: tables with `name` and `data`."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BuildError(f"{what} is a list of tables")
    found: list[tuple[str, bytes, Mapping[str, object]]] = []
    for entry in value:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise BuildError(f"each entry of {what} has a `name`")
        found.append((entry["name"], build(entry.get("data", "")), entry))
    return found


def zip_file(value: object) -> bytes:
    """A zip (APPNOTE 6.3): entries {name, data}, deflated unless `stored`; `encrypted`: flag and noise."""
    body, listing = bytearray(), bytearray()
    entries = _members(value, what="zip")
    for name, data, options in entries:
        encrypted, stored = options.get("encrypted") is True, options.get("stored") is True
        raw = name.encode()
        packed = data if stored else zlib.compress(data, 9)[2:-4]
        if encrypted:
            packed = bytes((index * 89 + 7) & 0xFF for index in range(12)) + bytes(byte ^ 0xA7 for byte in packed)
        flags = 0x800 | encrypted
        fixed = struct.pack(
            "<HHHHHIIIHH",
            20,
            flags,
            0 if stored else 8,
            *_ZIP_TIME,
            zlib.crc32(data),
            len(packed),
            len(data),
            len(raw),
            0,
        )
        listing += b"PK\1\2\x14\0" + fixed + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + raw
        body += b"PK\3\4" + fixed + raw + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(listing), len(body), 0)
    return bytes(body + listing + b"PK\5\6" + end)


def ole_file(value: object) -> bytes:
    """A compound file (MS-CFB version 3) with streams {name, data} under the root; all in whole sectors."""
    entries = [(name, data.ljust(4096, b"\0")) for name, data, _ in _members(value, what="ole")]
    chains: list[tuple[int, int]] = []  # first sector and number of sectors of each stream
    directory_size = -(-(len(entries) + 1) // 4)
    at = 1 + directory_size
    for _, data in entries:
        count = -(-len(data) // _SECTOR)
        chains.append((at, count))
        at += count
    if at > _SECTOR // 4:
        raise BuildError("an OLE sample holds at most 60 KiB")
    fat = [_FAT, *_chain(1, directory_size)]
    for first, count in chains:
        fat += _chain(first, count)
    fat += [_FREE] * (_SECTOR // 4 - len(fat))
    directory = _entry("Root Entry", 5, 1 if entries else _FREE, _END, 0)
    for index, (name, data) in enumerate(entries):
        right = index + 2 if index + 1 < len(entries) else _FREE
        directory += _entry(name, 2, _FREE, chains[index][0], len(data), right=right)
    directory = directory.ljust(directory_size * _SECTOR, b"\0")
    head = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    head += struct.pack("<HHHHH6xIIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, _END, 0, _END, 0, 0)
    head = head.ljust(_SECTOR, b"\xff")
    body = b"".join(data.ljust(-(-len(data) // _SECTOR) * _SECTOR, b"\0") for _, data in entries)
    return head + struct.pack(f"<{len(fat)}I", *fat) + directory + body


def _chain(first: int, count: int) -> list[int]:
    return [*range(first + 1, first + count), _END]


def _entry(name: str, kind: int, child: int, start: int, size: int, *, right: int = _FREE) -> bytes:
    raw = name.encode("utf-16-le") + b"\0\0"
    if len(raw) > 64:
        raise BuildError("an OLE name has at most 31 characters")
    fields = struct.pack("<HBBIII", len(raw), kind, 1, _FREE, right, child)
    return (raw.ljust(64, b"\0") + fields + bytes(36) + struct.pack("<IQ", start, size)).ljust(128, b"\0")


PIECES: Final[Mapping[str, Callable[[object], bytes]]] = {
    "text": lambda value: str(value).encode(),
    "utf16": lambda value: str(value).encode("utf-16-le"),
    "hex": _hex,
    "base64": _base64,
    "as_base64": lambda value: base64.b64encode(build(value)),
    "as_hex": lambda value: build(value).hex().encode(),
    "backwards": lambda value: build(value)[::-1],
    "zip": zip_file,
    "ole": ole_file,
}
"""Kinds of pieces. `as_base64`, `as_hex` and `backwards` take pieces again."""
