"""The flow table: who speaks with whom, how much and until when; bounded, with every cap counted.

A flow has two halves. The table holds one key per half (addresses and ports as they stand in a packet), so that one
look-up finds flow and direction at once. Times are seconds since 1970 by the packets' own clock.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hudhud.event import Value

TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
FIN, SYN, RST, ACK = 1, 2, 4, 16
TRANSPORTS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "ipv6-icmp", SCTP: "sctp", 47: "gre", 50: "esp", 2: "igmp"}
SLOT_S = 4.0  # flows that end within so long of each other are looked at together
# Ports that a server has: they tell the sides apart where the handshake was not seen.
SERVICES = frozenset(
    (20, 21, 22, 23, 25, 53, 80, 110, 143, 389, 443, 445, 465, 587, 853, 993, 995, 3389, 5222, 8080, 8443)
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the flow table and of reassembly."""

    max_flows: int = 200_000
    established_s: float = 300.0  # without a packet; TCP after its handshake
    attempt_s: float = 20.0  # without an answer
    closed_s: float = 2.0  # after FIN of both or RST: late acknowledgements still count
    datagram_s: float = 60.0  # UDP and the rest, answered
    max_stream_bytes: int = 64 * 1024  # looked at per direction, and per request or mail transaction
    max_pending_bytes: int = 64 * 1024  # out of order, per direction
    max_pending_segments: int = 64  # out of order, per direction


class Parser(Protocol):
    """Makes observations of one flow's payload."""

    name: str  # as in network.protocol

    def feed(self, half: Half, data: bytes, time: float) -> None:
        """The next bytes of one direction (TCP), or one datagram (UDP)."""

    def gap(self, half: Half, size: int, time: float) -> bool:
        """`size` bytes are lost. True: the parser can go on behind them."""

    def finish(self, time: float) -> None:
        """No more will come: tell what is known."""


class Half:
    """One direction of a flow."""

    __slots__ = (
        "bytes", "client", "fin", "flags", "flow", "inspected", "next", "packets", "peer", "pending",
        "pending_bytes", "skip",
    )  # fmt: skip

    flow: Flow
    peer: Half

    def __init__(self, client: bool) -> None:
        self.client = client
        self.packets = 0
        self.bytes = 0  # on the wire, with link headers
        self.flags = 0  # of TCP, all that were seen
        self.next = -1  # TCP sequence number expected next; -1: unknown
        self.fin = False
        self.skip = 0  # bytes of a body that no parser wants
        self.inspected = 0  # bytes given to the parser
        self.pending: dict[int, bytes] | None = None  # out of order, by sequence number
        self.pending_bytes = 0


class Flow:
    """One conversation; `key` holds client address, server address, client port, server port."""

    __slots__ = ("_base", "client", "ended", "first", "key", "last", "name", "parser", "protocol", "server")

    def __init__(self, key: bytes, protocol: int, time: float) -> None:
        self.key = key
        self.protocol = protocol
        self.first = self.last = time
        self.client = client = Half(True)
        self.server = server = Half(False)
        client.flow = server.flow = self
        client.peer, server.peer = server, client
        self.parser: Parser | None = None
        self.name = ""  # of the protocol that was recognised
        self.ended = False
        self._base: dict[str, Value] | None = None

    @property
    def client_address(self) -> bytes:
        return self.key[:4] if len(self.key) == 12 else self.key[:16]

    @property
    def server_address(self) -> bytes:
        return self.key[4:8] if len(self.key) == 12 else self.key[16:32]

    @property
    def ports(self) -> tuple[int, int]:
        """Client's, server's."""
        client, server = struct.unpack(">HH", self.key[-4:])
        return client, server

    @property
    def state(self) -> str:
        """attempted, rejected, established, closed or reset; midstream where the handshake was not seen."""
        client, server = self.client.flags, self.server.flags
        if self.protocol != TCP:
            return "established" if self.server.packets and self.client.packets else "attempted"
        if not (client | server) & SYN:
            return "midstream"
        if not server & SYN:
            return "rejected" if server & RST else "attempted"
        if (client | server) & RST:
            return "reset"
        return "closed" if client & server & FIN else "established"

    def base(self) -> dict[str, Value]:
        """The fields that every event of this flow has; the same dictionary each time, not to be changed."""
        if self._base is None:
            client, server = address_text(self.client_address), address_text(self.server_address)
            self._base = {
                "source.ip": client,
                "destination.ip": server,
                "network.transport": TRANSPORTS.get(self.protocol, str(self.protocol)),
                "network.type": "ipv4" if len(self.key) == 12 else "ipv6",
                "network.community_id": community_id(self.key, self.protocol),
            }
            if self.protocol in (TCP, UDP, SCTP):
                self._base["source.port"], self._base["destination.port"] = self.ports
        return self._base


