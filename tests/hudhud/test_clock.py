"""The virtual clock wakes sleepers in order, each at its own moment."""

import asyncio

from hudhud.clock import SYSTEM, VirtualClock


async def test_sleepers_wake_in_the_order_of_their_moments() -> None:
    clock, woken = VirtualClock(), []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper("a", 10, 10)), asyncio.create_task(sleeper("b", 15))]
    await clock.advance(3600)
    await asyncio.gather(*tasks)
    assert woken == [("a", 10), ("b", 15), ("a", 20)]
    assert clock.monotonic() == 3600


async def test_nobody_wakes_early() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep(5))
    await clock.advance(4.9)
    assert not task.done()
    await clock.advance(0.2)
    await task


def test_the_machines_clock_knows_its_zone() -> None:
    assert SYSTEM.now().tzinfo is not None
