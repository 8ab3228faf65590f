"""The spool: what was accepted lies here, on disk, until every recipient was served (invariant 1).

`put` is one transaction: message, recipients, verdicts, body, threads and events. A second one, after the next hop's
reply, records the outcome; a crash between that reply and this commit is the only way to a duplicate.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeVar

from hudhud import journal
from hudhud.clock import Clock
from hudhud.database import Connection, Database, DatabaseDamaged, DiskFull
from hudhud.settings import Spool as Limits
from mail import threads
from mail.envelope import Address, Recipient
from mail.message import Message
from mail.shelf import due, refusals, rows, uses, words
from mail.shelf.bodies import INLINE_BYTES, Bodies, Body, BodyError
from mail.shelf.days import Days
from mail.shelf.due import Key
from mail.shelf.filters import Filter
from mail.shelf.fresh import Fresh
from mail.shelf.hands import Hands
from mail.shelf.judged import held_by, summary
from mail.shelf.room import Room, SpoolFull
from mail.shelf.rows import Outcome
from mail.shelf.search import Shelves
from mail.shelf.shard import Shard, open_shard, suspect
from mail.shelf.stored import (
    Edit,
    NewRecipient,
    Numbers,
    Own,
    State,
    Stored,
    edited,
    new_recipient,
    number_at,
    own_stored,
    parse_queue_id,
    queue_id,
    stored_of,
)
from mail.tell import happened
from mail.verdict import Judgement

EXPIRE_ROWS = 1000  # messages forgotten in one transaction
HURRY_ROWS = 1000  # recipients made due in one transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A recipient for whom the message is stored: it waits for delivery, for a person, or for a judgement."""

    recipient: Recipient
    state: State = "queued"


