"""Which recipients dispatch has in its hands: being sent now, or taken back by a person before they were sent.

Dispatch keeps what is due in memory; a person who holds or deletes it must reach it there too, or it would be sent all
the same. What is being sent at that moment cannot be called back: its outcome is waited for, and told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from mail.shelf.due import Key
from mail.shelf.stored import Waiting

LOOK_S: Final = 0.02  # seconds between looks at what is being sent

Places = Collection[tuple[int, str]]  # a message's recipients: place and domain


class Hands:
    """One shard's. Dispatch sets both: `in_memory(number, place, domain)` says whether it knows of a recipient, and
    `try_again(domains)` lets it try next hops now that rest because they did not answer."""

    def __init__(self) -> None:
        self.try_again: Callable[[Collection[str]], None] = lambda domains: None
        self.in_memory: Callable[[int, int, str], bool] = lambda number, place, domain: False
        self.sending: set[Key] = set()
        self._back: set[Key] = set()

    def take_back(self, number: int, places: Places) -> None:
        """What is known in memory of these is not sent. To be called before and after the change is on disk."""
        self._back.update((number, place) for place, domain in places if self.in_memory(number, place, domain))

    def give_again(self, number: int, places: Places) -> None:
        """These may be sent again."""
        self._back.difference_update((number, place) for place, _ in places)

    def take(self, number: int, waiting: Sequence[Waiting]) -> Sequence[Waiting]:
        """Those of a message's recipients that are to be sent, from now on as being sent."""
        if self._back:
            waiting = tuple(one for one in waiting if (number, one.place) not in self._back)
        self.sending.update((number, one.place) for one in waiting)
        return waiting

    def landed(self, number: int, waiting: Iterable[Waiting]) -> None:
        """Their outcome is on disk, or they were never sent; memory knows them no more."""
        keys = [(number, one.place) for one in waiting]
        self.sending.difference_update(keys)
        self._back.difference_update(keys)

    async def settled(self, number: int, places: Places, patience_s: float) -> None:
        """Wait until none of them is being sent, or for `patience_s` seconds."""
        keys = {(number, place) for place, _ in places}
        try:
            async with asyncio.timeout(patience_s):
                while not keys.isdisjoint(self.sending):
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return
