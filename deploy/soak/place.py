"""What every soak of the relay has: clients that submit as long as a block lasts, and what became of their mail."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from deploy.bench import lab, load, message, sink
from deploy.soak.tally import Line
from hudhud.cli import err

QUIET_S = 2.0  # after everything has come, for what would come a second time
Arrivals = Mapping[str, Sequence[float]]


@contextlib.asynccontextmanager
async def loaded(orders: Sequence[load.Order]) -> AsyncIterator[list[load.Result]]:
    """Clients that submit as long as the block lasts; what came of it is in the list afterwards."""
    patient = [
        msgspec.structs.replace(order, patient=True, count=900_000_000, first=number * 1_000_000_000)
        for number, order in enumerate(orders)
    ]
    helpers = [await lab.Helper.start("deploy.bench.load", order) for order in patient]
    results: list[load.Result] = []
    try:
        yield results
    finally:
        for helper in helpers:
            helper.child.terminate()
        for helper in helpers:
            results.append(msgspec.json.decode(await helper.line(), type=load.Result))
            await helper.stop()


def accepted(results: Sequence[load.Result]) -> list[str]:
    """The Message-IDs that got 250."""
    return [message.identity(number) for result in results for number in result.accepted]


async def all_there(
    running: lab.RelayLab,
    wanted: Sequence[str],
    within: float,
    *,
    more: Callable[[Arrivals], bool] = lambda _: True,
    quiet: float = QUIET_S,
) -> Arrivals:
    """Wait until everything has come (and `more` is content), or too long; then a little more."""
    loop = asyncio.get_running_loop()
    until, path = loop.time() + within, running.data / "sink.arrivals"
    while loop.time() < until:
        arrivals = sink.read_arrivals(path)
        missing = sum(identity not in arrivals for identity in wanted)
        if not missing and more(arrivals):
            break
        await asyncio.sleep(0.5)
    else:
        err(f"after {within:.0f} s {missing} messages have not come; the end of the relay's log:")
        err(running.relay.log_file.read_text(errors="replace")[-lab.LOG_SHOWN :])
    await asyncio.sleep(quiet)
    return sink.read_arrivals(path)


def refusals(results: Sequence[load.Result], lawful: Sequence[str]) -> Line:
    """For the table: what the clients were told but 250, by code; good where only lawful ones are among them."""
    codes = Counter(reply[:3] for result in results for reply in result.refused)
    text = ", ".join(f"{count:,} × {code}" for code, count in sorted(codes.items())) or "none"
    return Line("messages put off", text, set(codes) <= set(lawful))
