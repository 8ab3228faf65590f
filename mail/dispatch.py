"""Sends on what the spool holds: queue > route > sign > delivery > Attempt > done, again later, or a DSN.

At least once: a message is sent twice only where a crash falls between the next hop's 250 and the commit that records
it. While outcomes cannot be recorded (full disk), nothing more is sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Coroutine, Iterable, Sequence
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from hudhud import log
from hudhud.clock import Clock
from hudhud.settings import Settings
from mail.attempt import Attempt, Stage
from mail.carry import letter
from mail.carry.abroad import Abroad
from mail.carry.backlog import Backlog
from mail.carry.lane import Job, Lane
from mail.carry.ledger import Ledger
from mail.carry.letter import Letter
from mail.carry.link import Link
from mail.carry.pace import Pace
from mail.delivery import Delivery
from mail.limits import Limits
from mail.route import Hop, NoWay, Routes
from mail.shelf.bodies import BodyError, BodyGone
from mail.shelf.room import SpoolFull
from mail.shelf.stored import Waiting
from mail.sign import Signer
from mail.spool import Spool

MAX_FLYING = 128 * 1024 * 1024  # octets of messages that are being sent at once, per worker (one always may)
GRACE = 10.0  # seconds for what is under way when we are told to stop
EXPIRE_EVERY = 3600.0  # seconds between sweeps of what is older than the retention allows

_log = log.get(__name__)


class Dispatch:
    """One worker's dispatch: `run` it beside the sessions."""

    def __init__(
        self,
        spool: Spool,
        routes: Routes,
        signer: Signer,
        delivery: Delivery,
        *,
        clock: Clock,
        settings: Settings,
        counts: Limits | None = None,
        link: Link | None = None,
    ) -> None:
        """`counts` are the node's limits, `link` what it knows of the international one; without them none count."""
        self._spool, self._delivery, self._clock = spool, delivery, clock
        self._limits = settings.delivery
        self._link = Abroad(link, spool, routes, clock) if link is not None else None
        self._pace = Pace(settings.delivery, counts)
        self._ledger = Ledger(spool, clock=clock, settings=settings, counts=counts, link=link)
        self._backlog = Backlog(
            spool, routes, signer, clock=clock, limits=settings.delivery, later=self._later, no_way=self._no_way
        )
        self._context = copy_context()
        spool.hands.try_again = self._try_again
        self._active = self._flying = 0
        self._expire_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = 0.0
        self._paced_at = float("inf")
        self._fault: BaseException | None = None

    @property
    def counts(self) -> Counter[str]:
        """Recipients by the outcome of their attempts (delivered, queued, failed) since the start."""
        return self._ledger.counts

    def status(self) -> dict[str, object]:
        """For people: what is under way, and which next hops do not answer."""
        lanes = self._backlog.lanes
        resting = {key: lane.why for key, lane in lanes.items() if lane.open}
        told = {"active": self._active, "outcomes": dict(self.counts), "not_answering": resting}
        return {**told, "link": self._link.status()} if self._link is not None else told

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what is under way then has GRACE seconds. Raises what made the shard unusable."""
        wake = self._spool.fresh.arrived
        stopping = asyncio.create_task(_pass_on(stop, wake))
        try:
            while not stop.is_set() and self._fault is None:
                wake.clear()
                again = self._backlog.take()
                self._start()
                self._sweep()
                self._watch_link()
                self._wake_at(min(again, self._probe(), self._paced_at))
                await wake.wait()
        finally:
            stopping.cancel()
            await self._finish()
        if self._fault is not None:
            raise self._fault

    def _start(self) -> None:
        """Begin as many jobs as the caps allow, the lanes in turn."""
        pending, now, passed = self._backlog.pending, self._clock.monotonic(), 0
        self._paced_at = float("inf")
        while passed < len(pending) and self._active < self._limits.max_connections and not self._ledger.stuck:
            key = next(iter(pending))
            lane = self._backlog.lanes[key]
            del pending[key]
            passed += 1
            if lane.open and now < lane.rests_until and not lane.active:
                self._later(self._rest(lane, lane.waiting.clear()))
            elif lane.may_start(now) and self._has_room(lane) and self._pace.allows(lane, now):
                job, passed = lane.waiting.popleft(), 0
                lane.active += 1
                lane.flying += job.size
                self._active += 1
                self._flying += job.size
                self._later(self._serve(lane, job))
            if lane.waiting:
                pending[key] = None
                self._paced_at = min(self._paced_at, lane.paced_until) if lane.paced_until > now else self._paced_at

    def _has_room(self, lane: Lane) -> bool:
        """Nobody takes more than he leaves: there is always room for the next hop that comes after all others."""
        size = lane.waiting.first.size
        left = MAX_FLYING - self._flying
        return lane.active < self._limits.max_connections - self._active and (
            not self._flying or lane.flying + size <= left
        )

    async def _serve(self, lane: Lane, job: Job) -> None:
        """One transaction and its record, for those whom nobody took back meanwhile."""
        log.bind(queue_id=job.letter.stored.queue_id)
        going, due, came_back = tuple(self._spool.hands.take(job.letter.stored.number, job.waiting)), None, False
        try:
            if going:
                attempts = await self._attempts(replace(job, waiting=going))
                came_back = self._heard(lane, job.hop, attempts)
                due = await self._ledger.write(job.letter, going, attempts, job.hop.entity, foreign=job.hop.foreign)
            self._backlog.free(job.letter.stored, job.waiting, due)
            if came_back:
                await self._back(lane)
        finally:
            lane.active -= 1
            lane.flying -= job.size
            self._active -= 1
            self._flying -= job.size
            if self._backlog.pending:
                self._start()

    async def _attempts(self, job: Job) -> Sequence[Attempt]:
        stored = job.letter.stored
        try:
            content = await job.letter.content()
            return await self._delivery.deliver(letter.parcel(stored, job.waiting, content), job.hop)
        except BodyGone as error:
            _log.error("a body is gone", queue_id=stored.queue_id, problem=str(error))
            return self._ours(job.waiting, "5.3.0 the relay cannot read the message any more", permanent=True)
        except BodyError as error:  # no descriptor, a disk in trouble, another node's key: it may be readable again
            _log.error("a body cannot be read", queue_id=stored.queue_id, problem=str(error))
            return self._ours(job.waiting, "4.3.0 the relay cannot read the message now")
        except Exception:
            _log.exception("delivery failed by our own fault", queue_id=stored.queue_id)
            return self._ours(job.waiting, "4.3.0 the relay had a fault of its own")

    def _heard(self, lane: Lane, hop: Hop, attempts: Sequence[Attempt]) -> bool:
        """Tell the lane how it went; True when its next hop is back."""
        now, first = self._clock.monotonic(), attempts[0]
        spoke, away = any(one.reached for one in attempts), all(one.reply.startswith("421") for one in attempts)
        if self._link is not None and hop.foreign and (spoke or first.stage == "connect"):
            self._link.heard(hop.name, good=spoke or first.status == "4.7.5")  # it answers, but not securely enough
        if first.stage == "connect" or (away and first.remote):
            lane.failed(now, first.reply)
            if lane.open:
                _log.warning("next hop does not answer", domains=sorted(lane.domains)[:5], problem=lane.why)
        elif spoke and not any(one.delivered or one.permanent for one in attempts):
            return lane.pushed_back(now)
        elif spoke:
            return lane.reached()
        return False

    async def _rest(self, lane: Lane, jobs: Sequence[Job]) -> None:
        """The next hop does not answer: these wait for their next turn without a try."""
        for job in jobs:
            attempts = self._ours(job.waiting, f"{lane.why[:900]} (not tried again yet)", stage="connect")
            due = await self._ledger.write(job.letter, job.waiting, attempts, job.hop.entity, foreign=job.hop.foreign)
            self._backlog.free(job.letter.stored, job.waiting, due)

    def _probe(self) -> float:
        """Where a rest is over, one of what waits on disk goes ahead; when (monotonic) to look again."""
        now, again = self._clock.monotonic(), float("inf")
        for lane in self._backlog.lanes.values():
            if not lane.open or lane.probed:
                continue
            if now < lane.rests_until:
                again = min(again, lane.rests_until)
            elif not lane.waiting and not lane.active:
                lane.probed = True
                self._later(self._hurry(sorted(lane.domains)[:1], 1))
        return again

    async def _back(self, lane: Lane) -> None:
        _log.info("next hop is back", domains=sorted(lane.domains)[:5])
        await self._hurry(sorted(lane.domains))

    async def _hurry(self, domains: Iterable[str], limit: int | None = None) -> None:
        try:
            for domain in domains:
                await self._spool.hurry(domain, limit)
        except SpoolFull:
            return  # they come when their time comes

    def _try_again(self, domains: Collection[str]) -> None:
        """A person wants it: next hops of these domains that rest are probed at once."""
        for lane in self._backlog.lanes.values():
            if lane.open and not lane.domains.isdisjoint(domains):
                lane.rests_until = 0.0

    def _watch_link(self) -> None:
        if self._link is not None and self._link.watch():
            for lane in self._backlog.lanes.values():
                lane.rests_until = 0.0
            self._later(self._hurry(self._link.domains()))

    async def _no_way(self, of: Letter, group: Sequence[Waiting], way: NoWay) -> None:
        log.bind(queue_id=of.stored.queue_id)
        attempts = self._ours(group, way.reply, stage="route", permanent=way.permanent)
        if way.foreign and self._link is not None:
            self._link.heard(group[0].domain, good=False)
        due = await self._ledger.write(of, group, attempts, "", foreign=way.foreign)
        self._backlog.free(of.stored, group, due)

    def _ours(
        self, waiting: Sequence[Waiting], reply: str, *, stage: Stage = "local", permanent: bool = False
    ) -> tuple[Attempt, ...]:
        return (Attempt(False, permanent, reply, "", self._clock.now(), stage),) * len(waiting)

    # tasks and time

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, context=self._context.copy())  # its log lines name its own message
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault = error  # an outcome may be unknown: going on would send twice
            self._spool.fresh.arrived.set()

    def _wake_at(self, moment: float) -> None:
        """Be awake at that monotonic second at the latest."""
        if self._timer is not None and not self._timer.done():
            if self._timer_at <= moment:
                return
            self._timer.cancel()
        self._timer_at = moment
        self._timer = asyncio.create_task(self._ring(max(moment - self._clock.monotonic(), 0.0)))

    async def _ring(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._timer = None
        self._spool.fresh.arrived.set()

    def _sweep(self) -> None:
        now = self._clock.monotonic()
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_EVERY
            self._later(self._expire())

    async def _expire(self) -> None:
        try:
            gone = await self._spool.expire()
        except SpoolFull:
            return
        if gone:
            _log.info("forgot messages past their retention", messages=gone)

    async def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=0.0 if self._fault else GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._delivery.close()


async def _pass_on(stop: asyncio.Event, wake: asyncio.Event) -> None:
    await stop.wait()
    wake.set()
