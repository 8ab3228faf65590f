"""HS-PORT-SCAN: one address tries many ports or hosts of a body without getting a conversation.

Fires when TCP attempts of one address at one body that were refused or not answered reach 30 different (host, port)
pairs within two minutes. Silent: conversations that were answered, retries at one port, a busy client with a few dead
peers. Runs on all networks; a scanner outside the registry or in a server network is named, one in a staff or public
network is not.

Fields: source.ip, hudhud.count.targets, hudhud.scan.kind (ports: one host; hosts: one port; mixed),
destination.ip/port where single.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hudhud.event import Value
from sensors.detect.alert import Alert, Bounded, Seen
from sensors.place import Places, Side
from sensors.privacy import named

WINDOW_S = 120.0
SILENCE_S = 3600.0  # one alert per scanner and body in so long
MIN_TARGETS = 30
MAX_TRACKED = 20_000  # scanner and body
SEVERITY_OUTSIDE, SEVERITY_INSIDE = 40, 65


@dataclass(slots=True)
class _Row:
    targets: set[tuple[str, int]] = field(default_factory=set)


class PortScan:
    rule = "HS-PORT-SCAN"
    name = "Port scan"
    datasets = frozenset(("flow",))

    def __init__(self, places: Places) -> None:
        self.counters: dict[str, int] = {}
        self._places = places
        self._rows: Bounded[tuple[str, str], _Row] = Bounded(MAX_TRACKED, WINDOW_S, self.counters, "scanners")
        self._silent: Bounded[tuple[str, str], int] = Bounded(MAX_TRACKED, SILENCE_S, self.counters, "silent")

    def see(self, seen: Seen) -> Iterator[Alert]:
        source, destination, flow = seen.ends.source, seen.ends.destination, seen.observation.flow
        if (
            seen.observation.fields.get("hudhud.flow.state") not in ("attempted", "rejected")
            or flow is None
            or flow.protocol != 6
        ):
            return
        body = destination.entity or source.entity
        if body is None:
            return
        now = flow.first
        key = (source.address, body)
        row = self._rows.get(key, now) or self._rows.put(key, _Row(), now)
        row.targets.add((destination.address, flow.ports[1]))
        if len(row.targets) < MIN_TARGETS or self._silent.get(key, now) is not None:
            return
        self._silent.put(key, 1, now)
        yield self._alert(source, destination, body, row, seen.observation.time)

    def _alert(self, source: Side, destination: Side, body: str, row: _Row, now: float) -> Alert:
        hosts, ports = {host for host, _ in row.targets}, {port for _, port in row.targets}
        kind = "ports" if len(hosts) == 1 else "hosts" if len(ports) == 1 else "mixed"
        fields: dict[str, Value] = {
            **named(source, "source"), "network.transport": "tcp", "hudhud.scan.kind": kind,
            "hudhud.count.targets": len(row.targets),
        }  # fmt: skip
        if len(hosts) == 1:
            fields.update(named(destination, "destination"))
        if len(ports) == 1:
            fields["destination.port"] = next(iter(ports))
        severity = SEVERITY_OUTSIDE if source.entity is None else SEVERITY_INSIDE
        reason = f"{len(row.targets)} ports of {len(hosts)} hosts were tried within {WINDOW_S:.0f} s without an answer"
        return Alert(self.rule, self.name, severity, body, now, reason, fields)

    def tick(self, now: float) -> Iterator[Alert]:
        self._rows.ended(now - WINDOW_S)  # attempts are told when they time out, so later than they began
        self._silent.ended(now)
        yield from ()

    def finish(self) -> Iterator[Alert]:
        yield from ()
