"""What people do with messages in the spool: release, delete, hold, try now; and judging again what a rule held.

Each act is one transaction with its event; who acted and why stays with the message. The caller writes the audit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from hudhud import journal, log
from hudhud.clock import Clock
from hudhud.database import Connection
from hudhud.event import format_time
from mail.accounts import Account
from mail.envelope import Client, Envelope, PathError, Recipient, parse_path
from mail.message import Message
from mail.shelf import listing, rows
from mail.shelf.bodies import Body, BodyError
from mail.shelf.judged import held_by, summary
from mail.shelf.stored import NewRecipient, State, Stored, parse_queue_id, shown_address
from mail.spool import Spool
from mail.tell import happened
from mail.verdict import Disposition, Judgement

Judge = Callable[[Message], Awaitable[Judgement]]

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Why:
    """What is done, by whom, for what reason."""

    action: happened.Action
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Act:
    """What was done: to which message, to which of its recipients. No recipients: there was nothing to do."""

    queue_id: str
    recipients: tuple[str, ...]


class Held:
    """The acts on one shard. `body_of` gives the code of the body a domain belongs to, "" for none."""

    def __init__(self, spool: Spool, clock: Clock, body_of: Callable[[str], str] = lambda domain: "") -> None:
        self._spool, self._clock, self._body_of = spool, clock, body_of

    async def release(
        self, queue_id: str, *, actor: str, reason: str, recipients: Collection[str] | None = None
    ) -> Act:
        """Send a held message on to its recipients, or to some of them. It is not judged, so not held, again."""
        return await self._move(Why("released", actor, reason), queue_id, ("held",), "queued", recipients)

    async def delete(self, queue_id: str, *, actor: str, reason: str, recipients: Collection[str] | None = None) -> Act:
        """End it without delivery, held or waiting; nobody is told by a DSN. The body goes with its last recipient."""
        return await self._move(Why("deleted", actor, reason), queue_id, ("held", "queued"), "deleted", recipients)

    async def hold(self, queue_id: str, *, actor: str, reason: str) -> Act:
        """Stop a waiting message for a person to look at; its body is encrypted from here on."""
        await self._seal(queue_id)
        return await self._move(Why("held", actor, reason), queue_id, ("queued",), "held", None)

    async def retry(self, queue_id: str) -> Act:
        """Whoever still waits is due now."""
        number, stored = self._stored(queue_id)
        if stored is None or not stored.waiting:
            return Act(queue_id, ())
        places, now = [one.place for one in stored.waiting], self._clock.now()
        await self._spool.commit(lambda connection: rows.move(connection, number, places, "queued", now))
        self._spool.fresh.wake()
        return Act(queue_id, tuple(shown_address(one.address) for one in stored.waiting))

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
        message = Message.read(_envelope(stored, held, account_of(stored.account)), queue_id, data)
        judgement = await judge(message)
        still = {place: judgement.verdict(one.address) for place, one in held}
        free = [place for place, verdict in still.items() if verdict.disposition < Disposition.HOLD]
        rules = {place: held_by(verdict) for place, verdict in still.items() if place not in free}
        kept = summary(judgement)

        def work(connection: Connection) -> None:
            rows.judged_again(connection, number, kept, rules)

        chosen = [(place, one) for place, one in held if place in free]
        return await self._do(why, stored, chosen, "queued", work)

    async def _move(
        self, why: Why, queue_id: str, states: tuple[State, ...], to: State, only: Collection[str] | None
    ) -> Act:
        number, stored = self._stored(queue_id)
        if stored is None:
            return Act(queue_id, ())
        found = rows.recipients(self._spool.database.read, number, states)
        chosen = [(place, one) for place, one in found if only is None or shown_address(one.address) in only]
        if not chosen:
            return Act(queue_id, ())
        return await self._do(why, stored, chosen, to)

    async def _do(
        self,
        why: Why,
        stored: Stored,
        chosen: Sequence[tuple[int, NewRecipient]],
        to: State,
        more: Callable[[Connection], None] | None = None,
    ) -> Act:
        """Move recipients, note the act, write its events: one transaction."""
        now, addresses = self._clock.now(), tuple(shown_address(one.address) for _, one in chosen)
        note = {"at": format_time(now), "act": why.action, "actor": why.actor, "reason": why.reason}
        events = self._events(why, stored, [one for _, one in chosen])

        def work(connection: Connection) -> str | None:
            if more is not None:
                more(connection)
            rows.move(connection, stored.number, [place for place, _ in chosen], to, now)
            rows.note_act(connection, stored.number, note | {"recipients": addresses})
            journal.append(connection, events)
            return rows.drop_if_done(connection, stored.number)

        file = await self._spool.commit(work)
        if file is not None:
            await asyncio.to_thread(self._spool.bodies.drop, [file])
        if to == "queued":
            self._spool.fresh.wake()
        return Act(stored.queue_id, addresses)

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


def _envelope(stored: Stored, held: Sequence[tuple[int, NewRecipient]], account: Account | None) -> Envelope:
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