class Spool:
    """One shard of the spool and its only writer."""

    def __init__(
        self,
        database: Database,
        shard: int,
        *,
        node: str,
        key: bytes,
        bodies: Path,
        clock: Clock,
        limits: Limits | None = None,
    ) -> None:
        self.database, self.shard, self.node = database, shard, node
        self.bodies, self.word_key = Bodies(bodies, key), words.derived(key)
        self._clock, self._limits = clock, limits or Limits()
        last = database.read("SELECT max(number) FROM messages")[0][0]
        self._numbers = Numbers(last or 0)
        self.room = Room(database.path.parent, self._limits, clock)
        self.fresh, self.hands = Fresh(), Hands()
        self.shelves = Shelves(database.read, Days(database.path.parent, shard), shard)
        self.owned: Shard | None = None

    def new_id(self) -> str:
        """A queue id for the next message (and for the reply that refuses one)."""
        return queue_id(self.shard, self._numbers.next(self._clock.now()))

    async def put(
        self,
        message: Message,
        judgement: Judgement,
        entries: Sequence[Entry],
        events: Sequence[bytes],
        *,
        trace: bytes = b"",
        edits: Iterable[Edit] = (),
        bounce: bool | None = None,
        own: Sequence[Own] = (),
    ) -> None:
        """Durable when it returns, with the notices that tell of it (`own`); SpoolFull when there is no room.

        `trace` are our header fields that go before the message, `edits` what gives way in it (invariant 3).
        `bounce`: whether a failure may be told to the sender; by default only to an account (no backscatter).
        """
        may_tell = message.envelope.account is not None if bounce is None else bounce
        number, hashes = self._number(message.queue_id), words.of(message, self.word_key)
        stored = stored_of(message, number, trace=trace, edits=edits, bounce=may_tell, words=hashes)
        edited(message.data, stored.edits)  # a wrong edit is told to the caller, not to dispatch
        rules = {v.recipient: held_by(v) for v in judgement.verdicts}
        recipients = tuple(
            new_recipient(one.recipient, one.state, rules.get(one.recipient.address.raw, ())) for one in entries
        )
        kept = summary(judgement)
        await self._store(stored, recipients, message.data, judgement=kept, events=events, judged=judgement, own=own)

    async def put_own(
        self,
        sender: Address,
        recipients: Iterable[Address],
        data: bytes,
        kind: Literal["notice", "dsn"],
        about: str = "",
    ) -> str:
        """Stores a message of ours (judged as exempt by design), its queue id; `about` is that of what it tells of."""
        stored, rows_of = self._own(Own(kind, sender.raw, tuple(recipients), data, about))
        await self._store(stored, rows_of, data)
        return stored.queue_id

    # for dispatch

    def domains(self, after: str, limit: int) -> Sequence[str]:
        """At most `limit` domains past `after`, in order, that somebody waits for."""
        return due.domains(self.database.read, after, limit)

    def due(
        self,
        asked: Iterable[str],
        room: Callable[[str], int],
        busy: Mapping[str, Collection[Key]],
        horizon: float = float("inf"),
    ) -> tuple[Sequence[Stored], due.Due]:
        """Messages with those of their recipients in these domains that are due, and the rest of what due.due tells."""
        try:
            found = due.due(self.database.read, self._clock.now(), asked, room, busy, horizon=horizon)
            loaded = [
                rows.load(self.database.read, self.shard, number, places)
                for number, places in found.found.items()
                if not self.fresh.unseen(number)
            ]
        except DatabaseDamaged:
            suspect(self.database.path)
            raise
        return [one for one in loaded if one is not None], found

    async def hurry(self, domain: str, limit: int | None = None) -> None:
        """Whatever waits for the domain is due now (at most `limit` of it): its next hop is back, or may be."""
        now, step = self._clock.now(), min(limit or HURRY_ROWS, HURRY_ROWS)
        while await self.commit(lambda connection: due.hurry(connection, domain, now, step)) == HURRY_ROWS:
            pass
        self.fresh.wake()

    def load(self, number: int) -> Stored | None:
        """A message with its queued recipients; None where it is not known."""
        return rows.load(self.database.read, self.shard, number)

    def data(self, stored: Stored) -> bytes:
        """The bytes as they came, from memory or from disk (blocking); BodyError where they are gone."""
        if stored.data is not None:
            return stored.data
        return self.bodies.read(stored.queue_id, rows.body(self.database.read, stored.number) or Body(None, None, None))

    async def record(
        self, number: int, outcomes: Sequence[Outcome], events: Sequence[bytes], own: Sequence[Own] = ()
    ) -> None:
        """Outcomes, their events and the DSNs they call for, in one transaction. SpoolFull: try again later."""

        def work(connection: Connection) -> str | None:
            journal.append(connection, events)
            return rows.record(connection, number, outcomes)

        file = await self.commit_telling(work, own, patient=True)
        if file is not None:
            await asyncio.to_thread(self.bodies.drop, [file])

    async def expire(self) -> int:
        """Forget messages that are done and older than `trace_days`; how many."""
        now = self._clock.now()
        before = number_at(now - timedelta(days=self._limits.trace_days))

        def work(connection: Connection) -> int:
            refusals.expire(connection, before)
            return rows.expire(connection, before, EXPIRE_ROWS)

        def known_again(connection: Connection) -> int:
            threads.forget(connection, now - timedelta(days=threads.MAX_DAYS))
            return threads.pass_over(connection, now - timedelta(days=self._limits.arrival_days), EXPIRE_ROWS)

        total = 0
        while await self.commit(known_again):
            pass
        while gone := await self.commit(work):
            total += gone
        return total

    async def commit_telling(self, work: Callable[[Connection], T], own: Sequence[Own], *, patient: bool = False) -> T:
        """A change, and the messages of ours that tell of it, in one transaction; they go out at once.

        A small change: it is made in the event loop's own thread. A patient one waits a moment for company.
        """
        mine = [(*self._own(one), one) for one in own]

        def both(connection: Connection) -> T:
            for stored, recipients, one in mine:
                rows.insert(connection, stored, recipients, Body(one.data, None, None))
            return work(connection)

        with ExitStack() as unseen:
            for stored, recipients, one in mine:
                unseen.enter_context(self.fresh.storing(stored, recipients, one.data))
            with self._named():
                return await self.database.commit_here(both, patient=patient)

    async def commit(self, work: Callable[[Connection], T]) -> T:
        """Any change to the shard, in one transaction; SpoolFull where the disk is full."""
        with self._named():
            return await self.database.commit(work)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What the database could not do, in the spool's words."""
        try:
            yield
        except DiskFull as error:
            self.room.look_again()
            raise SpoolFull(str(error)) from None
        except DatabaseDamaged:
            suspect(self.database.path)
            raise

    # for people

    def list(self, wanted: Filter, limit: int = 100) -> Sequence[dict[str, object]]:
        """The newest messages that fit, without findings' facts and trace. Blocking."""
        return self.shelves.listed(wanted, self._clock.now().timestamp(), limit)

    def show(self, text: str) -> dict[str, object] | None:
        """A message or refusal by its reference: envelope, findings, verdicts, attempts, acts; None: unknown here."""
        return self.shelves.path(text)

    def body(self, text: str) -> bytes:
        """The bytes as they came, decrypted where held (blocking); BodyError where they are gone. The caller audits."""
        stored = self.load(self._number(text))
        if stored is None:
            raise BodyError(f"{text}: no such message")
        return self.data(stored)

    def close(self) -> None:
        """Finish what waits to be committed and give the shard up (what `open_spool` gave)."""
        self.shelves.days.close()
        if self.owned is not None:
            self.owned.close()

    # inside

    def _number(self, text: str) -> int:
        found = parse_queue_id(text)
        if found is None or found[0] != self.shard:
            raise ValueError(f"{text!r} is no queue id of shard {self.shard}")
        return found[1]

    def _own(self, own: Own) -> tuple[Stored, tuple[NewRecipient, ...]]:
        now = self._clock.now()
        stored = own_stored(own, self.shard, self._numbers.next(now), now)
        return stored, tuple(NewRecipient(a.raw, a.domain, "NEVER", None, "queued") for a in own.recipients)

    async def _store(
        self,
        stored: Stored,
        recipients: Sequence[NewRecipient],
        data: bytes,
        *,
        judgement: bytes = b"{}",
        events: Sequence[bytes] = (),
        judged: Judgement | None = None,
        own: Sequence[Own] = (),
    ) -> None:
        self.room.check(len(data))
        sealed = any(one.state in ("held", "unjudged") for one in recipients)
        body = await self._write_body(stored.queue_id, data, sealed)
        rules = {rule for one in recipients for rule in one.held_by}

        def work(connection: Connection) -> None:
            rows.insert(connection, stored, recipients, body, judgement=judgement, held_by=rules)
            if judged is not None:
                uses.remember(connection, stored, judged.verdicts, stored.received)
                threads.remember(connection, judged.threads, stored.received)
                threads.arrived(connection, judged.arrivals, judged.writers, stored.received)
                refusals.remember_some(connection, stored.number, judged.verdicts, events)
            journal.append(connection, events)

        try:
            with self.fresh.storing(stored, recipients, data):
                await self.commit_telling(work, own)
        except Exception:
            if body.file is not None:
                await asyncio.to_thread(self.bodies.drop, [body.file])
            raise

    async def _write_body(self, name: str, data: bytes, sealed: bool) -> Body:
        try:
            if len(data) < INLINE_BYTES:
                return self.bodies.write(name, data, sealed=sealed)
            return await asyncio.to_thread(self.bodies.write, name, data, sealed=sealed)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpoolFull(f"the disk is full: {error.strerror}") from None
            raise


def open_spool(
    folder: Path, number: int, *, node: str, key: bytes, clock: Clock, limits: Limits | None = None
) -> Spool:
    """The shard `number` of the relay's folder as a Spool that owns it (see shard.open_shard); ShardTaken."""
    shard = open_shard(folder, number, key, clock)
    spool = Spool(shard.database, number, node=node, key=key, bodies=folder / "bodies", clock=clock, limits=limits)
    spool.owned = shard
    if shard.damage is not None:
        event = happened.damaged(number, shard.damage.problem, shard.damage.salvaged.lost, node, clock.now())
        shard.database.commit_now(lambda connection: journal.append(connection, [event]))
    return spool
