"""From blocks of packets to observations: packet > flow > protocols. No policy, no output; deterministic."""

from __future__ import annotations

from collections.abc import Mapping

from hudhud.event import Value
from sensors.dissect import Dissector
from sensors.flow import TCP, Flow, FlowTable, Limits
from sensors.observation import Observation, Tell, moment
from sensors.packet import Decoder
from sensors.protocols import Datagrams, Fresh
from sensors.protocols.arp import Arp
from sensors.stream import Streams
from sensors.transport import Transports


class Engine:
    """One flow table and what feeds it. `tell` is called with every observation, in the order of packets."""

    def __init__(self, tell: Tell, limits: Limits | None = None) -> None:
        self._tell = tell
        self._table = FlowTable(limits or Limits(), self._flow_ended)
        self._streams = Streams(self._table.limits)
        self._arp = Arp(tell)
        self._dissector = Dissector()
        self._transports = Transports(self._table, self._streams, Fresh(tell), Datagrams(tell))
        self._decoder = Decoder(self._table, self._transports, self._arp, self._dissector)
        self.take = self._decoder.run  # the hot path: a block of packets

    def idle(self, now: float) -> None:
        """No packet came until `now` (seconds): flows still time out."""
        self._table.sweep(now)

    def finish(self) -> None:
        """The source is at its end: every open flow is told."""
        self._table.end_all()

    @property
    def now(self) -> float:
        """The time of the last packet, seconds since 1970."""
        return self._decoder.now

    def counters(self) -> Mapping[str, int]:
        """Everything that was counted, by "part.name"."""
        parts = {
            "packet": self._decoder.counters,
            "transport": self._transports.counters,
            "fragment": self._decoder.fragments.counters,
            "flow": {**self._table.counters, "open": len(self._table)},
            "stream": self._streams.counters,
            "arp": self._arp.counters,
            "dissect": self._dissector.counters,
        }
        return {f"{part}.{name}": value for part, counters in parts.items() for name, value in counters.items()}

    def _flow_ended(self, flow: Flow, reason: str) -> None:
        if flow.parser is not None:
            self._streams.finish(flow, flow.last)
        self._tell(Observation("flow", flow.last, flow, flow_fields(flow, reason)))


def flow_fields(flow: Flow, reason: str) -> dict[str, Value]:
    """How much went which way, from when to when; bytes are those on the wire, link headers included."""
    client, server = flow.client, flow.server
    fields: dict[str, Value] = {
        "event.start": _iso(flow.first),
        "event.end": _iso(flow.last),
        "event.duration": max(0, round((flow.last - flow.first) * 1e9)),
        "source.packets": client.packets,
        "source.bytes": client.bytes,
        "destination.packets": server.packets,
        "destination.bytes": server.bytes,
        "network.packets": client.packets + server.packets,
        "network.bytes": client.bytes + server.bytes,
        "hudhud.flow.state": flow.state,
        "hudhud.flow.reason": reason,
    }
    if flow.name:
        fields["network.protocol"] = flow.name
    if flow.protocol == TCP:
        fields["hudhud.flow.tcp_flags"] = [_flags(client.flags), _flags(server.flags)]
    return fields


def _flags(flags: int) -> str:
    """As tcpdump writes them: F, S, R, P, A (.), U."""
    return "".join(letter for bit, letter in enumerate("FSRPAU") if flags >> bit & 1)


def _iso(time: float) -> str:
    return moment(time).isoformat(timespec="microseconds").replace("+00:00", "Z")
