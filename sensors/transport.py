"""From transport headers to flows and parsers: TCP, UDP, ICMP and the rest. The hot path (RFC 9293, 768, 792)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from sensors.flow import (
    ACK,
    FIN,
    ICMP,
    ICMP6,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    Flow,
    FlowTable,
    Half,
    Parser,
    from_server,
    icmp_answer,
)  # fmt: skip
from sensors.stream import Streams
from sensors.tunnel import UDP_TUNNELS, Tunnel, Within

_OVER = ("closed", "reset", "rejected")

Choose = Callable[[Flow, int, int, bytes], Parser | None]


class Transports:
    """Keeps the flow table. `choose` names the parser of a new UDP flow, every TCP flow begins with `fresh`."""

    tunnelled: Within  # set by the decoder that this belongs to

    def __init__(self, table: FlowTable, streams: Streams, fresh: Parser, choose: Choose) -> None:
        self.counters = {"malformed": 0}
        self._table, self._streams, self._fresh, self._choose = table, streams, fresh, choose
        self._tcp_halves = table.halves[TCP]
        self._udp_halves = table.halves[UDP]

    def tcp(  # noqa: PLR0917 - the hot path passes numbers, not objects
        self, key: bytes, seq: int, ack: int, offset: int, flags: int,
        data: bytes, at: int, stop: int, time: float, wire: int,
    ) -> None:  # fmt: skip
        """A segment whose header begins at `at`."""
        half = self._tcp_halves.get(key)
        if half is None or (flags & 0x12 == SYN and half.flow.state in _OVER):
            if half is not None:
                self._table.reuse(half.flow)
            half = self._open_tcp(key, flags, time)
        flow = half.flow
        flow.last = time
        half.packets += 1
        half.bytes += wire
        if flags & 7:
            self._signal(half, seq, flags)
            seq += flags >> 1 & 1
        else:
            half.flags |= flags
        if flow.parser is not None:
            if half.peer.pending and flags & ACK:  # first, so that what was acknowledged comes before its answer
                self._streams.acknowledged(half.peer, ack, time)
            start = at + (offset >> 4) * 4
            if start < stop:
                if offset < 0x50:
                    self.counters["malformed"] += 1
                    return
                self._streams.segment(half, seq, data, start, stop, time)

    def _open_tcp(self, key: bytes, flags: int, time: float) -> Half:
        backwards = flags & 0x12 == 0x12 or (not flags & SYN and from_server(key))
        half = self._table.open(key, TCP, time, backwards=backwards)
        half.flow.parser = self._fresh
        return half

    def _signal(self, half: Half, seq: int, flags: int) -> None:
        """SYN, FIN or RST."""
        half.flags |= flags
        if flags & SYN and half.next < 0:
            half.next = (seq + 1) & 0xFFFFFFFF
        if flags & RST or (flags & FIN and half.peer.flags & FIN):
            self._table.close_soon(half.flow)

    def udp(  # noqa: PLR0917 - the hot path passes numbers, not objects
        self, key: bytes, data: bytes, at: int, stop: int, time: float, wire: int
    ) -> None:
        half = self._udp_halves.get(key)
        if half is None:
            half = self._table.open(key, UDP, time, backwards=from_server(key))
            source, target = struct.unpack(">HH", key[-4:])
            tunnel = UDP_TUNNELS.get(target) or UDP_TUNNELS.get(source)
            if tunnel is not None and 53 not in (source, target):
                half.flow.parser = Tunnel(self.tunnelled, tunnel)
            else:
                half.flow.parser = self._choose(half.flow, source, target, data[at:stop])
        flow = half.flow
        flow.last = time
        half.packets += 1
        half.bytes += wire
        parser = flow.parser
        if parser is not None and at < stop:
            try:
                parser.feed(half, data[at:stop], time)
            except (IndexError, ValueError, struct.error):
                self._streams.counters["parser_errors"] += 1

    def other(  # noqa: PLR0917 - the hot path passes numbers, not objects
        self, protocol: int, addresses: bytes, data: bytes, at: int, stop: int, time: float, wire: int
    ) -> None:
        """ICMP and the rest: flows by addresses, and by ports or ICMP types where there are any."""
        if protocol == 59:  # IPv6: no next header
            return
        ports = b"\0\0\0\0"
        if protocol in (ICMP, ICMP6) and stop - at >= 2:
            answer = icmp_answer(protocol, data[at])
            ports = bytes((0, data[at], 0, data[at + 1] if answer is None else answer))
        elif protocol == SCTP and stop - at >= 4:
            ports = data[at : at + 4]
        key = addresses + ports
        half = self._table.halves.get(protocol, {}).get(key)
        if half is None:
            half = self._table.open(key, protocol, time)
        half.flow.last = time
        half.packets += 1
        half.bytes += wire
