"""Shards that nobody has: adopted by a worker that lives, given back when their own worker wants them.

A shard past the last worker's number (there are fewer workers now) is adopted at once; one whose worker should live,
but has not held it for a while, by whoever sees it first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hudhud import log
from mail.node.served import Ground, Served, serve
from mail.shelf import shard
from mail.shelf.shard import ShardTaken, is_free

ABSENT_S: Final = 60.0  # seconds that a shard is without its worker before another one adopts it

_log = log.get(__name__)


class Orphans:
    """One worker's look-out; `shards` are those that it serves, its own among them."""

    def __init__(self, ground: Ground, number: int, shards: dict[int, Served]) -> None:
        self._ground, self._number, self._shards = ground, number, shards
        self._free_since: dict[int, float] = {}
        self._adopted: dict[int, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    async def sweep(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        """Adopt and give back what is to be; an adopted shard runs in `group` until `stop`."""
        for number in list(self._adopted):
            if wanted(self._ground.folder, number).exists():
                await self._give_back(number)
        for number in tuple(self._orphaned()):
            with contextlib.suppress(ShardTaken):
                served = await asyncio.to_thread(serve, self._ground, number)
                _log.info("adopted a shard", shard=number)
                self._shards[number] = served
                ending = asyncio.Event()
                self._adopted[number] = ending, group.create_task(_run(served, ending, stop))

    def _orphaned(self) -> Iterator[int]:
        workers, now = self._ground.settings.relay.workers, self._ground.clock.monotonic()
        for number in shard.shard_numbers(self._ground.folder):
            if number in self._shards:
                continue
            if number >= workers:
                if number % workers == self._number:
                    yield number
            elif not is_free(self._ground.folder, number) or wanted(self._ground.folder, number).exists():
                self._free_since.pop(number, None)
            elif now - self._free_since.setdefault(number, now) >= ABSENT_S:
                yield number

    async def _give_back(self, number: int) -> None:
        ending, task = self._adopted.pop(number)
        ending.set()
        await asyncio.wait({task})
        served = self._shards.pop(number)
        await asyncio.to_thread(served.close)
        _log.info("gave a shard back to its own worker", shard=number)


async def _run(served: Served, ending: asyncio.Event, stop: asyncio.Event) -> None:
    passing = asyncio.create_task(_pass_on(stop, ending))
    try:
        await served.run(ending)
    finally:
        passing.cancel()


async def _pass_on(stop: asyncio.Event, ending: asyncio.Event) -> None:
    await stop.wait()
    ending.set()


def wanted(folder: Path, number: int) -> Path:
    """The file by which a worker says that it waits for its shard."""
    return folder / f"shard-{number}.wanted"
