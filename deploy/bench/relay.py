"""Measures the relay end to end: messages a second, CPU per message, how long a client waits for its 250, memory.

Interleaved rounds: each round sends every kind of message through every system in turn. CPU decides where the machine
is noisy; the wall clock is shown beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.bench import lab, load, message, process, sink, yararules
from deploy.bench.environment import Others
from deploy.bench.peers import peers_of
from deploy.bench.system import System
from hudhud.cli import Exit, Problem, err, out, progress, table

WORKERS = 2
SESSIONS = 20
SETTLE_S = 1.0  # after the last delivery, before CPU is read: what is recorded afterwards belongs to the message
DELIVERY_S = 120.0  # in which everything must have arrived


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of load, and how many messages of it a round sends (in full, and quick).

    With `submission` people's programs hand in, each connection with TLS and AUTH; else a body's registered server.
    """

    name: str
    size: message.Size
    per_session: int
    count: int
    quick: int
    submission: bool = False


CASES = (
    Case("10k", "10k", 1, 2000, 400),
    Case("10k-reused", "10k", 100, 2000, 400),
    Case("2k", "2k", 1, 2000, 400),
    Case("100k", "100k", 1, 500, 100),
    Case("10k-submission", "10k", 1, 1000, 200, submission=True),
)


@dataclass(frozen=True, slots=True)
class Round:
    """One load through one system. `cpu_ms` and `ours_ms` (load and sink) are per message, waits in ms."""

    case: str
    system: str
    count: int
    wall_s: float
    cpu_ms: float
    ours_ms: float
    others: float
    accept_ms: tuple[float, ...]

    @property
    def per_s(self) -> float:
        return self.count / self.wall_s


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies (nearest rank); 0.0 of nothing."""
    ranked = sorted(values)
    return ranked[min(int(len(ranked) * share), len(ranked) - 1)] if ranked else 0.0


async def one_round(system: System, case: Case, count: int, *, first: int, rate: float = 0.0) -> Round:
    """Send, wait until the sink has all, settle; Problem where a message is refused, lost, doubled or unsigned."""
    order = msgspec.structs.replace(
        system.submission if case.submission and system.submission else system.order,
        size=case.size,
        count=count,
        sessions=SESSIONS,
        per_session=case.per_session,
        first=first,
        rate=rate,
    )
    before, others = sink.read_counts(system.counters), Others()
    cpu, mine = process.cpu_s(system.pids()), process.cpu_s([os.getpid()])
    result = await lab.sending(order)
    _all_taken(system, result, count)
    ended = await lab.arrived(system.counters, before.messages + count, DELIVERY_S)
    if ended is None:
        there = sink.read_counts(system.counters).messages - before.messages
        raise Problem(f"{system.name}: {count} messages were taken, {there} arrived within {DELIVERY_S:.0f} s", Exit.NO)
    await asyncio.sleep(SETTLE_S)
    _all_right(system, before, sink.read_counts(system.counters), count)
    used = process.cpu_s(system.pids()) - cpu
    ours = process.cpu_s([os.getpid()]) - mine - used
    return Round(
        case.name, system.name, count, ended - result.begun, used / count * 1000, ours / count * 1000,
        others.share(), tuple(result.accept_ms),
    )  # fmt: skip


def _all_taken(system: System, result: load.Result, count: int) -> None:
    if len(result.accepted) != count:
        why = result.refused[0] if result.refused else f"{result.broken} connections broke"
        raise Problem(f"{system.name}: {len(result.accepted)} of {count} messages were taken: {why}", Exit.NO)


def _all_right(system: System, before: sink.Counts, after: sink.Counts, count: int) -> None:
    came, again = after.messages - before.messages, after.again - before.again
    strange, signed = after.strange - before.strange, after.signed - before.signed
    if (came, again, strange) != (count, 0, 0) or (system.signs and signed != count):
        raise Problem(
            f"{system.name}: of {count} messages {came} arrived, {again} twice, {strange} unknown, {signed} signed",
            Exit.NO,
        )


@contextlib.asynccontextmanager
async def hudhud(folder: Path) -> AsyncIterator[tuple[System, lab.RelayLab]]:
    """The relay with 1,000 rules and its workers."""
    changes: dict[str, dict[str, object]] = {"relay": {"workers": WORKERS}}
    settings = lab.make(folder, rules={yararules.PACK: yararules.rules()}, changes=changes)
    async with lab.relaying(folder, settings) as running:
        order, pids = running.handing_in(), lambda: running.pids
        yield System("hudhud", order, running.counters, pids, submission=running.submission()), running


@dataclass(slots=True)
class Measured:
    """Every round, and what was read from the relay itself."""

    rounds: list[Round]
    paced: list[Round]
    rss_mb: float
    absent: tuple[str, ...]  # systems that were asked for and are not installed

    def of(self, case: str, system: str) -> list[Round]:
        return [one for one in self.rounds if (one.case, one.system) == (case, system)]

    def median(self, case: str, system: str, figure: Callable[[Round], float]) -> float | None:
        rounds = self.of(case, system)
        return statistics.median(map(figure, rounds)) if rounds else None

    def ratio(self, case: str, peer: str, figure: Callable[[Round], float]) -> float | None:
        """Median over the rounds of the peer's figure by ours in the same round."""
        pairs = zip(self.of(case, peer), self.of(case, "hudhud"), strict=False)
        ratios = [figure(theirs) / figure(ours) for theirs, ours in pairs if figure(ours)]
        return statistics.median(ratios) if ratios else None


