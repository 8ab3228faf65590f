"""READ FIRST. The sensor's line: wire > packet > flow > protocols > detect > privacy > what leaves.

A block of packets comes in (`take`). The engine makes observations of it. With a registry, each observation is shown
to the detectors, whole and in memory, and what may leave is cut down by sensors/privacy.py; without one (forensic
reading of a given capture) it leaves as it is and no detector runs. Everything that leaves goes through
`leave(dataset, time, fields)`, in the order of packets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from hudhud.entity import Registry
from hudhud.event import Value
from sensors import privacy
from sensors.detect import detectors
from sensors.detect.alert import Alert, Detector, Seen
from sensors.engine import Engine
from sensors.flow import Limits
from sensors.observation import Observation, event_fields
from sensors.place import Places
from sensors.wire import Block

TICK_S = 5.0  # of the packets' time: how often detectors look whether a window ended

Leave = Callable[[float, dict[str, Value]], None]  # time (s since 1970), flat ECS fields


class Watch:
    """One source of packets, from the wire to what leaves. `always` are fields that every event gets."""

    def __init__(
        self,
        leave: Leave,
        registry: Registry | None,
        *,
        limits: Limits | None = None,
        webmail_min_hosts: int = 5,
        always: Mapping[str, Value] | None = None,
    ) -> None:
        self.counts: dict[str, int] = {}  # events that left, by dataset
        self.held_back = 0  # observations that privacy did not let leave
        self._leave, self._always = leave, dict(always or {})
        self._places = Places(registry) if registry is not None else None
        self._detectors = detectors(self._places, webmail_min_hosts) if self._places is not None else ()
        self._by_dataset = _by_dataset(self._detectors)
        self._engine = Engine(self._observed, limits)
        self._next_tick = float("-inf")

    def take(self, block: Block) -> None:
        """Packets, in the order of their times."""
        self._engine.take(block)
        if self._engine.now > self._next_tick:
            self._tick(self._engine.now)

    def idle(self, now: float) -> None:
        """No packet came until `now`, seconds since 1970: flows and windows still end."""
        self._engine.idle(now)
        self._tick(now)

    def finish(self) -> None:
        """The source is at its end: open flows and windows are told."""
        self._engine.finish()
        for detector in self._detectors:
            self._alerts(detector.finish())

    def use(self, registry: Registry) -> None:
        """Go on with another release of the registry."""
        if self._places is not None:
            self._places.use(registry)

    def counters(self) -> dict[str, int]:
        """Everything that was counted: the engine's parts, each detector, what privacy held back."""
        found = dict(self._engine.counters())
        for detector in self._detectors:
            found.update({f"{detector.rule}.{name}": value for name, value in detector.counters.items()})
        found["privacy.held_back"] = self.held_back
        return found

    def _observed(self, observation: Observation) -> None:
        flow, places = observation.flow, self._places
        if places is None:
            base = flow.base() if flow is not None else {}
            self._tell(observation.dataset, observation.time, {**base, **observation.fields})
            return
        if flow is None:
            self.held_back += 1
            return
        ends = places.ends(flow)
        seen = Seen(observation, ends)
        for detector in self._by_dataset.get(observation.dataset, ()):
            self._alerts(detector.see(seen))
        told = privacy.fields(observation, ends, places)
        if told is None:
            self.held_back += 1
            return
        self._tell(observation.dataset, observation.time, told)

    def _alerts(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self._tell(alert.dataset, alert.time, alert.event_fields())

    def _tell(self, dataset: str, time: float, fields: Mapping[str, Value]) -> None:
        self.counts[dataset] = self.counts.get(dataset, 0) + 1
        full = event_fields(dataset, fields)
        full.update(self._always)
        self._leave(time, full)

    def _tick(self, now: float) -> None:
        self._next_tick = now + TICK_S
        for detector in self._detectors:
            self._alerts(detector.tick(now))


def _by_dataset(found: Iterable[Detector]) -> dict[str, list[Detector]]:
    table: dict[str, list[Detector]] = {}
    for detector in found:
        for dataset in detector.datasets:
            table.setdefault(dataset, []).append(detector)
    return table
