"""Small works of one event loop, done on the loop's own thread; only the wait for the disk is the database's thread's.

Where each work goes to a thread, every one of its statements lets go of the interpreter and has to win it back from a
busy loop: on the relay's busiest path that cost more than SQLite did. Here a group of works is a run of plain calls,
then one hand-over for the COMMIT. While the disk is busy the next group gathers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

PATIENCE_S = 0.005  # how long a work that can wait does so for one that cannot, to share its transaction
GROUP = 64  # works of one transaction; the loop does nothing else meanwhile


class Waiting:
    """One piece of work and who waits for it: an asyncio future of `loop`, or a plain one."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Callable[[Any], Any], future: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self.work = work
        self.future = future  # of asyncio or of concurrent.futures: both are set and asked in the same words
        self.loop = loop
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():  # its waiter was cancelled meanwhile
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Begun:
    """A transaction whose works are done and which is still to be committed; `done` is called in its loop then."""

    __slots__ = ("done", "loop", "works")

    def __init__(
        self, works: Sequence[Waiting], loop: asyncio.AbstractEventLoop, done: Callable[[Sequence[Waiting]], None]
    ) -> None:
        self.works, self.loop, self.done = works, loop, done


class Writer(Protocol):
    """The connection that writes, as far as this module uses it."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, statements: str, /) -> object: ...


class Prompt:
    """The works of the loop that gave the first one. `put` hands what is not done here to the database's thread.

    `using` is held by whoever is between BEGIN and COMMIT. `wanted`: somebody waits here for it to be let go.
    """

    def __init__(self, writer: Writer, using: threading.Lock, put: Callable[[Waiting | Begun], None]) -> None:
        self._writer, self._using, self._put = writer, using, put
        self.loop: asyncio.AbstractEventLoop | None = None
        self.wanted = False
        self._waiting: list[Waiting] = []
        self._underway = self._soon = False
        self._timer: asyncio.TimerHandle | None = None

    def add(self, waiting: Waiting, *, patient: bool) -> None:
        """In the loop's thread. A patient work waits for company."""
        assert waiting.loop is not None
        if self.loop is None:
            self.loop = waiting.loop
        elif self.loop is not waiting.loop:
            return self._put(waiting)
        self._waiting.append(waiting)
        if self._underway or self._soon:
            return None
        if patient:
            if self._timer is None:
                self._timer = self.loop.call_later(PATIENCE_S, self._begin)
        else:
            self._soon = True
            self.loop.call_soon(self._begin)  # what else this turn of the loop brings goes with it
        return None

    def drain(self) -> list[Waiting]:
        """What was not begun, for the thread: the database closes."""
        rest, self._waiting = self._waiting, []
        return rest

    def released(self) -> None:
        """From the thread: the connection is free again."""
        if self.wanted and self.loop is not None:
            self.wanted = False
            try:
                self.loop.call_soon_threadsafe(self._begin)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _begin(self) -> None:
        self._soon = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting = [one for one in self._waiting if not one.future.cancelled()]
        if self._underway or not self._waiting:
            return
        self.wanted = True
        if not self._using.acquire(blocking=False):
            return  # `released` calls again
        self.wanted = False
        group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
        if not self._do(group):
            self._using.release()
            for one in group:  # the thread does them again, each in a savepoint of its own, and says what is wrong
                self._put(one)
            if self._waiting:
                self._begin()
            return
        self._underway = True
        assert self.loop is not None
        self._put(Begun(group, self.loop, self._done))

    def _do(self, group: Sequence[Waiting]) -> bool:
        """All works in an open transaction, or nothing."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for one in group:
                one.result = one.work(self._writer)
        except BaseException:  # a work's own mistake, a full disk, another process that writes
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            return False
        return self._writer.in_transaction

    def _done(self, works: Sequence[Waiting]) -> None:
        """In the loop: the transaction ended, well or not."""
        self._underway = False
        for one in works:
            one.settle()
        if self._waiting:
            self._begin()
