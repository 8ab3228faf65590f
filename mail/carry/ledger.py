"""Writes down what attempts came to: outcome, event and DSN in one transaction, however long the disk is full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from hudhud import log
from hudhud.clock import Clock
from hudhud.settings import Settings
from mail import dsn, limits, meter
from mail.attempt import Attempt
from mail.carry import outcome
from mail.carry.letter import Letter
from mail.carry.link import Link
from mail.limits import Limits
from mail.queue import RUNNING, Pause, Schedule
from mail.shelf.bodies import BodyError
from mail.shelf.room import SpoolFull
from mail.shelf.stored import Own, Waiting
from mail.spool import Spool

FULL_WAIT = 2.0  # seconds until a record that found the disk full is tried again

_log = log.get(__name__)


class Ledger:
    """`counts` are recipients by outcome since the start. While `stuck`, nothing more should be sent."""

    def __init__(
        self, spool: Spool, *, clock: Clock, settings: Settings, counts: Limits | None = None, link: Link | None = None
    ) -> None:
        self._spool, self._clock, self._limits, self._link = spool, clock, counts, link
        self._share = 1.0 / max(settings.delivery.dsns_per_hour_per_sender, 1)  # of a sender's hour, that one DSN takes
        self._relay = dsn.Relay(settings.relay.hostname, settings.relay.postmaster)
        self._schedule = Schedule.of(settings.delivery)
        self.counts: Counter[str] = Counter()
        self._stuck = 0

    @property
    def stuck(self) -> bool:
        """Whether outcomes wait for room on the disk."""
        return self._stuck > 0

    async def write(
        self,
        letter: Letter,
        waiting: Sequence[Waiting],
        attempts: Sequence[Attempt],
        entity: str,
        *,
        foreign: bool = False,
    ) -> datetime | None:
        """One attempt for each of `waiting`; `entity` is the body whose next hop it was, "" for none of ours.

        `foreign`: its life stands still while the international link is cut.

        Returns when it is on disk, with the time at which the first of them is due again. Raises only what makes the
        shard unusable.
        """
        stored, now = letter.stored, self._clock.now()
        pause = (
            Pause(self._link.paused(stored.received, now), self._link.cut_since) if foreign and self._link else RUNNING
        )
        settled = [
            outcome.settle(stored, one, attempt, now, self._schedule, pause=pause)
            for one, attempt in zip(waiting, attempts, strict=True)
        ]
        own = await self._notifications(letter, settled, now)
        events = outcome.events(stored, settled, self._spool.node, now, entity=entity)
        await self._record(stored.number, settled, events, own)
        letter.drop_data()
        for one in settled:
            self.counts[one.outcome.state] += 1
            meter.count(meter.ATTEMPTS, one.outcome.state, one.outcome.attempt.stage)
            if one.outcome.attempt.delivered:
                meter.observe(meter.DELIVERY, (now - stored.received).total_seconds())
            if not one.outcome.attempt.delivered:
                _report(letter, one.outcome.waiting, one.outcome.attempt, one.outcome.state)
        return min((one.outcome.next for one in settled if one.outcome.state == "queued"), default=None)

    async def _notifications(self, letter: Letter, settled: Sequence[outcome.Settled], now: datetime) -> Sequence[Own]:
        told = [one.told for one in settled if one.told is not None]
        if not told:
            return ()
        if self._limits is not None and not self._limits.take(
            limits.DSNS, letter.stored.sender.decode("utf-8", "replace"), self._share
        ):
            _log.warning("no DSN: its sender had enough of them this hour", queue_id=letter.stored.queue_id)
            return ()
        try:
            content = await letter.content()
        except BodyError:
            content = letter.stored.trace
        return outcome.notifications(letter.stored, told, content, self._relay, now)

    async def _record(
        self, number: int, settled: Sequence[outcome.Settled], events: Sequence[bytes], own: Sequence[Own]
    ) -> None:
        outcomes = [one.outcome for one in settled]
        while True:
            try:
                return await self._spool.record(number, outcomes, events, own)
            except SpoolFull as problem:
                _log.error("an outcome waits for room on the disk; nothing more is sent", problem=str(problem))
                self._stuck += 1
                try:
                    await self._clock.sleep(FULL_WAIT)
                finally:
                    self._stuck -= 1


def _report(letter: Letter, waiting: Waiting, attempt: Attempt, state: str) -> None:
    _log.info(
        "not delivered",
        queue_id=letter.stored.queue_id,
        state=state,
        place=waiting.place,
        host=attempt.host,
        reply=attempt.reply,
    )
