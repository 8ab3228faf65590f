"""From frames to flows: link, network and transport headers, tunnels and fragments. Reads in place, copies only
payload that matters.

`Decoder.run` takes a whole block; it is the one place that a compiled path replaces. What is malformed is counted and
left. RFC 791, 8200, 9293, 768, 2784, 7348 (VXLAN), 8926 (Geneve), 4380 (Teredo), 3032 (MPLS), 2516 (PPPoE), 8300
(NSH).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from sensors.flow import TCP, UDP, FlowTable
from sensors.fragment import Defragmenter
from sensors.link import ARP, ETHERNET, IPV4, IPV6, LINKS
from sensors.transport import Transports
from sensors.tunnel import gre, inner
from sensors.wire import Block

MAX_DEPTH = 8  # tunnels within tunnels
MAX_EXTENSIONS = 16  # IPv6 extension headers of one packet

# Ethernet and IPv4 without options, to the flags of TCP: EtherType, version and length, total length, fragment,
# protocol, key, …
_FAST = struct.Struct(">12xHBxHxxHxB2x12sIIBB")
_TCP = struct.Struct(">4xIIBB")
_EXTENSIONS = frozenset((0, 43, 60, 51, 135, 139, 140))

TakeArp = Callable[[bytes, int, float], None]
Dissect = Callable[[int, bytes], tuple[int, bytes]]


class Decoder:
    """Feeds the transports, which feed the flow table; counts what it cannot read."""

    def __init__(self, table: FlowTable, transports: Transports, arp: TakeArp, dissect: Dissect) -> None:
        self.counters = {"packets": 0, "bytes": 0, "other": 0, "malformed": 0, "unknown_link": 0, "too_deep": 0}
        self.fragments = Defragmenter()
        self.now = 0.0
        self._table, self._arp, self._dissect = table, arp, dissect
        self._transports = transports
        self._tcp, self._udp = transports.tcp, transports.udp
        transports.tunnelled = self.tunnelled
        self._depth = 0
        self._wire = 0

    def run(self, block: Block) -> None:
        """Take in every packet of a block."""
        data, records = block.data, block.records
        self.counters["packets"] += len(records)
        table, tcp, udp, unpack = self._table, self._tcp, self._udp, _FAST.unpack_from
        if block.link != ETHERNET:
            self._run_link(block)
            return
        total_bytes = 0
        next_sweep = table.next_sweep
        for time, start, end, wire in records:
            total_bytes += wire
            if time > next_sweep:
                self.now = time
                table.sweep(time)
                next_sweep = table.next_sweep
            if end - start >= 48:
                kind, version, total, fragment, protocol, key, seq, ack, offset, flags = unpack(data, start)
                if kind == IPV4 and version == 0x45 and not fragment & 0x3FFF and total >= 28:
                    stop = min(start + 14 + total, end)
                    if protocol == TCP and total >= 40:
                        tcp(key, seq, ack, offset, flags, data, start + 34, stop, time, wire)
                        continue
                    if protocol == UDP:
                        self._wire = wire  # for what a tunnel carries
                        udp(key, data, start + 42, min(stop, start + 34 + (seq >> 16)), time, wire)
                        continue
            elif end - start >= 14:
                kind = data[start + 12] << 8 | data[start + 13]
            else:
                self.counters["malformed"] += 1
                continue
            self._wire = wire
            self._general(kind, data, start + 14, end, time)
        self.counters["bytes"] += total_bytes
        self.now = time if records else self.now

    def _run_link(self, block: Block) -> None:
        find, data = LINKS.get(block.link), block.data
        for time, start, end, wire in block.records:
            if time > self._table.next_sweep:
                self._table.sweep(time)
            self.now, self._wire = time, wire
            self.counters["bytes"] += wire
            if find is not None:
                kind, at = find(data, start, end)
                self._general(kind, data, at, end, time)
            else:
                self.counters["unknown_link"] += 1
                kind, payload = self._dissect(block.link, data[start:end])
                self._general(kind, payload, 0, len(payload), time)

    def _general(self, kind: int, data: bytes, at: int, end: int, time: float) -> None:
        """The general way, from the outermost header; a frame that ends where a header should go on is counted."""
        try:
            self.network(kind, data, at, end, time)
        except (IndexError, struct.error):
            self._depth = 0
            self.counters["malformed"] += 1

    def network(self, kind: int, data: bytes, at: int, end: int, time: float) -> None:
        """What `kind` (EtherType) names at data[at:end]; the general way, for all that the fast one does not take."""
        if self._depth >= MAX_DEPTH:
            self.counters["too_deep"] += 1
            return
        if kind not in (IPV4, IPV6):
            if kind == ARP:
                self._arp(data[at : min(end, at + 28)], self._wire, time)
                return
            kind, at = inner(kind, data, at, end)
        if at >= end:
            self.counters["other" if kind == 0 else "malformed"] += 1
        elif kind == IPV4:
            self._ipv4(data, at, end, time)
        elif kind == IPV6:
            self._ipv6(data, at, end, time)
        else:
            self.counters["other"] += 1

    def _ipv4(self, data: bytes, at: int, end: int, time: float) -> None:
        header = (data[at] & 15) * 4
        if end - at < 20 or data[at] >> 4 != 4 or header < 20 or header > end - at:
            self.counters["malformed"] += 1
            return
        total, identity, fragment = struct.unpack_from(">HHH", data, at + 2)
        stop = end if total < header else min(end, at + total)  # a total of 0 is TCP segmentation offload
        protocol, addresses = data[at + 9], data[at + 12 : at + 20]
        if not fragment & 0x3FFF:
            self._transport(protocol, addresses, data, at + header, stop, time)
            return
        whole = self.fragments.add(
            (addresses, protocol, identity), time, (fragment & 0x1FFF) * 8, bool(fragment & 0x2000),
            data[at + header : stop], strict=False,
        )  # fmt: skip
        if whole is not None:
            self._transport(protocol, addresses, whole, 0, len(whole), time)

    def _ipv6(self, data: bytes, at: int, end: int, time: float) -> None:
        if end - at < 40 or data[at] >> 4 != 6:
            self.counters["malformed"] += 1
            return
        length = data[at + 4] << 8 | data[at + 5]
        protocol, addresses = data[at + 6], data[at + 8 : at + 40]
        at += 40
        stop = min(end, at + length) if length else end
        for _ in range(MAX_EXTENSIONS):
            if protocol in _EXTENSIONS and at + 8 <= stop:
                protocol, size = data[at], (data[at + 1] + 2) * 4 if protocol == 51 else (data[at + 1] + 1) * 8
                at += size
            elif protocol == 44 and at + 8 <= stop:
                protocol = data[at]
                place, identity = struct.unpack_from(">HI", data, at + 2)
                at += 8
                if place & 0xFFF9:
                    key, more = (addresses, protocol, identity), bool(place & 1)
                    whole = self.fragments.add(key, time, place & 0xFFF8, more, data[at:stop], strict=True)
                    if whole is None:
                        return
                    data, at, stop = whole, 0, len(whole)
            else:
                break
        if at > stop:
            self.counters["malformed"] += 1
            return
        self._transport(protocol, addresses, data, at, stop, time)

    def _transport(  # noqa: PLR0917 - the hot path passes numbers, not objects
        self, protocol: int, addresses: bytes, data: bytes, at: int, stop: int, time: float
    ) -> None:
        if protocol == TCP:
            if stop - at < 20:
                self.counters["malformed"] += 1
                return
            seq, ack, offset, flags = _TCP.unpack_from(data, at)
            self._tcp(addresses + data[at : at + 4], seq, ack, offset, flags, data, at, stop, time, self._wire)
        elif protocol == UDP:
            if stop - at < 8:
                self.counters["malformed"] += 1
                return
            length = data[at + 4] << 8 | data[at + 5]
            self._udp(
                addresses + data[at : at + 4],
                data,
                at + 8,
                min(stop, at + length) if length else stop,
                time,
                self._wire,
            )
        else:
            self._transports.other(protocol, addresses, data, at, stop, time, self._wire)
            if protocol == 47:
                self.tunnelled(*gre(data, at, stop), data, stop, time)
            elif protocol in (4, 41):
                self.tunnelled(IPV4 if protocol == 4 else IPV6, at, data, stop, time)

    def tunnelled(self, kind: int, at: int, data: bytes, end: int, time: float) -> None:
        """A packet within a packet."""
        if kind and at < end:
            self._depth += 1
            self.network(kind, data, at, end, time)
            self._depth -= 1
