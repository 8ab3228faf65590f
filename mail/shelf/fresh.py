"""New messages on their way from the spool to dispatch in memory, so that they go out without being read from disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from mail.shelf.stored import NewRecipient, Stored, Waiting

MAX_MESSAGES = 2000  # the rest dispatch reads from disk
MAX_BYTES = 32 * 1024 * 1024


class Fresh:
    """`behind` says that there may be due recipients that are only on disk; `arrived` is set when there is anything."""

    def __init__(self) -> None:
        self.behind = True
        self.arrived = asyncio.Event()
        self._stored: deque[Stored] = deque()
        self._bytes = 0
        self._unseen: set[int] = set()

    def unseen(self, number: int) -> bool:
        """Whether the message is being stored or waits here: perhaps on disk already, but not to be taken from it."""
        return number in self._unseen

    def take(self) -> Stored | None:
        """The oldest one, with its bytes; None when there is none."""
        if not self._stored:
            return None
        stored = self._stored.popleft()
        self._bytes -= len(stored.data or b"")
        self._unseen.discard(stored.number)
        return stored

    def wake(self) -> None:
        """There is something due on disk."""
        self.behind = True
        self.arrived.set()

    @contextmanager
    def storing(self, stored: Stored, recipients: Sequence[NewRecipient], data: bytes) -> Iterator[None]:
        """Around the commit of a message: afterwards dispatch has it, once, from memory or from disk."""
        self._unseen.add(stored.number)
        try:
            yield
        except BaseException:
            self._unseen.discard(stored.number)
            self.wake()  # a cancelled commit may have been done all the same
            raise
        waiting = tuple(
            Waiting(place, one.address, one.domain, one.notify, one.orcpt)
            for place, one in enumerate(recipients)
            if one.state == "queued"
        )
        if waiting and len(self._stored) < MAX_MESSAGES and self._bytes + len(data) <= MAX_BYTES:
            self._stored.append(replace(stored, waiting=waiting, data=data))
            self._bytes += len(data)
        else:
            self._unseen.discard(stored.number)
            self.behind = self.behind or bool(waiting)
        if waiting:
            self.arrived.set()
