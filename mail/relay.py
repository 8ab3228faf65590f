"""READ FIRST. The relay: what a client hands in is judged, stored, and only then acknowledged.

listener > dialog > **Relay** > judging (gather > checks > judge) > spool.put > 250 ¦ dispatch. Nothing here speaks
SMTP, decides on content, or delivers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from hudhud import log
from hudhud.clock import Clock
from hudhud.settings import Relay as Settings
from mail import behind, limits, meter, trace
from mail.accounts import Account
from mail.careful import Careful
from mail.checks.size import too_large
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.facts import plain
from mail.limits import Limits
from mail.message import Message
from mail.session import kindness
from mail.session.answers import slower, unqualified
from mail.session.grammar import MailCommand
from mail.session.telling import Telling, subject_of
from mail.session.transaction import Transaction
from mail.shelf.room import SpoolFull
from mail.shelf.stored import Own, State
from mail.spent import FOLDER, AlreadySpent, Spent
from mail.spool import Entry, Spool
from mail.tell.notice import Refused
from mail.tell.replies import reply_to
from mail.verdict import Disposition, Judgement, Reply, Verdict

RCPT_OK: Final = Reply(250, "2.1.5", "OK")
FAULT: Final = Reply(451, "4.3.0", "A fault of this server; try again later")
FULL: Final = Reply(452, "4.3.1", "The mail system is full; try again later")
LOOP: Final = Reply(554, "5.4.6", "The message goes round in a loop")
TOO_MANY: Final = Reply(452, "4.5.3", "Too many recipients; send the rest in another message")
STATES: Final[Mapping[Disposition, State]] = {Disposition.HOLD: "held", Disposition.DEFER: "unjudged"}

_log = log.get(__name__)


class Relay:
    """One worker's."""

    def __init__(
        self,
        *,
        spool: Spool,
        judge: Careful,
        telling: Telling,
        limits: Limits,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._spool, self._judge, self._telling, self._limits = spool, judge, telling, limits
        self._clock, self._settings = clock, settings
        self._spent = Spent(spool.database.path.parent / FOLDER)
        self._postmaster = parse_path(settings.postmaster.encode(), smtputf8=True)

    def begin(self, client: Client, account: Account | None, mail: MailCommand) -> Transaction | Reply:
        """MAIL: a transaction, or why none may begin now."""
        if client.listener != "mx" and (short := unqualified(mail.sender)):
            return short
        if account is not None and account.kind == "server":
            share = self._settings.messages_per_minute_per_server / account.per_minute if account.per_minute else 1.0
            hit = self._limits.take_each((limits.MESSAGES_SERVER, account.name), cost=share)
        elif account is not None:
            hit = self._limits.take_each((limits.MESSAGES_ACCOUNT, account.hears))
        else:
            hit = self._limits.take_each(
                (limits.MESSAGES_ADDRESS, limits.network_of(client.ip)),
                (limits.MESSAGES_NETWORK, limits.wide_network_of(client.ip)),
            )
        if hit is not None:
            return slower(hit)
        if mail.size is not None and mail.size > self._largest(account):  # it counts too: each size is a key of its own
            return self._oversize(client, account, mail, mail.size)
        transaction = Transaction(client, account, mail, self._spool.new_id(), self._clock.now())
        log.bind(queue_id=transaction.reference)
        return transaction

    async def rcpt(self, transaction: Transaction, recipient: Recipient) -> Reply:
        """RCPT: judged by the envelope alone."""
        if not recipient.address.domain:  # RFC 5321 section 4.1.1.3: <postmaster> is this system's own
            recipient = replace(recipient, address=self._postmaster)
        if transaction.client.listener != "mx" and (short := unqualified(recipient.address)):
            return short
        raw = recipient.address.raw
        if raw in transaction.taken:
            return RCPT_OK  # named twice, served once
        if transaction.named >= self._settings.max_recipients:
            self._limits.hit(limits.RECIPIENTS)
            return TOO_MANY
        if hit := self._too_many_recipients(transaction.account):
            return slower(hit)
        if not self._limits.holds(limits.MESSAGES_RECIPIENT, plain(recipient.address)):
            return slower(limits.MESSAGES_RECIPIENT)
        envelope = transaction.envelope()
        verdict = await self._judge.at_rcpt(envelope, recipient, reference=transaction.reference)
        transaction.refused.pop(raw, None)
        if self._taken(transaction, envelope, verdict):
            transaction.taken[raw] = recipient, replace(verdict, reply=None)
            return RCPT_OK
        transaction.refused[raw] = recipient, verdict
        meter.count(meter.REFUSED, envelope.client.listener, verdict.disposition.word)
        return verdict.reply or RCPT_OK

    def _too_many_recipients(self, account: Account | None) -> str | None:
        if account is None:
            return None
        if account.kind == "server":
            return self._limits.take_each((limits.RECIPIENTS_SERVER, account.name))
        return self._limits.take_each((limits.RECIPIENTS_ACCOUNT, account.hears))

    def oversize(self, transaction: Transaction, size: int) -> Reply:
        """DATA is past the limit (counted by who read it), `size` octets so far: refused, and told with a way out."""
        account, envelope = transaction.account, transaction.envelope()
        rules = self._telling.policy.rules(account.entity if account else None)
        raw = tuple(r.address.raw for r in envelope.recipients)
        finding = too_large(size, self._settings.max_message_bytes, rules, raw)
        reply = reply_to(finding, help_url=self._settings.help_url, reference=transaction.reference)
        transaction.refuse_all(finding, reply)
        transaction.noticed = account is None or not self._once_an_hour(account, size)
        return reply

    def _oversize(self, client: Client, account: Account | None, mail: MailCommand, size: int) -> Reply:
        """The same at MAIL, by the size that the client announces (RFC 1870 section 6.1)."""
        self._limits.hit(limits.SIZE)
        transaction = Transaction(client, account, mail, self._spool.new_id(), self._clock.now())
        rules = self._telling.policy.rules(account.entity if account else None)
        finding = too_large(size, self._largest(account), rules)
        reply = reply_to(finding, help_url=self._settings.help_url, reference=transaction.reference)
        if account is not None and self._once_an_hour(account, size):
            transaction.told.append(Refused("", finding, reply))
            self._telling.end(transaction)
        return reply

    def _largest(self, account: Account | None) -> int:
        """Octets that are taken from that account, or from anybody else."""
        limit = self._settings.max_message_bytes
        return limit if account is None else min(limit, self._telling.policy.rules(account.entity).max_size)

    def _once_an_hour(self, account: Account, size: int) -> bool:
        """A mail program that tries the same message again and again is told of it once."""
        return self._limits.take(limits.SIZE_NOTICES, f"{account.hears}\0{size}")

    async def data(self, transaction: Transaction, data: bytes) -> Reply:
        """DATA: the message is here to its last byte."""
        body = transaction.mail.body if data.isascii() else "8BITMIME"
        envelope = transaction.envelope(body=body)
        if len(data) > self._settings.memory_body_bytes:  # hashing it would keep the other sessions waiting
            message = await asyncio.to_thread(Message.read, envelope, transaction.reference, data)
        else:
            message = Message.read(envelope, transaction.reference, data)
        message = behind.told(message)
        transaction.subject = subject_of(message) if transaction.account else ""
        if trace.loops(message, self._settings.hostname):
            return LOOP
        try:
            judgement = await self.receive(message, transaction)
        except SpoolFull as error:
            _log.warning("no room", queue_id=message.queue_id, problem=str(error))
            return FULL
        except AlreadySpent as spent:
            _log.info("another message used the exemption", queue_id=message.queue_id, exemption=str(spent))
            return FAULT
        except Exception:  # whatever failed by our fault is answered 451: never passed, never 5xx (invariant 2)
            _log.exception("receiving failed", queue_id=message.queue_id)
            return FAULT
        if judgement.stored:
            going = (v.recipient for v in judgement.verdicts if v.disposition < Disposition.REJECT)
            named = transaction.taken
            self._limits.spend(limits.MESSAGES_RECIPIENT, (plain(named[raw][0].address) for raw in going))
        elif judgement.data_reply.code >= 500:
            rejected = [v for v in judgement.verdicts if v.disposition is Disposition.REJECT]
            transaction.told += [Refused.of(v, judgement.data_reply) for v in rejected]
        return judgement.data_reply

    async def receive(self, message: Message, transaction: Transaction) -> Judgement:
        """Gather, judge, spool; the caller says 250 when this has returned."""
        transaction.judged = True
        judgement, policy = await self._judge.at_data(message, transaction.verdicts), self._telling.policy
        later = kindness.taken_all_the_same(message.envelope, policy, judgement, message.queue_id)
        judgement = replace(judgement, data_reply=later) if later is not None else judgement
        events = self._telling.teller.judged(message, judgement, self._clock.now())
        if judgement.stored:
            claimed = self._spent.claim_all(judgement.verdicts, message.queue_id)
            try:
                await self._store(message, judgement, events, self._telling.notices(transaction, judgement))
            except BaseException:
                for name in claimed:
                    self._spent.give_back(name, message.queue_id)
                raise
        else:
            self._telling.events(events, message.queue_id)
        gravest = max((v.disposition for v in judgement.verdicts), default=Disposition.ACCEPT)
        meter.count(meter.MESSAGES, message.envelope.client.listener, gravest.word)
        meter.observe(meter.JUDGE, judgement.took_ms / 1000)
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
        self._telling.end(transaction)
        log.unbind("queue_id")

    def _taken(self, transaction: Transaction, envelope: Envelope, verdict: Verdict) -> bool:
        """Whether RCPT takes the recipient; what was found of it decides when DATA has come (mail/session/kindness.py).

        A notice that is promised is one of those that the account may still get this hour.
        """
        if verdict.reply is None:
            return True
        policy = self._telling.policy
        if transaction.account is not None and kindness.by_notice(envelope, policy, verdict):
            transaction.promised = transaction.promised or self._limits.take(limits.NOTICES, transaction.account.hears)
            return transaction.promised
        return kindness.spools(envelope, policy, verdict)

    async def _store(
        self, message: Message, judgement: Judgement, events: Sequence[bytes], notices: Sequence[Own]
    ) -> None:
        """Message, verdicts, events and notices in one transaction, on disk when this returns (invariant 1)."""
        verdicts = {v.recipient: v.disposition for v in judgement.verdicts}
        entries = [
            Entry(r, STATES.get(verdicts[r.address.raw], "queued"))
            for r in message.envelope.recipients
            if verdicts[r.address.raw] is not Disposition.REJECT
        ]
        hostname = self._settings.hostname
        above = trace.headers(
            message.envelope, message.queue_id, judgement, hostname=hostname, authserv_id=self._settings.authserv_id
        )
        edits = trace.edits(message, judgement, self._settings.authserv_id or hostname)
        await self._spool.put(message, judgement, entries, events, trace=above, edits=edits, own=notices)
