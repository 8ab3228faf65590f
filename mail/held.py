"""What people do with messages in the spool: release, delete, hold, resume, try now; and judging again what was held.

Each act is one transaction with its event; who acted and why stays with the message. The caller writes the audit.
What is being sent at that moment is waited for first: nothing is sent twice, and nobody is told of a deletion that came
too late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from weakref import WeakValueDictionary

from hudhud import journal, log
from hudhud.clock import Clock
from hudhud.database import Connection
from hudhud.event import format_time
from mail.accounts import Account
from mail.envelope import Client, Envelope, PathError, Recipient, parse_path
from mail.message import Message
from mail.shelf import listing, rows, unjudged
from mail.shelf.bodies import Body, BodyError
from mail.shelf.judged import held_by, summary
from mail.shelf.stored import LIVE, NewRecipient, Own, State, Stored, parse_queue_id, shown_address
from mail.spool import Spool
from mail.tell import happened
from mail.verdict import Disposition, Judgement

PATIENCE_S: Final = 10.0  # seconds that an act waits for what is being sent at that moment

Judge = Callable[[Message], Awaitable[Judgement]]
Parting = Callable[[Stored, Sequence[tuple[int, NewRecipient]], datetime], Sequence[Own]]

_WAITING: Final[tuple[State, ...]] = ("queued",)

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Why:
    """What is done, by whom, for what reason."""

    action: happened.Action
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Act:
    """What was done: to which message, to which of its recipients. No recipients: there was nothing to do.

    `late` are recipients that were being sent all the while and were left alone; `told`: the sender hears of it.
    """

    queue_id: str
    recipients: tuple[str, ...]
    late: tuple[str, ...] = ()
    told: bool = False


class Held:
    """The acts on one shard. `body_of` gives the code of the body a domain belongs to, "" for none.

    `parting` composes what a sender is told of a deletion; without it nobody is told.
    """

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        body_of: Callable[[str], str] = lambda domain: "",
        parting: Parting | None = None,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._spool, self._clock, self._body_of, self._parting = spool, clock, body_of, parting
        self._patience_s = patience_s
        self._sealing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def release(
        self, queue_id: str, *, actor: str, reason: str, recipients: Collection[str] | None = None
    ) -> Act:
        """Send a held message on to its recipients, or to some of them. It is not judged, so not held, again."""
        return await self._move(Why("released", actor, reason), queue_id, ("held",), "queued", recipients)

    async def delete(
        self,
        queue_id: str,
        *,
        actor: str,
        reason: str,
        recipients: Collection[str] | None = None,
        tell: bool = False,
    ) -> Act:
        """End it without delivery, held or waiting. With `tell`, a sender who may be told is told by a DSN, without the
        reason. The body goes with the last recipient."""
        return await self._move(Why("deleted", actor, reason), queue_id, LIVE, "deleted", recipients, tell=tell)

    async def hold(self, queue_id: str, *, actor: str, reason: str) -> Act:
        """Take a waiting message out of delivery; its verdicts stay. Its body is encrypted from here on."""
        async with self._sealing.setdefault(queue_id, asyncio.Lock()):  # two may hold it at once
            await self._seal(queue_id)
        return await self._move(Why("held", actor, reason), queue_id, ("queued",), "held", None)

    async def resume(self, queue_id: str, *, actor: str, reason: str) -> Act:
        """Put back what a person took out of delivery. What a rule holds stays held: that is released, not resumed."""
        return await self._move(Why("resumed", actor, reason), queue_id, ("held",), "queued", None)

    async def retry(self, queue_id: str) -> Act:
        """Whoever still waits, for delivery or for another judgement, is due now, even where the next hop rests."""
        number, stored = self._stored(queue_id)
        if stored is None:
            return Act(queue_id, ())
        places, now = [one.place for one in stored.waiting], self._clock.now()
        later = [one.recipient.address for one in unjudged.waiting(self._spool.database.read, number)]

        def work(connection: Connection) -> None:
            rows.move(connection, number, places, "queued", now, states=_WAITING)
            unjudged.hurry(connection, number, now)

        if places or later:
            await self._spool.commit(work)
            self._spool.hands.try_again({one.domain for one in stored.waiting})
            self._spool.fresh.wake()
        return Act(queue_id, tuple(map(shown_address, (*(one.address for one in stored.waiting), *later))))

    async def rejudge(
        self, rule: str, judge: Judge, account_of: Callable[[str], Account | None], *, actor: str, reason: str
    ) -> tuple[Act, ...]:
        """Judge again what `rule` holds (without it: the judge's ruleset lacks it); what is held no more goes out."""
        acts, why = [], Why("rejudged", actor, reason)
        for queue_id in listing.held_by_rule(self._spool.database.read, self._spool.shard, rule):
            try:
                acts.append(await self._judge_again(queue_id, judge, account_of, why))
            except (BodyError, PathError) as error:
                _log.error("not judged again", queue_id=queue_id, problem=str(error))
        return tuple(acts)

    async def _judge_again(
        self, queue_id: str, judge: Judge, account_of: Callable[[str], Account | None], why: Why
    ) -> Act:
        number, stored = self._stored(queue_id)
        held = rows.recipients(self._spool.database.read, number, ("held",))
        if stored is None or not held:
            return Act(queue_id, ())
        data = await asyncio.to_thread(self._spool.data, stored)
        message = Message.read(envelope_of(stored, held, account_of(stored.account)), queue_id, data)
        judgement = await judge(message)
        still = {place: judgement.verdict(one.address) for place, one in held}
        free = [place for place, verdict in still.items() if verdict.disposition < Disposition.HOLD]
        rules = {place: held_by(verdict) for place, verdict in still.items() if place not in free}
        kept = summary(judgement)

        def work(connection: Connection) -> None:
            rows.judged_again(connection, number, kept, rules)

        chosen = [(place, one) for place, one in held if place in free]
        return await self._do(why, stored, chosen, "queued", work, states=("held",))

    async def _move(
        self,
        why: Why,
        queue_id: str,
        states: tuple[State, ...],
        to: State,
        only: Collection[str] | None,
        *,
        tell: bool = False,
    ) -> Act:
        number, stored = self._stored(queue_id)
        hands = self._spool.hands

        def chosen() -> list[tuple[int, NewRecipient]]:
            found = rows.recipients(self._spool.database.read, number, states)
            mine = [pair for pair in found if only is None or shown_address(pair[1].address) in only]
            return [pair for pair in mine if why.action != "resumed" or not pair[1].held_by]

        places = [(place, one.domain) for place, one in chosen()]
        if stored is None or not places:
            return Act(queue_id, ())
        late: list[NewRecipient] = []
        if to != "queued":
            hands.take_back(number, places)
            await hands.settled(number, places, self._patience_s)
            late = [one for place, one in chosen() if (number, place) in hands.sending]
        try:
            now = [(place, one) for place, one in chosen() if (number, place) not in hands.sending or to == "queued"]
            act = await self._do(why, stored, now, to, states=states, tell=tell) if now else Act(queue_id, ())
        except BaseException:
            hands.give_again(number, places)
            raise
        if to == "queued":
            hands.give_again(number, places)
            self._spool.fresh.wake()
        else:
            hands.take_back(number, places)
        return replace(act, late=tuple(shown_address(one.address) for one in late))

    async def _do(
        self,
        why: Why,
        stored: Stored,
        chosen: Sequence[tuple[int, NewRecipient]],
        to: State,
        more: Callable[[Connection], None] | None = None,
        *,
        states: tuple[State, ...],
        tell: bool = False,
    ) -> Act:
        """Move recipients, note the act, write its events, tell the sender: one transaction."""
        now, addresses = self._clock.now(), tuple(shown_address(one.address) for _, one in chosen)
        note = {"at": format_time(now), "act": why.action, "actor": why.actor, "reason": why.reason}
        events = self._events(why, stored, [one for _, one in chosen])

        def work(connection: Connection) -> str | None:
            if more is not None:
                more(connection)
            rows.move(connection, stored.number, [place for place, _ in chosen], to, now, states=states)
            rows.note_act(connection, stored.number, note | {"recipients": addresses})
            journal.append(connection, events)
            return rows.drop_if_done(connection, stored.number)

        own = await asyncio.to_thread(self._parting, stored, chosen, now) if tell and self._parting is not None else ()
        file = await self._spool.commit_telling(work, own)
        if file is not None:
            await asyncio.to_thread(self._spool.bodies.drop, [file])
        if to == "queued":
            self._spool.fresh.wake()
        return Act(stored.queue_id, addresses, told=bool(own))

    def _events(self, why: Why, stored: Stored, chosen: Sequence[NewRecipient]) -> list[bytes]:
        groups: dict[str, list[NewRecipient]] = {}
        for one in chosen:
            groups.setdefault(stored.entity or self._body_of(one.domain), []).append(one)
        return [
            happened.tell(
                stored,
                why.action,
                self._spool.node,
                self._clock.now(),
                recipients=[one.address for one in group],
                organization=code,
                reason=why.reason,
                rules=tuple(dict.fromkeys(rule for one in group for rule in one.held_by)),
                actor=why.actor,
            )
            for code, group in groups.items()
        ]

    async def _seal(self, queue_id: str) -> None:
        """Write the body again, encrypted, where it lies open."""
        number, stored = self._stored(queue_id)
        body = rows.body(self._spool.database.read, number)
        if stored is None or body is None or body.key is not None:
            return
        data = await asyncio.to_thread(self._spool.bodies.read, queue_id, body)
        sealed: Body = await asyncio.to_thread(self._spool.bodies.write, queue_id, data, sealed=True)
        await self._spool.commit(lambda connection: rows.replace_body(connection, number, sealed))
        if body.file is not None:
            await asyncio.to_thread(self._spool.bodies.drop, [body.file])

    def _stored(self, queue_id: str) -> tuple[int, Stored | None]:
        found = parse_queue_id(queue_id)
        if found is None or found[0] != self._spool.shard:
            return 0, None
        return found[1], self._spool.load(found[1])


def envelope_of(stored: Stored, held: Sequence[tuple[int, NewRecipient]], account: Account | None) -> Envelope:
    """The envelope as it was, with the recipients that are held."""
    client = stored.client or Client("", 0, "", None, "mx")
    recipients = tuple(Recipient(parse_path(one.address, smtputf8=True), one.notify, one.orcpt) for _, one in held)
    return Envelope(
        parse_path(stored.sender, smtputf8=True),
        recipients,
        client,
        account,
        stored.received,
        stored.body,
        stored.smtputf8,
        stored.ret,
        stored.envid,
        stored.requiretls,
    )
