"""An observation: what one packet or conversation told, before privacy and detectors; and how it becomes an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hudhud import codec
from hudhud.event import Value, format_time, nest
from sensors.flow import Flow

METRICS = frozenset(("webmail", "health"))  # datasets that count and tell nothing of one thing


@dataclass(frozen=True, slots=True)
class Observation:
    """`dataset` without its "hudhud."; `time` in seconds since 1970; `fields` are flat ECS names, without the flow's
    own.
    """

    dataset: str
    time: float
    flow: Flow | None
    fields: Mapping[str, Value]


Tell = Callable[[Observation], None]


def moment(time: float) -> datetime:
    """Seconds since 1970 as an aware time; what no calendar holds becomes 1970."""
    try:
        return datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def event_fields(dataset: str, fields: Mapping[str, Value]) -> dict[str, Value]:
    """The ECS fields of an observation or alert, with those that say what kind of event it is."""
    alert = dataset == "alert"
    return {
        "event.kind": "alert" if alert else "metric" if dataset in METRICS else "event",
        "event.category": ["intrusion_detection" if alert else "network"],
        "event.dataset": f"hudhud.{dataset}",
        "event.module": "hudhud",
        "event.provider": "hudhud-sensor",
        **fields,
    }


def document(time: float, fields: Mapping[str, Value]) -> bytes:
    """The nested ECS document as it leaves the sensor, JSON. Its id is given by the journal that it goes to."""
    nested = nest(fields)
    nested["@timestamp"] = format_time(moment(time))
    return codec.encode(nested)
