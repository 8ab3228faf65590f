"""The threads at which messages are examined: few, and of their own, so that a slow message does not eat all.

A thread cannot be killed. What nobody waits for any more (a time-out) is told to give up, which it does between two
scans, each bounded by `content.scan_timeout_s`; until then it counts as overdue.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class GivenUp(Exception):  # noqa: N818 - nobody hears it: whoever waited has gone
    """The work was ended on the way."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a job sees of itself."""

    given_up: threading.Event

    def go_on(self) -> None:
        """Between two steps: GivenUp where nobody waits any more."""
        if self.given_up.is_set():
            raise GivenUp


class Bench:
    """`threads` jobs at once, the others wait. `overdue` work is still running though nobody waits for it."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.abandoned = 0  # jobs that were given up since the start
        self._pool = ThreadPoolExecutor(threads, "examine")
        self._lock = threading.Lock()
        self._running: set[Work] = set()

    @property
    def overdue(self) -> int:
        """Jobs that run on though they were given up."""
        with self._lock:
            return sum(work.given_up.is_set() for work in self._running)

    def status(self) -> dict[str, int]:
        """For people and for metrics."""
        with self._lock:
            jobs = len(self._running)
        return {"threads": self.threads, "jobs": jobs, "overdue": self.overdue, "abandoned": self.abandoned}

    async def do(self, job: Callable[[Work], T]) -> T:
        """The job's result, from a thread. Cancelled: the job does not begin, or ends at its next step."""
        work = Work(threading.Event())
        future = self._pool.submit(job, work)
        with self._lock:
            self._running.add(work)
        future.add_done_callback(lambda _: self._ended(work))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            work.given_up.set()
            self.abandoned += 1
            raise

    def close(self) -> None:
        """No more jobs; those under way end at their next step."""
        with self._lock:
            for work in self._running:
                work.given_up.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self, work: Work) -> None:
        with self._lock:
            self._running.discard(work)
