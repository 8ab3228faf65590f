"""An observation: what one packet or conversation told, before privacy and detectors; and how it becomes an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hudhud.event import Event, Value
from sensors.flow import Flow

CATEGORIES: Mapping[str, str] = {"dhcp": "network", "arp": "network", "alert": "intrusion_detection"}


@dataclass(frozen=True, slots=True)
class Observation:
    """`dataset` without its "hudhud."; `time` in seconds since 1970; `fields` are flat ECS names, without the flow's own."""

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


def event_of(dataset: str, time: float, fields: Mapping[str, Value], identity: str) -> Event:
    """The ECS event of an observation's fields."""
    full: dict[str, Value] = {
        "event.id": identity,
        "event.kind": "alert" if dataset == "alert" else "event",
        "event.category": [CATEGORIES.get(dataset, "network")],
        "event.dataset": f"hudhud.{dataset}",
        "event.module": "hudhud",
        "event.provider": "hudhud-sensor",
    }
    full.update(fields)
    return Event(identity, moment(time), full)
