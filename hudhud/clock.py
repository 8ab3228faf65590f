"""Time as an argument: the clock that a program is given, real or virtual."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits; everything that depends on time is handed one."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` by this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualClock:
    """A clock that moves only when told, so that five days pass in a test in milliseconds."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + max(seconds, 0.0), next(self._order), waiting))
        await waiting

    async def advance(self, seconds: float) -> None:
        """Move forward by `seconds`, waking each sleeper at its own moment, in order."""
        end = self._elapsed + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, waiting = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, moment)
            if not waiting.done():
                waiting.set_result(None)
            await self._settle()
        self._elapsed = end

    def set_by(self, seconds: float) -> None:
        """Somebody sets the time of day, forth or back; the monotonic one goes on."""
        self._start += timedelta(seconds=seconds)

    async def _settle(self) -> None:
        for _ in range(10):  # what was woken may itself wake others before it sleeps again
            await asyncio.sleep(0)


SYSTEM: Clock = SystemClock()