def address_text(packed: bytes) -> str:
    """An address of 4 or 16 bytes as text (RFC 5952)."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def community_id(key: bytes, protocol: int, seed: int = 0) -> str:
    """Community ID 1 of a flow key: the same for both directions, in every tool that follows the specification."""
    size = 4 if len(key) == 12 else 16
    source, target, source_port, target_port = key[:size], key[size : 2 * size], key[-4:-2], key[-2:]
    one_way = protocol in (ICMP, ICMP6) and icmp_answer(protocol, source_port[1]) is None
    if not one_way and (source, source_port) > (target, target_port):
        source, target, source_port, target_port = target, source, target_port, source_port
    ports = source_port + target_port if protocol in (TCP, UDP, SCTP, ICMP, ICMP6) else b""
    digest = hashlib.sha1(
        seed.to_bytes(2, "big") + source + target + bytes((protocol, 0)) + ports, usedforsecurity=False
    )
    return "1:" + base64.b64encode(digest.digest()).decode()


_ICMP_ANSWERS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ICMP6_PAIRS = ((128, 129), (133, 134), (135, 136), (130, 131), (139, 140), (144, 145))
_ICMP6_ANSWERS = {one: other for pair in _ICMP6_PAIRS for one, other in (pair, pair[::-1])}


def icmp_answer(protocol: int, kind: int) -> int | None:
    """The type that answers an ICMP type; None for one that stands alone."""
    return (_ICMP_ANSWERS if protocol == ICMP else _ICMP6_ANSWERS).get(kind)


class FlowTable:
    """All open flows. `ended(flow, reason)` is called once for each, reason timeout, finished, evicted or reused."""

    def __init__(self, limits: Limits, ended: Callable[[Flow, str], None]) -> None:
        self.limits = limits
        self.halves: dict[int, dict[bytes, Half]] = {TCP: {}, UDP: {}}
        self.next_sweep = float("-inf")
        self.counters = {"flows": 0, "evicted": 0, "reused": 0, "peak": 0}
        self._ended = ended
        self._slots: dict[int, list[Flow]] = {}
        self._open = 0

    def open(self, key: bytes, protocol: int, time: float, *, backwards: bool = False) -> Half:
        """A new flow for a packet with `key`; its half in that packet's direction. `backwards`: the server spoke
        first.
        """
        if self._open >= self.limits.max_flows:
            self._evict()
        reverse = reversed_key(key)
        flow = Flow(reverse if backwards else key, protocol, time)
        mine, other = (flow.server, flow.client) if backwards else (flow.client, flow.server)
        halves = self.halves.get(protocol)
        if halves is None:
            halves = self.halves[protocol] = {}
        halves[reverse] = other
        halves[key] = mine  # last, so that it wins where both ends are the same
        self._open += 1
        counters = self.counters
        counters["flows"] += 1
        counters["peak"] = max(counters["peak"], self._open)
        self._watch(flow, time + self.limits.attempt_s)
        return mine

    def close_soon(self, flow: Flow) -> None:
        """The flow was closed by its ends: look at it again shortly."""
        self._watch(flow, flow.last + self.limits.closed_s)

    def reuse(self, flow: Flow) -> None:
        """The same ports begin anew."""
        self.counters["reused"] += 1
        self._end(flow, "reused")

    def sweep(self, now: float) -> None:
        """End the flows whose time is over. Called when a packet's time passes `next_sweep`."""
        self.next_sweep = now + SLOT_S
        slots = self._slots
        limits = self.limits
        for slot in sorted(number for number in slots if number * SLOT_S <= now):
            for flow in slots.pop(slot):
                if flow.ended:
                    continue
                due = flow.last + _patience(flow, limits)
                if due <= now:
                    self._end(flow, "timeout" if flow.state not in ("closed", "reset", "rejected") else "finished")
                else:
                    self._watch(flow, max(due, now))

    def end_all(self) -> None:
        """The source is at its end."""
        for slot in sorted(self._slots):
            for flow in self._slots.pop(slot):
                if not flow.ended:
                    self._end(flow, "finished")
        self.next_sweep = float("-inf")

    def __len__(self) -> int:
        return self._open

    def _watch(self, flow: Flow, due: float) -> None:
        slot = int(due / SLOT_S) + 1
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [flow]
        else:
            waiting.append(flow)

    def _evict(self) -> None:
        """Make room: the flow that would have ended first goes."""
        while self._slots:
            slot = min(self._slots)
            waiting = self._slots[slot]
            while waiting:
                flow = waiting.pop()
                if flow.ended:
                    continue
                due = flow.last + _patience(flow, self.limits)
                if due > slot * SLOT_S:  # it had packets since it was put here
                    self._watch(flow, due)
                    continue
                self.counters["evicted"] += 1
                self._end(flow, "evicted")
                return
            del self._slots[slot]

    def _end(self, flow: Flow, reason: str) -> None:
        flow.ended = True
        self._open -= 1
        halves = self.halves[flow.protocol]
        for key in (flow.key, reversed_key(flow.key)):
            half = halves.get(key)
            if half is not None and half.flow is flow:
                del halves[key]
        self._ended(flow, reason)


def reversed_key(key: bytes) -> bytes:
    """The key of the other direction."""
    if len(key) == 12:
        return key[4:8] + key[:4] + key[10:] + key[8:10]
    return key[16:32] + key[:16] + key[34:] + key[32:34]


def _patience(flow: Flow, limits: Limits) -> float:
    if flow.protocol != TCP:
        return limits.datagram_s if flow.server.packets and flow.client.packets else limits.attempt_s
    state = flow.state
    if state in ("closed", "reset", "rejected"):
        return limits.closed_s
    return limits.attempt_s if state == "attempted" else limits.established_s


def from_server(key: bytes) -> bool:
    """Whether a packet whose conversation was not seen to begin comes from the server's side, by its ports."""
    source, target = key[-4] << 8 | key[-3], key[-2] << 8 | key[-1]
    if (source in SERVICES) != (target in SERVICES):
        return source in SERVICES
    return source < 1024 <= target