async def measure(*, quick: bool, peers: bool) -> Measured:
    """Everything, in a folder that is gone afterwards."""
    rounds = 3 if quick else 5
    with tempfile.TemporaryDirectory(prefix="hudhud-bench-") as text:
        folder = Path(text)
        async with contextlib.AsyncExitStack() as stack:
            ours, running = await stack.enter_async_context(hudhud(folder / "lab"))
            systems: list[System] = [ours]
            absent: tuple[str, ...] = ()
            if peers:
                others, absent = await peers_of(stack, running, folder / "peers")
                systems += others
            found = Measured([], [], 0.0, absent)
            counts = {case.name: case.quick if quick else case.count for case in CASES}
            with progress("relay", (rounds + 1) * len(systems) * len(CASES)) as bar:
                numbers = iter(range(0, 1 << 40, 1 << 20))
                for turn in range(rounds + 1):
                    for case in CASES:
                        for system in systems:
                            if case.submission and system.submission is None:
                                continue
                            count = counts[case.name] if turn else max(counts[case.name] // 5, 40)
                            got = await one_round(system, case, count, first=next(numbers))
                            bar.advance(1, f"{case.name} {system.name} {got.per_s:.0f}/s")
                            if turn:  # the first round warms up
                                found.rounds.append(got)
            half = (found.median("10k", "hudhud", lambda one: one.per_s) or 2.0) / 2
            for _ in range(1 if quick else 3):
                count = int(min(half * (10 if quick else 30), 4000)) + 1
                found.paced.append(await one_round(ours, CASES[0], count, first=next(numbers), rate=half))
            found.rss_mb = max((process.rss_bytes(pid) for pid in running.workers), default=0) / 1e6
    return found


def show(found: Measured) -> None:
    """The table of medians."""
    systems = list(dict.fromkeys(one.system for one in found.rounds))
    rows = []
    for case in CASES:
        for system in systems:
            mine = found.of(case.name, system)
            if not mine:
                continue
            waits = [wait for one in mine for wait in one.accept_ms]
            cpu, ours = _median(one.cpu_ms for one in mine), _median(one.ours_ms for one in mine)
            ratio = found.ratio(case.name, system, lambda one: one.cpu_ms) if system != "hudhud" else None
            rows.append((
                case.name, system, f"{_median(one.per_s for one in mine):.0f}", f"{cpu:.2f}", f"{ours:.2f}",
                f"{process.CORES * 1000 / (cpu + ours):.0f}", f"{quantile(waits, 0.5):.0f}",
                f"{quantile(waits, 0.99):.0f}", f"{_median(one.others for one in mine):.0%}",
                f"{ratio:.2f}" if ratio else "",
            ))  # fmt: skip
    columns = (
        "message", "system", "messages/s", "CPU ms", "load+sink CPU ms", "messages/s by CPU", "250 p50 ms", "p99 ms",
        "others' share", "its CPU by ours",
    )  # fmt: skip
    table("Relay: medians; handed in by a body's server, policy, 1,000 rules, DKIM, delivered to a sink", columns, rows)
    for name in found.absent:
        err(f"not measured: {name} is not installed")


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def figures(found: Measured) -> dict[str, object]:
    """The object of the last line."""
    result: dict[str, object] = {}
    for case in CASES:
        per_s, cpu = (found.median(case.name, "hudhud", f) for f in (lambda one: one.per_s, lambda one: one.cpu_ms))
        one: dict[str, float | None] = {"msgs_per_s": _rounded(per_s), "cpu_ms": _rounded(cpu)}
        for name, peer in (("postfix_rspamd", "postfix+rspamd"), ("postfix", "postfix"), ("haraka", "haraka")):
            if name == "postfix_rspamd" or found.of(case.name, peer):
                wall = found.ratio(case.name, peer, lambda one: one.wall_s)
                one[f"vs_{name}"] = _rounded(found.ratio(case.name, peer, lambda one: one.cpu_ms))
                one[f"vs_{name}_wall"] = _rounded(wall)
        result[case.name] = one
    waits = [wait for one in found.paced for wait in one.accept_ms]
    result["rss_mb_per_worker"] = _rounded(found.rss_mb)
    result["accept_p50_ms"], result["accept_p99_ms"] = _rounded(quantile(waits, 0.5)), _rounded(quantile(waits, 0.99))
    result["workers"], result["rules"] = WORKERS, yararules.COUNT
    return {"relay": result}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def run(*, quick: bool, peers: bool, full: bool) -> dict[str, object]:
    """Measure, show, and hand back the last line."""
    del full
    found = asyncio.run(measure(quick=quick, peers=peers))
    show(found)
    rate = found.paced[0].count / found.paced[0].wall_s
    out(f"At half load ({rate:.0f} messages/s): p50 and p99 of the wait for 250 are in the last line.")
    return figures(found)
