"""Kills the relay's supervisor and workers at random points under load and looks whether anything was lost.

The load comes on both ways in: our own clients log in and submit (each message with a number, each 250 noted), and
Postfix's smtp-source, where it is installed, speaks to the MX port. The sink notes each arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from deploy.bench import bodies, lab, load, process, sink
from deploy.bench.system import found
from deploy.programs import alive
from deploy.soak.place import accepted, all_there, loaded
from deploy.soak.restart import compiled
from deploy.soak.tally import Line, lines, tally
from hudhud.cli import progress
from hudhud.settings import split_address

SESSIONS, MESSAGES = 4, 40  # of one run of smtp-source
DELIVERED_S = 180.0  # after the last kill, in which everything must arrive
QUIET_S = 5.0  # afterwards, for what would come a second time
EARLY = 0.25  # share of kills that come within the first EARLY_S seconds, whatever is going on then
EARLY_S = 0.5
ARRIVALS = 60  # the others come after up to so many messages have arrived since the last, in the middle of work,
PATIENCE_S = 8.0  # or after so long
WHAT = ("worker", "worker", "worker", "supervisor", "everything")
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "relay": {"workers": 2},
    "delivery": {"first_retry_s": 1.0, "breaker_s": 1.0},
    "node": {"log_level": "error"},
}


@dataclass(frozen=True, slots=True)
class Kill:
    """What was killed when (monotonic seconds)."""

    what: str
    moment: float


@dataclass(slots=True)
class Handing:
    """smtp-source at the MX port, as a body's server, until told to stop; each run has a host name of its own.

    A run that ends well got 250 for each of its messages. One that broke tells how many got as far as 354; of these at
    most one a session waited for its 250.
    """

    port: int
    taken: dict[str, int] = field(default_factory=dict)  # host name -> messages that got 250, at least

    async def run(self, stop: asyncio.Event) -> None:
        program = found("smtp-source")
        while program and not stop.is_set():
            name = f"run{len(self.taken)}.source.example"
            words = (
                "-c",
                "-s",
                str(SESSIONS),
                "-m",
                str(MESSAGES),
                "-l",
                "4000",
                "-M",
                name,
                "-f",
                bodies.SENDER,
                "-t",
                lab.RECIPIENT,
            )
            child = await asyncio.create_subprocess_exec(
                program, *words, f"127.0.0.1:{self.port}",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            said, _ = await child.communicate()
            numbers = re.findall(rb"\d+", said)
            begun = int(numbers[-1]) if numbers else 0
            self.taken[name] = MESSAGES if child.returncode == 0 else max(begun - SESSIONS, 0)
            await asyncio.sleep(0.1)

    def complete(self, arrivals: Mapping[str, Sequence[float]]) -> bool:
        """Whether all came that must."""
        return all(line.good is not False for line in self.lines(arrivals))

    def lines(self, arrivals: Mapping[str, Sequence[float]]) -> list[Line]:
        """For the table: at least as many messages of each run came as got 250."""
        if not self.taken:
            return [Line("smtp-source (MX port)", "not installed: apt install postfix")]
        came = dict.fromkeys(self.taken, 0)
        for identity in arrivals:
            host = identity.rpartition("@")[2]
            if host in came:
                came[host] += 1
        missing = sum(max(taken - came[name], 0) for name, taken in self.taken.items())
        return [
            Line(
                "messages of smtp-source that got 250 on the MX port",
                f"{sum(self.taken.values()):,} or more",
                any(came.values()),
            ),
            Line("of these lost", str(missing), missing == 0),
        ]


async def kill_relay(folder: Path, points: int, seed: int) -> list[Line]:
    """A lab in `folder`, `points` kills; the lines of the table."""
    dice = random.Random(seed)  # noqa: S311 - the same kills for the same seed
    settings = lab.make(folder, changes=SETTINGS)
    async with compiled(folder), lab.relaying(folder, settings, arrivals=True) as running:
        handing = Handing(split_address(settings.relay.mx[0])[1])
        async with loaded(_orders(running)) as results, _beside(handing):
            kills = await _kill(running, points, dice)
            await asyncio.sleep(1.0)
        wanted = accepted(results)
        arrivals = await all_there(running, wanted, DELIVERED_S, more=handing.complete, quiet=QUIET_S)
    refused = sum(len(result.refused) for result in results)
    broken = sum(result.broken for result in results)
    counted = ", ".join(f"{sum(k.what == what for k in kills)} {what}" for what in dict.fromkeys(WHAT))
    return [
        Line("kills of the relay", f"{len(kills)}: {counted} (seed {seed})"),
        Line("connections that broke, messages put off", f"{broken:,}, {refused:,}"),
        *lines(tally(wanted, arrivals, [kill.moment for kill in kills])),
        *handing.lines(arrivals),
    ]


def _orders(running: lab.RelayLab) -> list[load.Order]:
    order = running.submission()
    return [
        msgspec.structs.replace(order, size="10k", sessions=6, rate=60.0),
        msgspec.structs.replace(order, size="2k", sessions=4, per_session=20, rate=40.0),
        msgspec.structs.replace(order, size="400k", sessions=2, rate=3.0),
    ]


@contextlib.asynccontextmanager
async def _beside(handing: Handing) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(handing.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def _kill(running: lab.RelayLab, points: int, dice: random.Random) -> list[Kill]:
    """Kill and start again, `points` times."""
    kills: list[Kill] = []
    with progress("kills", points) as bar:
        while len(kills) < points:
            await _pause(running, dice)
            what = dice.choice(WHAT)
            victims = _victims(running, what, dice)
            if not victims:
                continue  # no worker lives at the moment
            kills.append(Kill(what, asyncio.get_running_loop().time()))
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if what != "worker":
                await running.relay.start(asyncio.Event())
            bar.advance(1, what)
    return kills


async def _pause(running: lab.RelayLab, dice: random.Random) -> None:
    """Until the next kill: a moment, or until some more messages have arrived."""
    early, wanted, rest = dice.random() < EARLY, dice.randint(1, ARRIVALS), dice.random()
    if not early:
        there = sink.read_counts(running.counters).messages
        await lab.arrived(running.counters, there + wanted, PATIENCE_S)
    await asyncio.sleep(rest * (EARLY_S if early else 0.05))


def _victims(running: lab.RelayLab, what: str, dice: random.Random) -> list[int]:
    supervisor = running.pids
    workers = [pid for pid in running.workers if alive(pid)]
    if what == "supervisor":
        return supervisor
    if what == "everything":
        return process.tree(supervisor)
    return [dice.choice(workers)] if workers else []
