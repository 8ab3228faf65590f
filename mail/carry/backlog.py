"""What dispatch has of the queue in memory: new messages at once, due ones from disk, each in its next hop's lane."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any

from hudhud.clock import Clock
from hudhud.settings import Delivery as Limits
from mail.carry.lane import Job, Lane
from mail.carry.letter import Letter, Memory
from mail.route import Hop, NoWay, Routes
from mail.shelf.rows import Key
from mail.shelf.stored import Stored, Waiting
from mail.sign import Signer
from mail.spool import Spool

PER_DOMAIN = 200  # recipients of one domain that are in memory at once
MAX_BUSY = 5_000  # recipients in memory at once, per worker
MAX_MEMORY = 64 * 1024 * 1024  # octets of new messages that wait in memory; past it they are read again when they go
PER_TRANSACTION = 100  # recipients of one transaction (RFC 5321 section 4.5.3.1.8: at least 100 are taken)
LONGEST_SLEEP = 30.0  # seconds; the disk is looked at least so often, whatever was announced
RESCAN = 0.02  # seconds between two looks at the disk

Lost = Callable[[Letter, Sequence[Waiting], NoWay], Coroutine[Any, Any, None]]


class Backlog:
    """Fills lanes from a spool. `later` runs a coroutine in the background; `no_way` hears of what has no next hop."""

    def __init__(
        self,
        spool: Spool,
        routes: Routes,
        signer: Signer,
        *,
        clock: Clock,
        limits: Limits,
        later: Callable[[Coroutine[Any, Any, None]], None],
        no_way: Lost,
    ) -> None:
        self._spool, self._routes, self._signer, self._clock, self._limits = spool, routes, signer, clock, limits
        self._later, self._no_way = later, no_way
        self.lanes: dict[str, Lane] = {}
        self.pending: dict[str, None] = {}  # keys of lanes in which something waits, in turn
        self.memory = Memory()
        self._busy: dict[str, set[Key]] = {}
        self._count = 0
        self._more: frozenset[str] = frozenset()  # domains with more due recipients than were taken
        self._due_at = self._scanned_at = 0.0
        self._again = True

    def take(self) -> float:
        """Take what there is room for; when to take again (monotonic seconds), if nothing is announced before."""
        while self._count < MAX_BUSY and (stored := self._spool.fresh.take()) is not None:
            self._accept(stored)
        now = self._clock.monotonic()
        wanted = self._again or self._spool.fresh.behind or now >= self._due_at
        if wanted and self._count < MAX_BUSY and now >= self._scanned_at + RESCAN:
            self._scan(now)
            wanted = False
        return self._scanned_at + RESCAN if wanted else self._due_at

    def free(self, stored: Stored, waiting: Iterable[Waiting], due: datetime | None) -> None:
        """These are no longer being served: their outcome is on disk. `due` is when the first of them comes again."""
        for one in waiting:
            keys = self._busy[one.domain]
            keys.discard((stored.number, one.place))
            self._count -= 1
            if not keys:
                del self._busy[one.domain]
            if one.domain in self._more or self._spool.fresh.behind:
                self._again = True
        if due is not None:
            self._due_at = min(self._due_at, self._clock.monotonic() + (due - self._clock.now()).total_seconds())
        if self._again or due is not None:
            self._spool.fresh.arrived.set()

    def lane(self, hop: Hop) -> Lane:
        """The lane of a next hop."""
        found = self.lanes.get(hop.key)
        if found is None:
            found = self.lanes[hop.key] = Lane(self._limits)
        return found

    def _scan(self, now: float) -> None:
        self._spool.fresh.behind = self._again = False
        moment = self._clock.now()
        found, due = self._spool.due(moment, PER_DOMAIN, self._busy)
        self._more = due.more
        for stored in found:
            self._accept(stored)
        wait = (due.soonest - moment).total_seconds() if due.soonest is not None else LONGEST_SLEEP
        self._scanned_at, self._due_at = now, now + min(max(wait, 0.0), LONGEST_SLEEP)

    def _accept(self, stored: Stored) -> None:
        """Split a message by next hop and lay the parts in their lanes."""
        by_domain: dict[str, list[Waiting]] = {}
        for one in stored.waiting:
            self._busy.setdefault(one.domain, set()).add((stored.number, one.place))
            by_domain.setdefault(one.domain, []).append(one)
        self._count += len(stored.waiting)
        letter = Letter(stored, self._spool, self._signer, self.memory)
        ways: dict[str, tuple[Hop, list[Waiting]]] = {}
        for domain, group in by_domain.items():
            way = self._routes.known(domain)
            if isinstance(way, Hop):
                self.lane(way).domains.add(domain)
                ways.setdefault(way.key, (way, []))[1].extend(group)
            else:
                self._later(self._find(letter, domain, group))
        for hop, group in ways.values():
            self._lay(letter, hop, group)

    async def _find(self, letter: Letter, domain: str, group: Sequence[Waiting]) -> None:
        way = await self._routes.find(domain)
        if isinstance(way, Hop):
            self.lane(way).domains.add(domain)
            self._lay(letter, way, group)
            self._spool.fresh.arrived.set()
        else:
            await self._no_way(letter, group, way)

    def _lay(self, letter: Letter, hop: Hop, group: Sequence[Waiting]) -> None:
        lane = self.lane(hop)
        for at in range(0, len(group), PER_TRANSACTION):
            lane.waiting.append(Job(letter, hop, tuple(group[at : at + PER_TRANSACTION])))
        self.pending.setdefault(hop.key)
        if self.memory.octets > MAX_MEMORY:
            letter.drop_data()
