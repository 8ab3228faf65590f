from __future__ import annotations

import gzip
import io
import struct

import pytest

from sensors.wire import Capture
from tests.sensors.traffic import udp

FRAME = udp("192.0.2.40", 5000, "198.51.100.53", 53, b"x" * 20)


def pcap(frames: list[bytes], *, order: str = "<", nano: bool = False, link: int = 1) -> bytes:
    head = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    return head + b"".join(struct.pack(order + "IIII", 1000 + n, 500, len(f), len(f)) + f for n, f in enumerate(frames))


def ng_block(order: str, kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def pcapng(frames: list[bytes], *, order: str = "<", resolution: int = 9) -> bytes:
    section = ng_block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    options = struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0)
    interface = ng_block(order, 1, struct.pack(order + "HHI", 1, 0, 65535) + options)
    ticks = 1_000 * 10**resolution
    packets = [
        ng_block(order, 6, struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(f), len(f)) + f)
        for f in frames
    ]
    return section + interface + b"".join(packets)


def read(data: bytes) -> tuple[Capture, list[bytes], list[float]]:
    capture = Capture(io.BytesIO(data))
    found = [(block.data[start:end], time) for block in capture.blocks() for time, start, end, _ in block.records]
    return capture, [one for one, _ in found], [time for _, time in found]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_pcap_is_read_in_both_byte_orders_and_resolutions(order: str, nano: bool) -> None:
    capture, frames, times = read(pcap([FRAME, FRAME], order=order, nano=nano))
    assert frames == [FRAME, FRAME]
    assert times[0] == pytest.approx(1000 + (5e-7 if nano else 5e-4), abs=1e-9)
    assert capture.problem is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("resolution", [3, 6, 9])
def test_pcapng_is_read_with_its_own_time_resolution(order: str, resolution: int) -> None:
    capture, frames, times = read(pcapng([FRAME] * 3, order=order, resolution=resolution))
    assert frames == [FRAME] * 3
    assert times == pytest.approx([1000.0] * 3, abs=1e-6)
    assert capture.problem is None


def test_gzip_of_either_is_read_also_in_several_members() -> None:
    data = pcapng([FRAME])
    _, frames, _ = read(gzip.compress(data[:60]) + gzip.compress(data[60:]))
    assert frames == [FRAME]


def test_a_cut_capture_gives_what_was_whole_and_a_named_problem() -> None:
    for whole in (pcap([FRAME, FRAME]), pcapng([FRAME, FRAME])):
        capture, frames, _ = read(whole[:-10])
        assert frames == [FRAME]
        assert capture.problem is not None
        assert capture.problem.name == "truncated-packet"


def test_a_cut_gzip_is_named() -> None:
    capture, frames, _ = read(gzip.compress(pcap([FRAME] * 50), mtime=0)[:-30])
    assert capture.problem is not None
    assert capture.problem.name == "truncated-gzip"
    assert len(frames) < 50 or frames


def test_a_record_with_an_impossible_length_ends_the_reading() -> None:
    data = pcap([FRAME]) + struct.pack("<IIII", 1, 1, 0x7FFFFFFF, 0x7FFFFFFF) + b"\0" * 64
    capture, frames, _ = read(data)
    assert frames == [FRAME]
    assert capture.problem is not None
    assert capture.problem.name == "bad-length"


@pytest.mark.parametrize("data", [b"", b"\xd4", b"not a capture at all", b"\x1f\x8bgarbage"])
def test_what_is_no_capture_is_named_and_never_raises(data: bytes) -> None:
    capture, frames, _ = read(data)
    assert frames == []
    assert capture.problem is not None


def test_a_capture_larger_than_one_chunk_is_read_whole() -> None:
    frames = [udp("192.0.2.40", 5000, "198.51.100.53", 53, bytes((n % 256,)) * 1200) for n in range(3000)]
    _, found, _ = read(pcap(frames))
    assert found == frames
