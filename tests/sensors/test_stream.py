from __future__ import annotations

import random

import pytest

from sensors.flow import TCP, FlowTable, Half, Limits
from sensors.stream import Streams


class Kept:
    """A parser that keeps what it is given."""

    name = "kept"

    def __init__(self, patient: bool = True) -> None:
        self.data, self.gaps, self.ended, self._patient = b"", [], 0, patient

    def feed(self, half: Half, data: bytes, time: float) -> None:
        self.data += data

    def gap(self, half: Half, size: int, time: float) -> bool:
        self.gaps.append((len(self.data), size))
        return self._patient

    def finish(self, time: float) -> None:
        self.ended += 1


def stream(limits: Limits | None = None, patient: bool = True) -> tuple[Streams, Half, Kept]:
    limits = limits or Limits()
    half = FlowTable(limits, lambda flow, reason: None).open(b"\1\2\3\4\5\6\7\x08\0\1\0\2", TCP, 0.0)
    parser = Kept(patient)
    half.flow.parser = parser
    return Streams(limits), half, parser


def segments(data: bytes, dice: random.Random, first: int) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        size = dice.randrange(1, 120)
        found.append((first + at & 0xFFFFFFFF, data[at : at + size]))
        at += size
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("first", [1000, 0xFFFFFF00])
def test_order_retransmission_and_overlap_do_not_change_the_stream(seed: int, first: int) -> None:
    dice = random.Random(seed)
    data = dice.randbytes(3000)
    found = segments(data, dice, first)
    for _ in range(20):  # overlaps: copies that begin elsewhere
        at = dice.randrange(len(data))
        found.append((first + at & 0xFFFFFFFF, data[at : at + 200]))
    shuffled = [found[0], *sorted(found[1:], key=lambda one: (found.index(one) // 8, dice.random()))]
    streams, half, parser = stream()
    half.next = first
    for seq, part in shuffled:
        streams.segment(half, seq, part, 0, len(part), 0.0)
    assert parser.data == data
    assert not parser.gaps
    assert not half.pending


def test_the_first_copy_of_a_byte_counts() -> None:
    streams, half, parser = stream()
    streams.segment(half, 100, b"GOOD", 0, 4, 0.0)
    streams.segment(half, 100, b"EVILevil", 0, 8, 0.0)
    assert parser.data == b"GOODevil"


def test_what_was_acknowledged_and_never_seen_is_a_gap() -> None:
    streams, half, parser = stream()
    streams.segment(half, 100, b"one", 0, 3, 0.0)
    streams.segment(half, 113, b"three", 0, 5, 0.0)
    assert parser.data == b"one"
    streams.acknowledged(half, 118, 0.0)
    assert parser.data == b"onethree"
    assert parser.gaps == [(3, 10)]


def test_a_parser_that_cannot_go_on_behind_a_gap_is_ended_once() -> None:
    streams, half, parser = stream(patient=False)
    streams.segment(half, 100, b"one", 0, 3, 0.0)
    streams.segment(half, 200, b"far", 0, 3, 0.0)
    streams.finish(half.flow, 0.0)
    assert parser.ended == 1
    assert half.flow.parser is None


def test_the_cap_per_direction_ends_the_parser_and_is_counted() -> None:
    streams, half, parser = stream(Limits(max_stream_bytes=1000))
    for number in range(20):
        streams.segment(half, 1 + number * 100, b"x" * 100, 0, 100, 0.0)
    assert len(parser.data) == 1000
    assert streams.counters["stream_cap"] == 1


def test_segments_out_of_order_are_kept_within_their_cap() -> None:
    streams, half, _ = stream(Limits(max_pending_segments=10))
    streams.segment(half, 0, b"a", 0, 1, 0.0)
    for number in range(100):
        streams.segment(half, 10 + number * 2, b"b", 0, 1, 0.0)
    assert len(half.pending or {}) <= 10
    assert streams.counters["pending_cap"] > 0


def test_a_body_that_nobody_wants_is_stepped_over() -> None:
    streams, half, parser = stream()
    half.next, half.skip = 1, 250
    for number in range(3):
        streams.segment(half, 1 + number * 100, b"x" * 100, 0, 100, 0.0)
    assert parser.data == b"x" * 50
    assert half.inspected == 50
