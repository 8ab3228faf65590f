"""What the relay counts, for Prometheus. The one door to prometheus-client.

Every name begins with hudhud_mail_; docs/operating.md says what each means and when to wake somebody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mail import meter

TYPE: Final = CONTENT_TYPE_LATEST
PREFIX: Final = "hudhud_mail_"

STATES: Final = {
    "queued": "Recipients that wait.",
    "held": "Recipients that are held.",
    "unjudged": "Recipients whose message waits to be judged again, by our fault.",
}
COUNTED: Final = {
    meter.MESSAGES: "Messages at the end of DATA, by listener and their gravest verdict.",
    meter.REFUSED: "Recipients that RCPT refused or deferred.",
    meter.ATTEMPTS: "Recipients of delivery attempts, by what they came to and how far they came.",
    meter.SESSIONS: "SMTP sessions that began.",
    meter.DNS: "Questions to the name servers, by their answer.",
    meter.ACTS: "Messages that people acted on.",
}
TIMED: Final = {
    meter.JUDGE: "Seconds to judge a message.",
    meter.DELIVERY: "Seconds from receipt to the next hop's 250, by recipient.",
    meter.DNS_TIME: "Seconds that a question to the name servers took.",
}

Samples = Iterable[tuple[Mapping[str, str], float]]


class _Status(Collector):
    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status
        self._workers: list[Mapping[str, Any]] = status.get("workers", [])
        self._shards = [shard for worker in self._workers for shard in worker.get("shards", [])]

    def collect(self) -> Iterator[Metric]:
        yield from self._of_the_node()
        yield from self._of_shards()
        yield from self._of_workers()

    def _of_the_node(self) -> Iterator[Metric]:
        status = self._status
        yield _gauge("workers", "Workers that answer.", [({}, len(self._workers))])
        yield _gauge("ready", "1 while every worker is ready.", [({}, float(bool(status.get("ready"))))])
        yield _gauge("sessions_open", "SMTP sessions open on the node.", [({}, status.get("sessions", 0))])
        stopped = len(status.get("stopped", []))
        yield _gauge("rules_stopped", "Detection rules that stopped themselves.", [({}, stopped)])
        limits = status.get("limits", {}).items()
        yield _counter("limit_hits", "How often a limit was hit.", [({"limit": name}, count) for name, count in limits])
        yield _counter(
            "worker_restarts", "Workers that fell and were started again.", [({}, status.get("restarts", 0))]
        )
        octets = status.get("bytes", {}).items()
        yield _gauge(
            "disk_bytes", "Octets on disk: spool, bodies, trace; free.", [({"of": name}, size) for name, size in octets]
        )
        ends = status.get("certificates", {}).items()
        yield _gauge(
            "certificate_end_seconds", "When it ends, since 1970.", [({"file": name}, end) for name, end in ends]
        )
        releases = status.get("releases", {}).items()
        yield _gauge(
            "release_published_seconds",
            "When the live release was published, since 1970; its age is time() minus this.",
            [({"kind": kind, "digest": one["digest"][:12]}, one["published"]) for kind, one in releases],
        )
        yield _gauge("release_serial", "Its serial.", [({"kind": kind}, one["serial"]) for kind, one in releases])

    def _of_shards(self) -> Iterator[Metric]:
        def each(name: str) -> Samples:
            return [({"shard": str(one["shard"])}, one.get(name, 0)) for one in self._shards]

        for name, text in STATES.items():
            yield _gauge(name, text, each(name))
        ages = [
            ({"shard": str(one["shard"]), "state": state}, age)
            for one in self._shards
            for state, age in one.get("ages", {}).items()
        ]
        yield _gauge("oldest_seconds", "Age of the oldest message with a recipient in that state; 0: none.", ages)
        yield _gauge("sending", "Recipients being sent at this moment.", each("sending"))
        yield _counter("refused_for_room", "Messages that found no room on the disk.", each("refused_for_room"))
        outcomes = [
            ({"shard": str(one["shard"]), "outcome": outcome}, count)
            for one in self._shards
            for outcome, count in one.get("outcomes", {}).items()
        ]
        yield _counter("outcomes", "Recipients by the outcome of their attempts.", outcomes)
        resting = [({"shard": str(one["shard"])}, len(one.get("not_answering", {}))) for one in self._shards]
        yield _gauge("next_hops_not_answering", "Next hops whose circuit breaker is open.", resting)
        yield _counter("events_shipped", "Events the intake took.", each("shipped"))
        failing = [({"shard": str(one["shard"])}, float(bool(one.get("shipping_problem")))) for one in self._shards]
        yield _gauge("shipping_fails", "1 while the intake does not take events.", failing)

    def _of_workers(self) -> Iterator[Metric]:
        for name, text in COUNTED.items():
            labels = meter.LABELS[name]
            samples = [
                ({"worker": str(worker["number"]), **dict(zip(labels, values, strict=True))}, value)
                for worker in self._workers
                for counted, values, value in worker.get("meter", {}).get("counts", [])
                if counted == name
            ]
            yield _counter(name, text, samples)
        for name, text in TIMED.items():
            family = HistogramMetricFamily(PREFIX + name, text, labels=["worker"])
            for worker in self._workers:
                if (timed := worker.get("meter", {}).get("times", {}).get(name)) is not None:
                    family.add_metric([str(worker["number"])], *_histogram(meter.BUCKETS[name], *timed))
            yield family


def _histogram(bounds: tuple[float, ...], filled: list[int], total: float) -> tuple[list[tuple[str, float]], float]:
    """The buckets as Prometheus has them: each counts all below its bound."""
    names = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return [(name, float(sum(filled[: place + 1]))) for place, name in enumerate(names)], total


def _gauge(name: str, text: str, samples: Samples) -> GaugeMetricFamily:
    listed = list(samples)
    family = GaugeMetricFamily(PREFIX + name, text, labels=list(listed[0][0]) if listed else [])
    for labels, value in listed:
        family.add_metric(list(labels.values()), value)
    return family


def _counter(name: str, text: str, samples: Samples) -> CounterMetricFamily:
    listed = list(samples)
    family = CounterMetricFamily(PREFIX + name, text, labels=list(listed[0][0]) if listed else [])
    for labels, value in listed:
        family.add_metric(list(labels.values()), value)
    return family


def exposition(status: Mapping[str, Any]) -> tuple[bytes, str]:
    """The text that Prometheus reads, and its media type."""
    registry = CollectorRegistry()
    registry.register(_Status(status))
    return generate_latest(registry), TYPE
