"""Measures the pipeline: events into SQLite by the real way, matching alone, the Elasticsearch stage, event to alert.

The real way: a source's journal, shipped over HTTPS with mutual TLS, the intake's journal, the desk (enrich, match 900
Sigma rules beside our own, store, correlate, incidents, notices). Intake and desk share one core; CPU is theirs alone.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from cert.opening import open_store
from cert.store import AlertQuery, Query, Store
from deploy.bench import events, lab, process, sigmarules
from deploy.bench.environment import Others
from deploy.bench.house import SOURCE, PipelineLab, Source, pipelining
from deploy.bench.relay import quantile
from hudhud.cli import Exit, Problem, err, out, progress, table
from hudhud.event import event_id
from rules.ruleset import library

WARM = 1000  # events before the clock starts
DONE_S = 900.0
LOOK_S = 0.05  # between looks for alerts: how exact their waits are
MARK_EVERY_S = 0.2  # between two events that must raise an alert, at half load


@dataclass(frozen=True, slots=True)
class Stored:
    """One load through intake and desk."""

    count: int
    wall_s: float
    cpu_s: float
    rss_mb: float
    others: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything; times in seconds, waits in ms."""

    stored: tuple[Stored, ...]
    waits: tuple[float, ...]
    half: float  # events a second while the waits were measured
    matching: float
    matched: str
    elastic: float | None
    search_ms: float | None


