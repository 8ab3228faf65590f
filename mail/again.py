"""What a fault of ours, or of the DNS, kept from being judged is judged again here, and goes on as it is then judged.

Pauses grow; they are the environment's time to recover. A message that itself made judging fail three times, or one
that nobody could judge for as long as a message lives, is held for a person (invariant 2). Nothing is sent unjudged.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from hudhud import journal, log
from hudhud.clock import Clock
from hudhud.database import Connection
from hudhud.event import format_time
from hudhud.settings import Settings
from mail import threads, trace
from mail.accounts import Account
from mail.attempt import Attempt
from mail.careful import Careful, unjudgeable
from mail.envelope import Envelope, PathError
from mail.held import envelope_of
from mail.message import Message
from mail.session.telling import Telling, refused_in, subject_of
from mail.shelf import refusals, rows, unjudged, uses
from mail.shelf.bodies import BodyError
from mail.shelf.judged import held_by, merged
from mail.shelf.room import SpoolFull
from mail.shelf.stored import Own, State, Stored, shown_address
from mail.shelf.unjudged import Settled, Unjudged
from mail.spent import FOLDER, AlreadySpent, Spent
from mail.spool import Spool
from mail.tell.notice import Notice, What
from mail.tell.replies import reply_to
from mail.verdict import Disposition, Judgement, Verdict, used_once

PAUSES_S: Final = (30.0, 120.0, 300.0)  # between judgements; the last again and again
JITTER: Final = 0.1  # of a pause, more or less
BATCH: Final = 100  # messages looked at in one round
AT_ONCE: Final = 4  # of them judged at the same time
MAX_FAULTS: Final = 3  # of the message itself here (a check failed, a time-out), should the counts of DATA be lost
OUR_FAULT: Final = "4.3.0"  # RFC 3463; the DNS's is 4.4.3 and does not count against the message
ACTOR: Final = "hudhud"

_STATES: Final[dict[Disposition, State]] = {
    Disposition.HOLD: "held",
    Disposition.DEFER: "unjudged",
    Disposition.REJECT: "failed",
}
_TOLD: Final[dict[Disposition, What]] = {
    Disposition.HOLD: "held",
    Disposition.DEFER: "delayed",
    Disposition.REJECT: "refused",
}

AccountOf = Callable[[str], Account | None]

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Case:
    """One message that is judged again."""

    spool: Spool
    stored: Stored
    waiting: Sequence[Unjudged]
    message: Message


class Again:
    """One worker's."""

    def __init__(self, judge: Careful, telling: Telling, *, clock: Clock, settings: Settings) -> None:
        self._judge, self._telling, self._clock, self._settings = judge, telling, clock, settings
        self._spent = Spent(settings.path(settings.spool.folder, FOLDER))
        self.judged = 0  # messages judged again since the start

    async def look(self, spool: Spool, account_of: AccountOf) -> None:
        """Judge again what is due in the shard. `account_of`: an account as it is now, None where it is gone."""
        numbers = unjudged.due(spool.database.read, self._clock.now(), BATCH)
        for at in range(0, len(numbers), AT_ONCE):
            await asyncio.gather(*(self._one(spool, number, account_of) for number in numbers[at : at + AT_ONCE]))

    async def _one(self, spool: Spool, number: int, account_of: AccountOf) -> None:
        stored, waiting = spool.load(number), unjudged.waiting(spool.database.read, number)
        if stored is None or not waiting:
            return
        try:
            data = await asyncio.to_thread(spool.data, stored)
            message = Message.read(_envelope(stored, waiting, account_of), stored.queue_id, data)
        except (BodyError, PathError) as error:
            _log.error("cannot be judged again", queue_id=stored.queue_id, problem=str(error))
            later = self._clock.now() + timedelta(seconds=PAUSES_S[-1])
            settled = [Settled(one, "unjudged", later) for one in waiting]
            await spool.commit(lambda connection: unjudged.settle(connection, number, settled))
            return
        case = _Case(spool, stored, waiting, message)
        self.judged += 1
        try:
            await self._settle(case, await self._judgement(case))
        except SpoolFull as error:
            _log.warning("judged again, but there is no room to say so", queue_id=stored.queue_id, problem=str(error))

    async def _judgement(self, case: _Case) -> Judgement:
        """The whole judgement anew, RCPT included; the last fault that is borne makes it a hold."""
        envelope, name = case.message.envelope, case.stored.queue_id
        verdicts = [
            replace(await self._judge.at_rcpt(envelope, r, reference=name), reply=None) for r in envelope.recipients
        ]
        judgement = await self._judge.at_data(case.message, verdicts)
        over = self._clock.now() - case.stored.received > timedelta(seconds=self._settings.delivery.lifetime_s)
        stuck = {one.recipient.address for one in case.waiting if _faults(one) + 1 >= MAX_FAULTS}
        judged = tuple(_borne(v, over, v.recipient in stuck) for v in judgement.verdicts)
        try:
            self._spent.claim_all(judged, name)
        except AlreadySpent:  # the next look finds that it is used up
            judged = tuple(replace(v, disposition=Disposition.DEFER) if used_once(v) else v for v in judged)
        return replace(judgement, verdicts=judged)

    async def _settle(self, case: _Case, judgement: Judgement) -> None:
        """Every recipient's new state, events, notices and the headers that go with it: one transaction."""
        spool, stored, now = case.spool, case.stored, self._clock.now()
        settled = [self._settled(one, judgement.verdict(one.recipient.address), now) for one in case.waiting]
        done = tuple(v for v in judgement.verdicts if v.disposition is not Disposition.DEFER)
        events = self._telling.teller.judged(case.message, replace(judgement, verdicts=done), now) if done else []
        notices = self._notices(case, judgement, now)
        kept = merged(unjudged.summary_of(spool.database.read, stored.number), judgement)
        relay = self._settings.relay
        own = relay.authserv_id or relay.hostname
        above = trace.headers(
            case.message.envelope, stored.queue_id, judgement, hostname=relay.hostname, authserv_id=relay.authserv_id
        )
        edits = trace.edits(case.message, judgement, own)
        rules = {rule for one in settled for rule in one.held_by}
        note = {"at": format_time(now), "act": "judged", "actor": ACTOR, "reason": "a fault of the relay is over"}
        names = [shown_address(v.recipient) for v in done]

        def work(connection: Connection) -> str | None:
            unjudged.settle(connection, stored.number, settled)
            uses.remember(connection, stored, judgement.verdicts, now)
            unjudged.rewrite(connection, stored.number, kept, above, edits)
            threads.arrived(connection, judgement.arrivals, judgement.writers, now)
            if rules:
                unjudged.held_rules(connection, stored.number, rules)
            if names:
                rows.note_act(connection, stored.number, note | {"recipients": names})
            refusals.remember_some(connection, stored.number, done, events)
            journal.append(connection, events)
            return rows.drop_if_done(connection, stored.number)

        file = await spool.commit_telling(work, notices)
        if file is not None:
            await asyncio.to_thread(spool.bodies.drop, [file])
        if any(one.state == "queued" for one in settled):
            spool.fresh.wake()
        _log.info("judged again", queue_id=stored.queue_id, states=[one.state for one in settled[:20]])

    def _settled(self, one: Unjudged, verdict: Verdict, now: datetime) -> Settled:
        state = _STATES.get(verdict.disposition, "queued")
        if state == "unjudged":
            pause = PAUSES_S[min(one.tries, len(PAUSES_S) - 1)] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
            due = now + timedelta(seconds=pause)
            return Settled(one, state, due, self._attempt(verdict, now), told=one.told or self._late(now, one))
        attempt = self._attempt(verdict, now) if state == "failed" else None
        return Settled(one, state, now, attempt, held_by=held_by(verdict))

    def _attempt(self, verdict: Verdict, now: datetime) -> Attempt:
        finding, refused = verdict.decisive, verdict.disposition is Disposition.REJECT
        said = reply_to(finding, help_url=self._settings.relay.help_url).line() if finding is not None else ""
        return Attempt(False, refused, said, "", now, "judge")

    def _late(self, now: datetime, one: Unjudged) -> bool:
        """Whether the sender is to be told that it takes long."""
        first = one.attempts[0].when if one.attempts else now
        return now - first > timedelta(seconds=self._settings.delivery.delay_dsn_s)

    def _notices(self, case: _Case, judgement: Judgement, now: datetime) -> list[Own]:
        stored, told = case.stored, []
        late = {one.recipient.address for one in case.waiting if not one.told and self._late(now, one)}
        for disposition, what in _TOLD.items():
            found = refused_in(judgement, disposition)
            if disposition is Disposition.DEFER:
                found = [one for one in found if one.recipient.encode() in late]
            if found:
                total = unjudged.total(case.spool.database.read, stored.number)
                notice = Notice("", stored.queue_id, found, total, None, "", subject_of(case.message), what)
                told.append(self._telling.compose(stored.account, stored.entity, notice))
        return told


def _envelope(stored: Stored, waiting: Sequence[Unjudged], account_of: AccountOf) -> Envelope:
    """As it was handed in: by that account, even where it has gone meanwhile (then with its own address only)."""
    gone = Account(stored.account, stored.entity, frozenset({stored.account}))
    recipients = [(one.place, one.recipient) for one in waiting]
    return envelope_of(stored, recipients, account_of(stored.account) or gone)


def _faults(one: Unjudged) -> int:
    """How often the message itself made judging fail since it was spooled."""
    return sum(attempt.stage == "judge" and attempt.status == OUR_FAULT for attempt in one.attempts)


def _borne(verdict: Verdict, over: bool, stuck: bool) -> Verdict:
    """The verdict, or a hold where the fault was borne for long enough: `over` all, or of the message itself."""
    decisive = verdict.decisive
    if verdict.disposition is not Disposition.DEFER or decisive is None:
        return verdict
    if not over and not (stuck and decisive.reason == "our-fault"):
        return verdict
    rest = (f for f in verdict.findings if f.disposition < Disposition.DEFER)
    return replace(verdict, disposition=Disposition.HOLD, findings=(*rest, unjudgeable()))
