"""Reads captures: pcap, pcapng and gzip of both, as blocks of packets that stay in one buffer.

A damaged file never raises: `Capture.problem` names what is wrong, and everything before it was read.
Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, RFC 1952.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

CHUNK_BYTES = 1 << 20  # read at once
MAX_PACKET_BYTES = 262_144  # libpcap's own limit of a snapshot; a record that says more is damage
MAX_BLOCK_BYTES = 16 << 20  # of one pcapng block
MAX_INTERFACES = 4096  # of one pcapng section

_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6, 16),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9, 16),
    b"\x34\xcd\xb2\xa1": ("<", 1e-6, 24),  # Kuznetzov's variant: eight more bytes a record
    b"\xa1\xb2\xcd\x34": (">", 1e-6, 24),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 1, 2, 3, 6
_PACKETS = (_ENHANCED_PACKET, _SIMPLE_PACKET, _OLD_PACKET)

Record = tuple[float, int, int, int]  # time (s since 1970), start and end in the buffer, bytes on the wire


@dataclass(frozen=True, slots=True)
class Block:
    """Packets of one link type in one buffer: the unit that a compiled path can take over whole."""

    link: int
    data: bytes
    records: list[Record]


@dataclass(frozen=True, slots=True)
class CaptureProblem:
    """What is wrong with a capture: a slug, an English sentence, the offset in the (unpacked) stream in bytes."""

    name: str
    text: str
    offset: int

    def __str__(self) -> str:
        return f"{self.name} at byte {self.offset:,}: {self.text}"


class Capture:
    """One capture from a binary stream. Iterate over `blocks`, then look at `problem` and `packets`."""

    def __init__(self, stream: BinaryIO) -> None:
        self.packets = 0
        self.bytes_read = 0  # of the stream as it is stored
        self.problem: CaptureProblem | None = None
        self.last_time = 0.0
        self._stream = stream
        self._data = b""
        self._at = 0
        self._base = 0  # stream offset of self._data[0]
        self._inflate: zlib._Decompress | None = None

    def blocks(self) -> Iterator[Block]:
        """The packets in file order."""
        for block in self._blocks():
            self.packets += len(block.records)
            if block.records:
                self.last_time = block.records[-1][0]
            yield block

    def _blocks(self) -> Iterator[Block]:
        if not self._need(4):
            return self._stop("empty-file" if not self._data else "not-a-capture", "is too short to be a capture")
        if self._data[:2] == b"\x1f\x8b":
            self._inflate, packed, self._data = zlib.decompressobj(31), self._data, b""
            self._take(packed)
            if not self._need(4):
                return self._stop("not-a-capture", "holds nothing that could be a capture")
        magic = self._data[:4]
        if magic in _PCAP:
            yield from self._pcap(*_PCAP[magic])
        elif magic == _SECTION:
            yield from self._pcapng()
        else:
            self._stop("not-a-capture", f"begins with {magic.hex()}, which is neither pcap nor pcapng")
        return None

    def _stop(self, name: str, text: str) -> None:
        if self.problem is None:
            self.problem = CaptureProblem(name, text, self._base + self._at)

    def _need(self, size: int) -> bool:
        """Have `size` bytes from the present place on in the buffer; False at the end of the stream."""
        while len(self._data) - self._at < size:
            raw = self._stream.read(CHUNK_BYTES)
            self.bytes_read += len(raw)
            if not raw:
                if self._inflate is not None and not self._inflate.eof:
                    self._stop("truncated-gzip", "the compressed stream ends early")
                return False
            self._take(raw)
            if self.problem is not None:
                return len(self._data) - self._at >= size
        return True

    def _take(self, raw: bytes) -> None:
        """Append a chunk of the stream, dropping what was already used."""
        self._base += self._at
        parts = [self._data[self._at :]]
        self._at = 0
        if self._inflate is None:
            parts.append(raw)
        else:
            try:
                while raw:
                    parts.append(self._inflate.decompress(raw))
                    raw = self._inflate.unused_data
                    if raw:
                        self._inflate = zlib.decompressobj(31)
                        if raw.strip(b"\0") == b"":
                            break
            except zlib.error as error:
                self._stop("bad-gzip", str(error))
        self._data = b"".join(parts)

    def _pcap(self, order: str, unit: float, header: int) -> Iterator[Block]:
        if not self._need(24):
            return self._stop("truncated-header", "the file header is cut short")
        link = struct.unpack_from(order + "I", self._data, 20)[0] & 0xFFFF  # the upper bits tell the length of the FCS
        self._at = 24
        read = struct.Struct(order + "IIII").unpack_from
        while self._need(header):
            data, at, size, records = self._data, self._at, len(self._data), []
            while at + header <= size:
                seconds, fraction, captured, wire = read(data, at)
                if captured > MAX_PACKET_BYTES:
                    break
                end = at + header + captured
                if end > size:
                    break
                records.append((seconds + fraction * unit, at + header, end, wire))
                at = end
            self._at = at
            if records:
                yield Block(link, data, records)
            if at + header <= size:
                captured = read(data, at)[2]
                if captured > MAX_PACKET_BYTES:
                    return self._stop("bad-length", f"a packet record says {captured:,} bytes")
                if not self._need(header + captured):
                    return self._stop("truncated-packet", "the last packet is cut short")
        if self._at < len(self._data):
            self._stop("truncated-packet", "the last packet header is cut short")
        return None

    def _pcapng(self) -> Iterator[Block]:
        section = _Section()
        while self._need(12):
            blocks, self._at, problem = section.walk(self._data, self._at)
            yield from blocks
            if problem:
                return self._stop(*problem)
            if self._at + 12 <= len(self._data) and not self._need(section.head(self._data, self._at)[1]):
                return self._stop("truncated-packet", "the last block is cut short")
        if self._at < len(self._data):
            self._stop("truncated-packet", "the last block header is cut short")
        return None


class _Section:
    """A pcapng section: its byte order and interfaces. A new section header makes it another one."""

    def __init__(self) -> None:
        self._begin(">")

    def _begin(self, order: str) -> None:
        self._head = struct.Struct(order + "II").unpack_from
        self._enhanced = struct.Struct(order + "IIIII").unpack_from
        self._old = struct.Struct(order + "HHIIII").unpack_from
        self._order = order
        self._interfaces: list[tuple[int, float, float]] = []  # link type, unit of time (s), offset (s)

    def walk(self, data: bytes, at: int) -> tuple[list[Block], int, tuple[str, str] | None]:
        """The whole blocks from `at` on: packets by link type, the place behind them, and what is wrong there."""
        blocks: list[Block] = []
        problem = None
        while at + 12 <= len(data):
            if data[at : at + 4] == _SECTION:
                if data[at + 8 : at + 12] not in (b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"):
                    problem = ("bad-section", "a section header without a byte order")
                    break
                self._begin(">" if data[at + 8] == 0x1A else "<")
            kind, length = self._head(data, at)
            if length < 12 or length % 4 or length > MAX_BLOCK_BYTES:
                problem = ("bad-length", f"a block says {length:,} bytes")
                break
            if at + length > len(data):
                break
            if kind == _INTERFACE:
                self.interface(data, at + 8, at + length - 4)
            elif kind in _PACKETS:
                found = self.packet(kind, data, at + 8, at + length - 4)
                if found is None:
                    problem = ("bad-packet", "a packet block does not fit its own lengths or its interface")
                    break
                if not blocks or blocks[-1].link != found[0]:
                    blocks.append(Block(found[0], data, []))
                blocks[-1].records.append(found[1])
            at += length
        return blocks, at, problem

    def head(self, data: bytes, at: int) -> tuple[int, int]:
        kind, length = self._head(data, at)
        return kind, length

    def interface(self, data: bytes, at: int, end: int) -> None:
        """RFC draft section 4.2: link type, then options; if_tsresol is 9, if_tsoffset 14."""
        if end - at < 8 or len(self._interfaces) >= MAX_INTERFACES:
            return
        link = struct.unpack_from(self._order + "H", data, at)[0]
        unit, offset, at = 1e-6, 0.0, at + 8
        while at + 4 <= end:
            code, length = struct.unpack_from(self._order + "HH", data, at)
            if code == 0 or at + 4 + length > end:
                break
            if code == 9 and length:
                value = data[at + 4]
                unit = 2.0 ** -(value & 127) if value & 128 else 10.0**-value
            elif code == 14 and length == 8:
                offset = float(struct.unpack_from(self._order + "q", data, at + 4)[0])
            at += 4 + (length + 3 & ~3)
        self._interfaces.append((link, unit, offset))

    def packet(self, kind: int, data: bytes, at: int, end: int) -> tuple[int, Record] | None:
        """(link type, record) of a packet block; None where it is damaged."""
        if kind == _SIMPLE_PACKET:
            if end - at < 4 or not self._interfaces:
                return None
            wire = struct.unpack_from(self._order + "I", data, at)[0]
            return self._interfaces[0][0], (0.0, at + 4, min(at + 4 + wire, end), wire)
        if end - at < 20:
            return None
        if kind == _ENHANCED_PACKET:
            number, high, low, captured, wire = self._enhanced(data, at)
        else:
            number, _, high, low, captured, wire = self._old(data, at)
        if number >= len(self._interfaces) or at + 20 + captured > end or captured > MAX_PACKET_BYTES:
            return None
        link, unit, offset = self._interfaces[number]
        return link, ((high << 32 | low) * unit + offset, at + 20, at + 20 + captured, wire)
