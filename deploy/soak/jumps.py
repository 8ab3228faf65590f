"""The machine's clock jumps by a day, forth and back, while mail waits and flows (libfaketime plays the clock)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from deploy.bench import lab, sink
from deploy.soak.place import accepted, all_there, loaded, refusals
from deploy.soak.restart import compiled
from deploy.soak.tally import Line, lines, tally
from hudhud.cli import progress

DELIVERED_S = 120.0
DAYS = (1, 0, -1, 0)  # what the clock is wrong by, one after the other
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "relay": {"workers": 2},
    "delivery": {"first_retry_s": 1.0, "max_retry_s": 2.0, "breaker_s": 1.0},
    "node": {"log_level": "error"},
}


def library() -> Path | None:
    """libfaketime, where it is installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


@contextlib.contextmanager
def played(clock: Path) -> Iterator[None]:
    """Programs started in the block see the time of day that `clock` says, and the true monotonic one."""
    words = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",  # seconds between looks at the file
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    os.environ.update(words)
    try:
        yield
    finally:
        for name in words:
            del os.environ[name]


async def clock_jumps(folder: Path, rounds: int, seed: int, *, wrong: Sequence[int] = DAYS) -> list[Line]:
    """A lab in `folder` whose clock is `wrong` by so many days, one after the other; the lines of the table."""
    if library() is None:
        return [Line("clock jumps", "left out: apt install faketime")]
    dice = random.Random(seed)  # noqa: S311 - the same each time
    made, clock = lab.make(folder, changes=SETTINGS), folder / "clock"
    _set(clock, 0)
    async with compiled(folder), lab.relaying(folder, made, arrivals=True, starting=played(clock)) as running:
        order = running.submission()
        orders = [
            msgspec.structs.replace(order, size="10k", sessions=2, rate=20.0),
            msgspec.structs.replace(order, size="2k", sessions=2, per_session=20, rate=20.0),
        ]
        moments: list[float] = []
        flowed: list[int] = []
        async with loaded(orders) as results:
            with progress("clock", rounds * len(wrong)) as bar:
                for _ in range(rounds):
                    for days in wrong:
                        flowed.append(await _jump(running, clock, days, dice, moments))
                        bar.advance(1, f"{days:+d} days")
        wanted = accepted(results)
        arrivals = await all_there(running, wanted, DELIVERED_S)
    return [
        Line("jumps of the clock", f"{rounds} × ({', '.join(f'{days:+d}' for days in wrong)} days) (seed {seed})"),
        refusals(results, ("451",)),
        Line("messages that came within seconds of each", ", ".join(map(str, flowed)), all(flowed)),
        *lines(tally(wanted, arrivals, moments)),
    ]


async def _jump(running: lab.RelayLab, clock: Path, days: int, dice: random.Random, moments: list[float]) -> int:
    """The clock jumps while mail waits for a hop that is away; then that is back. How many came within seconds."""
    running.sink.away()
    moments.append(asyncio.get_running_loop().time())
    await asyncio.sleep(dice.uniform(0.3, 0.8))
    _set(clock, days)
    await asyncio.sleep(1.2)
    before = sink.read_counts(running.counters).messages
    running.sink.back()
    await lab.arrived(running.counters, before + 10, 10.0)
    return sink.read_counts(running.counters).messages - before


def _set(clock: Path, days: int) -> None:
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{days * 86_400:+d}\n")
    fresh.replace(clock)
