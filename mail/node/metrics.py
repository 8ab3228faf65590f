"""What the relay counts, for Prometheus. The one door to prometheus-client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

TYPE: Final = CONTENT_TYPE_LATEST


class _Status(Collector):
    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        workers = status.get("workers", [])
        yield _gauge("workers", "Workers that answer.", [({}, len(workers))])
        yield _gauge("sessions", "SMTP sessions open on the node.", [({}, status.get("sessions", 0))])
        yield _gauge(
            "rules_stopped", "Detection rules that stopped themselves.", [({}, len(status.get("stopped", [])))]
        )
        hits = CounterMetricFamily("hudhud_mail_limit_hits", "How often a limit was hit.", labels=["limit"])
        for name, count in status.get("limits", {}).items():
            hits.add_metric([name], count)
        yield hits
        shards = [shard for worker in workers for shard in worker.get("shards", [])]
        for name, text in (
            ("queued", "Recipients that wait."),
            ("held", "Recipients that are held."),
            ("unjudged", "Recipients whose message waits to be judged again, by our fault."),
        ):
            yield _gauge(name, text, [({"shard": str(shard["shard"])}, shard[name]) for shard in shards])
        suspended = {one["check"]: 1.0 for worker in workers for one in worker.get("suspended", [])}
        yield _gauge("checks_suspended", "Content checks that two people let only tag.", [({}, len(suspended))])
        for name, text in (
            ("jobs", "Messages that are being examined in threads."),
            ("overdue", "Threads that still examine a message that was given up."),
        ):
            seen = [({"worker": str(w.get("number"))}, w["judging"][name]) for w in workers if "judging" in w]
            yield _gauge(f"examining_{name}", text, seen)
        outcomes = CounterMetricFamily(
            "hudhud_mail_outcomes", "Recipients by the outcome of their attempts.", labels=["shard", "outcome"]
        )
        for shard in shards:
            for outcome, count in shard.get("outcomes", {}).items():
                outcomes.add_metric([str(shard["shard"]), outcome], count)
        yield outcomes
        shipped = CounterMetricFamily("hudhud_mail_events_shipped", "Events the intake took.", labels=["shard"])
        for shard in shards:
            shipped.add_metric([str(shard["shard"])], shard.get("shipped", 0))
        yield shipped


def _gauge(name: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> GaugeMetricFamily:
    listed = list(samples)
    family = GaugeMetricFamily(f"hudhud_mail_{name}", text, labels=list(listed[0][0]) if listed else [])
    for labels, value in listed:
        family.add_metric(list(labels.values()), value)
    return family


def exposition(status: Mapping[str, Any]) -> tuple[bytes, str]:
    """The text that Prometheus reads, and its media type."""
    registry = CollectorRegistry()
    registry.register(_Status(status))
    return generate_latest(registry), TYPE
