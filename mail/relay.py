"""READ FIRST. The relay: what a client hands in is judged, stored, and only then acknowledged.

listener > dialog > **Relay** > judging (gather > checks > judge) > spool.put > 250 ¦ dispatch. Nothing here speaks
SMTP, decides on content, or delivers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from hudhud import log
from hudhud.clock import Clock
from hudhud.settings import Relay as Settings
from mail import limits, trace
from mail.accounts import Account
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.facts import plain
from mail.limits import Limits
from mail.message import Message
from mail.session.answers import slower
from mail.session.grammar import MailCommand
from mail.session.incoming import too_large
from mail.session.strikes import Strikes
from mail.session.telling import Telling, subject_of
from mail.session.transaction import Transaction
from mail.shelf.room import SpoolFull
from mail.spool import Entry, Spool
from mail.tell.notice import Refused
from mail.verdict import Disposition, Finding, Judgement, Reply, Verdict

RCPT_OK: Final = Reply(250, "2.1.5", "OK")
FAULT: Final = Reply(451, "4.3.0", "A fault of this server; try again later")
FULL: Final = Reply(452, "4.3.1", "The mail system is full; try again later")
LOOP: Final = Reply(554, "5.4.6", "The message goes round in a loop")
TOO_MANY: Final = Reply(452, "4.5.3", "Too many recipients; send the rest in another message")
UNJUDGEABLE: Final = "H-CONTENT-01"

_log = log.get(__name__)


class Judge(Protocol):
    """What the relay asks of mail.judging.Judging."""

    async def at_rcpt(self, envelope: Envelope, recipient: Recipient, *, reference: str = "") -> Verdict: ...
    async def at_data(self, message: Message, rcpt_verdicts: Sequence[Verdict]) -> Judgement: ...


class Relay:
    """One worker's."""

    def __init__(
        self,
        *,
        spool: Spool,
        judge: Judge,
        telling: Telling,
        limits: Limits,
        strikes: Strikes,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._spool, self._judge, self._telling, self._limits = spool, judge, telling, limits
        self._strikes, self._clock, self._settings = strikes, clock, settings
        self._postmaster = parse_path(settings.postmaster.encode(), smtputf8=True)

    def begin(self, client: Client, account: Account | None, mail: MailCommand) -> Transaction | Reply:
        """MAIL: a transaction, or why none may begin now."""
        if mail.size is not None and mail.size > self._settings.max_message_bytes:
            self._limits.hit(limits.SIZE)
            return too_large(self._settings.max_message_bytes)
        if account is not None:
            hit = self._limits.take_each((limits.MESSAGES_ACCOUNT, account.name))
        else:
            hit = self._limits.take_each(
                (limits.MESSAGES_ADDRESS, limits.network_of(client.ip)),
                (limits.MESSAGES_NETWORK, limits.wide_network_of(client.ip)),
            )
        if hit is not None:
            return slower(hit)
        return Transaction(client, account, mail, self._spool.new_id(), self._clock.now())

    async def rcpt(self, transaction: Transaction, recipient: Recipient) -> Reply:
        """RCPT: judged by the envelope alone."""
        if not recipient.address.domain:  # RFC 5321 section 4.1.1.3: <postmaster> is this system's own
            recipient = replace(recipient, address=self._postmaster)
        raw = recipient.address.raw
        if raw in transaction.taken:
            return RCPT_OK  # named twice, served once
        if transaction.named >= self._settings.max_recipients:
            self._limits.hit(limits.RECIPIENTS)
            return TOO_MANY
        if transaction.account and not self._limits.take(limits.RECIPIENTS_ACCOUNT, transaction.account.name):
            return slower(limits.RECIPIENTS_ACCOUNT)
        if not self._limits.holds(limits.MESSAGES_RECIPIENT, plain(recipient.address)):
            return slower(limits.MESSAGES_RECIPIENT)
        verdict = await self._judge.at_rcpt(transaction.envelope(), recipient, reference=transaction.reference)
        transaction.refused.pop(raw, None)
        if verdict.reply is None:
            transaction.taken[raw] = recipient, verdict
            return RCPT_OK
        transaction.refused[raw] = recipient, verdict
        return verdict.reply

    async def data(self, transaction: Transaction, data: bytes) -> Reply:
        """DATA: the message is here to its last byte."""
        body = transaction.mail.body if data.isascii() else "8BITMIME"
        message = Message.read(transaction.envelope(body=body), transaction.reference, data)
        transaction.subject = subject_of(message) if transaction.account else ""
        if trace.loops(message, self._settings.hostname):
            return LOOP
        try:
            judgement = await self.receive(message, transaction.verdicts)
        except SpoolFull as error:
            _log.warning("no room", queue_id=message.queue_id, problem=str(error))
            return FULL
        except Exception:  # whatever failed by our fault is answered 451: never passed, never 5xx (invariant 2)
            _log.exception("receiving failed", queue_id=message.queue_id)
            return FAULT
        if judgement.stored:
            self._limits.spend(limits.MESSAGES_RECIPIENT, (plain(r.address) for r, _ in transaction.taken.values()))
        rejected = [v for v in judgement.verdicts if v.disposition is Disposition.REJECT]
        transaction.told += [Refused.of(v, judgement.data_reply) for v in rejected]
        held = [v for v in judgement.verdicts if v.disposition is Disposition.HOLD]
        transaction.held += [Refused.of(v, judgement.data_reply) for v in held]
        return judgement.data_reply

    async def receive(self, message: Message, taken: Sequence[Verdict]) -> Judgement:
        """Gather, judge, spool; the caller says 250 when this has returned."""
        judgement = await self._judged(message, taken)
        events = self._telling.teller.judged(message, judgement, self._clock.now())
        if judgement.stored:
            await self._store(message, judgement, events)
        else:
            self._telling.events(events, message.queue_id)
        _log.info(
            "message",
            queue_id=message.queue_id,
            sender=message.envelope.sender.text,
            account=message.envelope.account.name if message.envelope.account else "",
            size=message.size,
            verdicts=[v.disposition.word for v in judgement.verdicts[:20]],
            rules=sorted({f.rule for f in judgement.findings if f.disposition > Disposition.ACCEPT}),
            reply=judgement.data_reply.code,
        )
        return judgement

    def end(self, transaction: Transaction) -> None:
        """The transaction is over, however it went; nobody waits for what is told of it now."""
        refused = [v for _, v in transaction.refused.values() if v.disposition is Disposition.REJECT]
        transaction.told += [Refused.of(v, v.reply) for v in refused if v.reply is not None]
        self._telling.end(transaction)

    async def _judged(self, message: Message, taken: Sequence[Verdict]) -> Judgement:
        """The judgement. A message on which judging failed twice before is held, not deferred for five days."""
        if self._strikes.given_up(message.sha256):
            return _unjudgeable(message, taken)
        try:
            with self._strikes.judging(message.sha256):
                async with asyncio.timeout(self._settings.judge_timeout_s):
                    return await self._judge.at_data(message, taken)
        except Exception:
            if not self._strikes.failed(message.sha256):
                raise
            _log.exception("judging failed once too often", queue_id=message.queue_id)
            return _unjudgeable(message, taken)

    async def _store(self, message: Message, judgement: Judgement, events: Sequence[bytes]) -> None:
        """Message, verdicts and events in one transaction, on disk when this returns (invariant 1)."""
        verdicts = {v.recipient: v.disposition for v in judgement.verdicts}
        entries = [
            Entry(r, "held" if verdicts[r.address.raw] is Disposition.HOLD else "queued")
            for r in message.envelope.recipients
            if verdicts[r.address.raw] < Disposition.DEFER
        ]
        hostname = self._settings.hostname
        above = trace.headers(message.envelope, message.queue_id, judgement, hostname=hostname)
        edits = trace.edits(message, judgement, self._settings.authserv_id or hostname)
        await self._spool.put(message, judgement, entries, events, trace=above, edits=edits)


def _unjudgeable(message: Message, taken: Sequence[Verdict]) -> Judgement:
    """Held for a person to look at, with what RCPT found."""
    held = Finding("relay", UNJUDGEABLE, "1", Disposition.HOLD, "unjudgeable")
    verdicts = tuple(Verdict(v.recipient, Disposition.HOLD, (*v.findings, held)) for v in taken)
    findings = (*(f for v in taken for f in v.findings), held)
    return Judgement(verdicts, Reply(250, "2.0.0", f"Accepted (ref {message.queue_id})"), findings)
