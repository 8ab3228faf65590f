"""The next hop is down for an hour while mail for it goes on coming; then it is back, and gets everything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from deploy.bench import lab, sink
from deploy.soak.place import accepted, all_there, loaded, refusals
from deploy.soak.restart import compiled
from deploy.soak.tally import Line, lines, tally
from hudhud.cli import progress

AWAY_S = 3600.0
BEFORE_S = AFTER_S = 1.0  # of mail that flows
SETTINGS: Mapping[str, Mapping[str, object]] = {"relay": {"workers": 2}, "node": {"log_level": "error"}}


def drained_s(away: float) -> float:
    """How long the mail of so many seconds may take to arrive once the hop is back; a retry is due long before."""
    return 120.0 + away / 2


async def hop_away(folder: Path, away: float) -> list[Line]:
    """A lab in `folder` whose sink is away for so many seconds; the lines of the table."""
    delivery = {"first_retry_s": min(60.0, away / 5), "breaker_s": min(30.0, away / 10)}  # a short run is a small hour
    made = lab.make(folder, changes={**SETTINGS, "delivery": delivery})
    async with compiled(folder), lab.relaying(folder, made, arrivals=True) as running:
        order, loop = running.submission(), asyncio.get_running_loop()
        orders = [
            msgspec.structs.replace(order, size="2k", sessions=2, per_session=20, rate=8.0),
            msgspec.structs.replace(order, size="10k", sessions=2, rate=2.0),
        ]
        async with loaded(orders) as results:
            await asyncio.sleep(BEFORE_S)
            running.sink.away()
            gone = loop.time()
            await waited("the next hop is away", away)
            before = sink.read_counts(running.counters).messages
            running.sink.back()
            back = loop.time()
            await asyncio.sleep(AFTER_S)
        wanted = accepted(results)
        arrivals = await all_there(running, wanted, drained_s(away))
    last = max((moments[-1] for moments in arrivals.values()), default=back)
    return [
        Line("next hop away", f"{back - gone:,.0f} s"),
        Line("messages that waited for it", f"{len(wanted) - before:,}"),
        Line("refused or put off by us", refusals(results, ()).figure, refusals(results, ()).good),
        *lines(tally(wanted, arrivals, [gone])),
        Line("the last came after it was back", f"{last - back:,.0f} s"),
    ]


async def waited(what: str, seconds: float) -> None:
    """Let the time pass, and show that it does."""
    with progress(what, 10) as bar:
        for _ in range(10):
            await asyncio.sleep(seconds / 10)
            bar.advance(1)
