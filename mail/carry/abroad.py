"""What one shard's dispatch has to do with the international link: what it saw, a change that it tells of, and whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from hudhud import journal, log
from hudhud.clock import Clock
from mail.carry.link import Change, Link
from mail.route import Routes
from mail.shelf.room import SpoolFull
from mail.spool import Spool
from mail.tell.abroad import link_changed

STEP = 100  # domains looked at in one go

_log = log.get(__name__)


class Abroad:
    """`heard` is what deliveries saw; call `watch` now and then."""

    def __init__(self, link: Link, spool: Spool, routes: Routes, clock: Clock) -> None:
        self._link, self._spool, self._routes, self._clock = link, spool, routes, clock
        self._was_cut = link.cut_since is not None
        self._telling: set[asyncio.Task[None]] = set()
        self.heard, self.status = link.heard, link.status

    def watch(self) -> bool:
        """Share what was heard; True where the link has come back since the last call."""
        was = self._link.cut_since
        change = self._link.look()
        if change is not None:
            since = self._link.cut_since or was
            _log.warning("the international link changed", change=change, since=str(since))
            document = link_changed(change, since, self._spool.node, self._clock.now())
            task = asyncio.create_task(self._tell(document, change))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        cut = self._link.cut_since is not None
        back, self._was_cut = self._was_cut and not cut, cut
        return back

    def domains(self) -> Iterator[str]:
        """The domains behind the link that somebody waits for."""
        at = ""
        while found := self._spool.domains(at, STEP):
            at = found[-1]
            yield from (domain for domain in found if self._routes.abroad(domain))

    async def _tell(self, document: bytes, change: Change) -> None:
        try:
            await self._spool.commit(lambda connection: journal.append(connection, [document]))
        except SpoolFull:
            _log.error("the disk is full: no event of the international link", change=change)
