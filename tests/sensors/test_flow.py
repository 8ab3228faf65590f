from __future__ import annotations

import random
import socket
import struct

import pytest

from sensors.flow import TCP, UDP, Flow, FlowTable, Limits, community_id, reversed_key
from tests.sensors.traffic import START, Sensor, block, query, talk, tcp, udp

A, B = "192.0.2.40", "198.51.100.25"


def key(source: str, target: str, sport: int, dport: int) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    return socket.inet_pton(family, source) + socket.inet_pton(family, target) + struct.pack(">HH", sport, dport)


# Published vectors: corelight/community-id-spec, baseline files.
@pytest.mark.parametrize(
    ("source", "target", "sport", "dport", "protocol", "expected"),
    [
        ("128.232.110.120", "66.35.250.204", 34855, 80, TCP, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("66.35.250.204", "128.232.110.120", 80, 34855, TCP, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("192.168.1.52", "8.8.8.8", 54585, 53, UDP, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
    ],
)  # fmt: skip
def test_community_ids_are_those_of_the_specification(
    source: str, target: str, sport: int, dport: int, protocol: int, expected: str
) -> None:
    assert community_id(key(source, target, sport, dport), protocol) == expected


def test_both_directions_are_one_flow_with_packets_and_bytes_of_each(forensic: Sensor) -> None:
    forensic.see(list(talk(A, B, 4444, [(True, b"hello"), (False, b"hi")]))).done()
    [flow] = forensic.of("flow")
    assert (flow["source.ip"], flow["destination.port"], flow["hudhud.flow.state"]) == (A, 4444, "closed")
    assert (flow["source.packets"], flow["destination.packets"]) == (4, 3)
    assert flow["source.bytes"] == 4 * 54 + 5


def test_the_side_that_sent_syn_is_the_client_even_when_its_answer_comes_first(forensic: Sensor) -> None:
    forensic.see([tcp(B, 25, A, 40000, 0x12, 1, 2), tcp(A, 40000, B, 25, 0x10, 2, 2)]).done()
    [flow] = forensic.of("flow")
    assert flow["source.ip"] == A


def test_a_flow_without_a_packet_for_its_time_ends_and_a_new_one_begins(forensic: Sensor) -> None:
    one = udp(A, 5000, B, 4000, b"x")
    forensic.see([one]).see([one], start=START + 100).see([one], start=START + 101).done()
    assert [flow["source.packets"] for flow in forensic.of("flow")] == [1, 2]
    assert forensic.of("flow")[0]["hudhud.flow.reason"] == "timeout"


def test_the_same_ports_used_again_are_another_flow(forensic: Sensor) -> None:
    forensic.see([*talk(A, B, 4444, []), *talk(A, B, 4444, [])], step=0.001).done()
    assert len(forensic.of("flow")) == 2


def test_spoofed_flows_hit_the_cap_and_are_counted() -> None:
    ended: list[str] = []
    table = FlowTable(Limits(max_flows=1000), lambda flow, reason: ended.append(reason))
    dice = random.Random(1)
    for number in range(20_000):
        table.open(dice.randbytes(12), UDP, START + number * 1e-5)
    assert len(table) == 1000
    assert table.counters["evicted"] == 19_000
    assert table.counters["peak"] == 1000
    table.end_all()
    assert len(ended) == 20_000
    assert all(not halves for halves in table.halves.values())


def test_an_established_flow_outlives_a_flood_of_attempts() -> None:
    table = FlowTable(Limits(max_flows=100), lambda flow, reason: gone.append(flow))
    gone: list[Flow] = []
    half = table.open(key(A, B, 1, 2), TCP, START)
    half.flags, half.peer.flags = 0x12, 0x12
    half.flow.last = START + 15
    table.sweep(START + 21)
    for number in range(500):
        table.open(key(A, B, 1000 + number, 80), TCP, START + 21).flags = 2
    assert half.flow not in gone


def test_reversing_a_key_twice_gives_it_back() -> None:
    for one in (key(A, B, 1, 2), key("2001:db8::1", "2001:db8::2", 3, 4)):
        assert reversed_key(reversed_key(one)) == one
        assert reversed_key(one) != one


def test_times_that_jump_about_do_no_harm(forensic: Sensor) -> None:
    frames = [udp(A, 5000 + n, B, 53, query("a.example")) for n in range(3)]
    for when in (0.0, 4e9, 1.0, 2e12, START):
        forensic.watch.take(block(frames, start=when))
    forensic.done()
    assert len(forensic.of("dns")) == 15
