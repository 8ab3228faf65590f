"""Reads capture files into NDJSON: `hudhud sensor read`. One ECS event a line, in the order of packets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hudhud.entity import Registry
from hudhud.event import Value, event_id
from sensors.observation import document
from sensors.watch import Watch
from sensors.wire import Capture, CaptureProblem

Advance = Callable[[float], None]


@dataclass(slots=True)
class Summary:
    """What came of one or more captures. `counters` add up, except `flow.peak`, the largest."""

    packets: int = 0
    bytes: int = 0
    events: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    problems: list[tuple[str, CaptureProblem]] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def add(self, watch: Watch, capture: Capture, name: str) -> None:
        self.packets += capture.packets
        self.bytes += capture.bytes_read
        for dataset, count in watch.counts.items():
            self.events[dataset] = self.events.get(dataset, 0) + count
        for counter, value in watch.counters().items():
            before = self.counters.get(counter, 0)
            self.counters[counter] = max(before, value) if counter == "flow.peak" else before + value
        if capture.problem is not None:
            self.problems.append((name, capture.problem))


def read(
    sources: Sequence[tuple[str, Callable[[], BinaryIO]]],
    out: BinaryIO | None,
    registry: Registry | None,
    *,
    webmail_min_hosts: int = 5,
    advance: Advance | None = None,
) -> Summary:
    """Read each source (name, opener) by itself: its own flows and windows. Events go to `out`, or are only counted."""
    summary = Summary()
    wall, cpu = time.monotonic(), time.process_time()
    for name, opener in sources:
        watch = Watch(
            _writer(out, name) if out is not None else _nowhere,
            registry,
            webmail_min_hosts=webmail_min_hosts,
            always={"log.file.path": name} if len(sources) > 1 else None,
        )
        with opener() as stream:
            capture = Capture(stream)
            before = 0
            for block in capture.blocks():
                watch.take(block)
                if advance is not None:
                    advance(capture.bytes_read - before)
                    before = capture.bytes_read
            watch.finish()
        if advance is not None:
            advance(capture.bytes_read - before)
        summary.add(watch, capture, name)
    summary.wall_s, summary.cpu_s = time.monotonic() - wall, time.process_time() - cpu
    return summary


def _nowhere(when: float, fields: dict[str, Value]) -> None:
    """Events are only counted."""


def _writer(out: BinaryIO, name: str) -> Callable[[float, dict[str, Value]], None]:
    source, number = f"read:{Path(name).name}", 0

    def leave(when: float, fields: dict[str, Value]) -> None:
        nonlocal number
        number += 1
        fields["event.id"] = event_id(source, number)
        out.write(document(when, fields) + b"\n")

    return leave
