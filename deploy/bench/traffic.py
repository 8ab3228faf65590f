"""The mixed capture that the sensor is measured on: real protocols' packets in many copies, each with flows of its own.

Where the public captures stand beside the project, the script beside them makes it (test-suite traffic of many
protocols); elsewhere the demo country's morning is copied. Which one it was is said, for figures of one are not
figures of the other.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.capture import make_capture

MAKER = Path(__file__).parents[3] / "shared" / "bench" / "sensors" / "mkcapture.py"
_HEAD = struct.Struct("<IHHiIII")
_RECORD = struct.Struct("<IIII")
_TCP, _UDP = 6, 17


def make(path: Path, packets: int) -> str:
    """A capture of about so many packets; says what it is made of."""
    if MAKER.is_file():
        once = _count_of(_script(path, 1))
        said = _script(path, max(round(packets / once), 1))
        return f"public captures, mixed by {MAKER.name}:{said.partition(':')[2]}"
    morning = path.with_suffix(".morning")
    once = make_capture(morning)
    written = multiply(morning, path, max(round(packets / once), 1))
    return f"the demo country's morning, copied: {written:,} packets, {path.stat().st_size / 1e6:.0f} MB"


def _script(path: Path, copies: int) -> str:
    words = (sys.executable, str(MAKER), str(path), str(copies))
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def _count_of(said: str) -> int:
    return int(said.partition(":")[2].split()[0].replace(",", ""))


def records(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Record header and frame of each packet of a classic pcap in little-endian order."""
    data = path.read_bytes()
    at = _HEAD.size
    while at + _RECORD.size <= len(data):
        captured = _RECORD.unpack_from(data, at)[2]
        yield data[at : at + _RECORD.size], data[at + _RECORD.size : at + _RECORD.size + captured]
        at += _RECORD.size + captured


def count(path: Path) -> int:
    """How many packets a capture holds."""
    return sum(1 for _ in records(path))


def head(path: Path, to: Path, packets: int) -> int:
    """The first packets of a capture as a capture; how many they are."""
    with path.open("rb") as whole, to.open("wb") as part:
        part.write(whole.read(_HEAD.size))
        taken = 0
        for record, frame in records(path):
            if taken == packets:
                break
            part.write(record + frame)
            taken += 1
    return taken


def multiply(path: Path, to: Path, copies: int) -> int:
    """Each packet so many times, the addresses of each copy changed; the number of packets written."""
    written = 0
    with path.open("rb") as whole, to.open("wb") as out:
        out.write(whole.read(_HEAD.size))
        for record, frame in records(path):
            for copy in range(copies):
                out.write(record + (frame if not copy else moved(frame, copy)))
                written += 1
    return written


def moved(frame: bytes, key: int) -> bytes:
    """An Ethernet frame whose IPv4 addresses begin with other octets; checksums are mended (RFC 1624)."""
    changed, header = bytearray(frame), 14
    if len(frame) < header + 20 or frame[12:14] != b"\x08\x00":
        return frame
    length, protocol = (frame[header] & 15) * 4, frame[header + 9]
    check = {_TCP: 16, _UDP: 6}.get(protocol)
    for address in (header + 12, header + 16):
        (old,) = struct.unpack_from(">H", changed, address)
        new = old ^ (key * 37 & 0x0FFF)
        struct.pack_into(">H", changed, address, new)
        _mend(changed, header + 10, old, new)
        if check is not None:
            _mend(changed, header + length + check, old, new)
    return bytes(changed)


def _mend(frame: bytearray, at: int, old: int, new: int) -> None:
    if at + 2 > len(frame):
        return
    total = (~struct.unpack_from(">H", frame, at)[0] & 0xFFFF) + (~old & 0xFFFF) + new
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into(">H", frame, at, ~total & 0xFFFF)
