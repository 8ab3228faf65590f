"""What dispatch has of the queue in memory: new messages at once, due ones from disk, each in its next hop's lane.

No destination and no sender takes all the room: the fuller the memory, the fewer of one domain are in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from time import perf_counter
from typing import Any

from hudhud.clock import Clock
from hudhud.settings import Delivery as Limits
from mail.carry.agenda import Agenda
from mail.carry.lane import Job, Lane
from mail.carry.letter import Letter, Memory
from mail.route import Hop, NoWay, Routes
from mail.shelf.due import Key
from mail.shelf.stored import Stored, Waiting
from mail.sign import Signer
from mail.spool import Spool

PER_DOMAIN = 200  # recipients of one domain that are in memory at once
PER_SENDER = 5  # of one sender that get in beside them, where others fill the domain
MAX_BUSY = 5_000  # recipients in memory at once, per worker: past half of it domains get less room
SHARES = ((MAX_BUSY // 2, PER_DOMAIN), (MAX_BUSY, 20), (4 * MAX_BUSY, 2))  # (up to so many in memory, so many a domain)
MAX_MEMORY = 64 * 1024 * 1024  # octets of new messages that wait in memory; past it they are read again when they go
PER_TRANSACTION = 100  # recipients of one transaction (RFC 5321 section 4.5.3.1.8: at least 100 are taken)
RESCAN = 0.02  # seconds between two looks at the disk
CLOCK_SECONDS = 60.0  # between two looks at the clock: whether it was set back, by how much it must be to count
MAX_LANES = 10_000  # next hops that are remembered

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
        self._of: Counter[tuple[str, bytes]] = Counter()  # of them by domain and sender
        self._count = 0
        self._more: set[str] = set()  # domains with more on disk than there was room for
        self._agenda = Agenda(spool.domains)
        spool.hands.in_memory = self._knows
        self._scanned_at = float("-inf")
        self._ahead = float("-inf")  # of the monotonic clock is the time of day

    def take(self) -> float:
        """Take what there is room for; when to take again (monotonic seconds), if nothing is announced before."""
        while self._count < SHARES[-1][0] and (stored := self._spool.fresh.take()) is not None:
            self._accept(stored, fresh=True)
        now = self._clock.monotonic()
        if now < self._scanned_at + RESCAN:
            return self._scanned_at + RESCAN
        if self._spool.fresh.behind:
            self._spool.fresh.behind = False
            self._agenda.walk()
        when = self._clock.now().timestamp()
        if when - now < self._ahead - CLOCK_SECONDS:
            self._agenda.walk()  # set back: what was put off by the other time is found by how far away it is
        self._ahead = when - now
        asked = self._agenda.take(when, now)
        if asked:
            self._scan(asked)
        self._scanned_at = now
        return now + RESCAN if self._agenda.waiting else min(self._agenda.next(now, when), now + CLOCK_SECONDS)

    def free(self, stored: Stored, waiting: Sequence[Waiting], due: datetime | None) -> None:
        """These are no longer being served: their outcome is on disk. `due` is when the first of them comes again."""
        sender, wake = _sender(stored), False
        self._spool.hands.landed(stored.number, waiting)
        for one in waiting:
            keys = self._busy[one.domain]
            keys.discard((stored.number, one.place))
            self._count -= 1
            self._of[one.domain, sender] -= 1
            if not self._of[one.domain, sender]:
                del self._of[one.domain, sender]
            if not keys:
                del self._busy[one.domain]
            if due is not None:
                self._agenda.note(one.domain, due.timestamp())
            if one.domain in self._more:
                self._more.discard(one.domain)
                self._agenda.hurry(one.domain)
                wake = True
        if wake or due is not None or self._spool.fresh.behind:
            self._spool.fresh.arrived.set()

    def _knows(self, number: int, place: int, domain: str) -> bool:
        return (number, place) in self._busy.get(domain, ()) or self._spool.fresh.unseen(number)

    def lane(self, hop: Hop) -> Lane:
        """The lane of a next hop."""
        found = self.lanes.get(hop.key)
        if found is None:
            if len(self.lanes) >= MAX_LANES:
                quiet = [key for key, lane in self.lanes.items() if not (lane.active or lane.waiting or lane.open)]
                for key in quiet:
                    del self.lanes[key]
            found = self.lanes[hop.key] = Lane(self._limits)
        return found

    def _scan(self, asked: Sequence[str]) -> None:
        began = perf_counter()
        found, due = self._spool.due(asked, self._room, self._busy, 2 * self._limits.max_retry_s)
        self._more.difference_update(asked)
        self._more |= due.more
        for stored in found:
            self._accept(stored)
        self._agenda.looked(asked, dict(due.later), perf_counter() - began)

    def _room(self, domain: str) -> int:
        """How many more of the domain may come into memory."""
        share = next((share for count, share in SHARES if self._count < count), 0)
        return max(share - len(self._busy.get(domain, ())), 0)

    def _admitted(self, stored: Stored, domain: str, group: list[Waiting], *, fresh: bool) -> list[Waiting]:
        """Those for whom there is room; the others are on disk."""
        room = self._room(domain)
        if fresh and len(group) > room and len(self._busy.get(domain, ())) < 2 * PER_DOMAIN:
            room = max(room, PER_SENDER - self._of[domain, _sender(stored)])  # a full domain is full for who filled it
        if len(group) > room and fresh:
            self._more.add(domain)
            if domain not in self._busy:
                self._agenda.hurry(domain)
        return group[:room] if fresh else group

    def _accept(self, stored: Stored, *, fresh: bool = False) -> None:
        """Split a message by next hop and lay the parts in their lanes."""
        by_domain: dict[str, list[Waiting]] = {}
        for one in stored.waiting:
            by_domain.setdefault(one.domain, []).append(one)
        letter: Letter | None = None
        ways: dict[str, tuple[Hop, list[Waiting]]] = {}
        for domain, everyone in by_domain.items():
            group = self._admitted(stored, domain, everyone, fresh=fresh)
            if not group:
                continue
            letter = letter or Letter(stored, self._spool, self._signer, self.memory)
            self._busy.setdefault(domain, set()).update((stored.number, one.place) for one in group)
            self._of[domain, _sender(stored)] += len(group)
            self._count += len(group)
            way = self._routes.known(domain)
            if isinstance(way, Hop):
                self.lane(way).domains.add(domain)
                ways.setdefault(way.key, (way, []))[1].extend(group)
            else:
                self._later(self._find(letter, domain, group))
        for hop, group in ways.values():
            if letter is not None:
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


def _sender(stored: Stored) -> bytes:
    return stored.account.encode() if stored.account else stored.sender