async def measure(*, quick: bool, full: bool) -> Measured:
    """Everything, in folders that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hudhud-bench-") as text, progress("pipeline", 5) as bar:
        data = Path(text) / "lab"
        files = {**library(), sigmarules.PACK: sigmarules.rules()}
        settings = lab.make(data, rules=files, changes={"node": {"log_level": "error"}})
        async with pipelining(data, settings, core=min(os.sched_getaffinity(0))) as running:
            source, store = Source(data, settings), open_store(settings)
            try:
                stored = await _load(running, source, store, 10_000 if quick else 60_000, 3)
                bar.advance(2, "stored")
                half = statistics.median(one.count / one.wall_s for one in stored) / 2
                waits = await _waits(source, store, half, 15.0 if quick else 120.0)
                bar.advance(1, "event to alert")
            finally:
                await store.close()
                source.close()
        rate, matched = _matching(quick)
        bar.advance(1, "matching")
        elastic = await _elastic(quick)
        bar.advance(1, "elastic")
        return Measured(tuple(stored), tuple(waits), half, rate, matched, elastic, await _searches(full))


async def _load(running: PipelineLab, source: Source, store: Store, count: int, rounds: int) -> list[Stored]:
    """`rounds` loads one after the other; Problem where not every event is stored once."""
    found: list[Stored] = []
    made = events.documents(WARM + count * rounds, datetime.now(UTC))
    last = await source.write(islice(made, WARM))
    async with source.shipping():
        await running.through(source, last, DONE_S)
    sent = WARM
    for _ in range(rounds):
        last = await source.write(islice(made, count))
        others, cpu, begun = Others(), process.cpu_s(running.pids), time.monotonic()
        async with source.shipping():
            ended = await running.through(source, last, DONE_S)
        sent += count
        rss = sum(process.rss_bytes(pid) for pid in running.pids) / 1e6
        used = process.cpu_s(running.pids) - cpu
        found.append(Stored(count, ended - begun, used, rss, others.share()))
    await store.settle()
    there = sum(bucket.count for bucket in await store.counts(Query(), "event.dataset"))
    if there != sent:
        raise Problem(f"{sent} events were sent, {there} are stored", Exit.NO)
    return found


async def _waits(source: Source, store: Store, rate: float, seconds: float) -> list[float]:
    """Milliseconds from an event's entry into its source's journal until its alert can be found, at `rate` events/s."""
    held = events.documents(int(seconds / MARK_EVERY_S) + 1, datetime.now(UTC), kind="held", seed=77)
    plain = events.documents(int(rate * seconds * 2) + 1000, datetime.now(UTC), seed=78)
    written: dict[str, float] = {}
    seen: dict[str, float] = {}
    async with source.shipping():
        looking = asyncio.create_task(_look(store, written, seen))
        begun, sent = time.monotonic(), 0
        while (now := time.monotonic() - begun) < seconds:
            due = max(int(now * rate) - sent, 0)
            sent += due
            sequence = await source.write([*islice(plain, due), next(held)])
            written[event_id(SOURCE, sequence)] = time.monotonic()
            await asyncio.sleep(MARK_EVERY_S)
        for _ in range(200):
            if written.keys() <= seen.keys():
                break
            await asyncio.sleep(0.1)
        looking.cancel()
    missing = written.keys() - seen.keys()
    if missing:
        raise Problem(
            f"{len(missing)} of {len(written)} events that must raise an alert raised none within 20 s", Exit.NO
        )
    return [(seen[one] - written[one]) * 1000 for one in written]


async def _look(store: Store, written: dict[str, float], seen: dict[str, float]) -> None:
    while True:
        page = await store.alerts(AlertQuery(limit=500))
        now = time.monotonic()
        for alert in page.found:
            if alert.event in written:
                seen.setdefault(alert.event, now)
        await asyncio.sleep(LOOK_S)


def _matching(quick: bool) -> tuple[float, str]:
    from deploy.bench.matching import per_cpu_s

    runs = [per_cpu_s(5_000 if quick else 30_000) for _ in range(3)]
    rate, share, said = sorted(runs)[1]
    return rate, f"{said}; {share:.1%} of the events fit a rule"


async def _elastic(quick: bool) -> float | None:
    from deploy.bench.elastic import beside_bulk

    try:
        beside = await beside_bulk(5_000 if quick else 20_000, 3)
    except Problem as problem:
        err(f"not measured: Elasticsearch: {problem}")
        return None
    for ours, plain in beside.pairs:
        out(f"Elasticsearch {beside.version}: {ours:,.0f} documents/s by the store, {plain:,.0f} by helpers.bulk")
    return beside.ratio


async def _searches(full: bool) -> float | None:
    if not full:
        return None
    from deploy.bench.searches import p95_ms

    return await p95_ms()


def run(*, quick: bool, peers: bool, full: bool) -> dict[str, object]:
    """Measure, show, and hand back the last line."""
    if peers:
        err("not measured: of the pipeline no peer is set up here; IntelMQ took 180 events per CPU second elsewhere")
    found = asyncio.run(measure(quick=quick, full=full))
    rates = [one.count / one.wall_s for one in found.stored]
    per_cpu = [one.count / one.cpu_s for one in found.stored]
    p99 = quantile(found.waits, 0.99)
    rss = max(one.rss_mb for one in found.stored)
    elastic = "not measured" if found.elastic is None else f"{found.elastic:.2f}"
    searched = "only with --full" if found.search_ms is None else f"{found.search_ms:.0f}"
    rows: Sequence[tuple[str, str]] = (
        ("events/s into SQLite, intake and desk on one core", f"{statistics.median(rates):,.0f}"),
        ("events per CPU second of intake and desk", f"{statistics.median(per_cpu):,.0f}"),
        ("rounds, events/s", ", ".join(f"{rate:,.0f}" for rate in rates)),
        ("others' share of the machine meanwhile", f"{statistics.median(one.others for one in found.stored):.0%}"),
        ("memory of intake and desk, MB", f"{rss:.0f}"),
        (f"event to alert at {found.half:,.0f} events/s: p50, p99 ms", f"{quantile(found.waits, 0.5):.0f}, {p99:.0f}"),
        ("matching alone, events per CPU second", f"{found.matching:,.0f}"),
        ("matched", found.matched),
        ("Elasticsearch stage beside helpers.bulk", elastic),
        ("searches over 10 million events, p95 ms", searched),
    )  # fmt: skip
    table("Pipeline: medians", ("what", "figure"), rows)
    figures: dict[str, object] = {
        "sqlite_events_per_s": round(statistics.median(rates)),
        "sqlite_events_per_cpu_s": round(statistics.median(per_cpu)),
        "match_events_per_s": round(found.matching),
        "elastic_vs_bulk": None if found.elastic is None else round(found.elastic, 2),
        "event_to_alert_p99_ms": round(p99),
        "search_p95_ms_10m": None if found.search_ms is None else round(found.search_ms),
        "rss_mb": round(rss, 1),
    }
    return {"pipeline": figures}
