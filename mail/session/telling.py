"""Tells of refusals and holds when a transaction is over: events for the CERT, notices for the sender's own mailbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from email.header import decode_header, make_header

from hudhud import journal, log
from hudhud.clock import Clock
from hudhud.database import Connection
from hudhud.settings import Relay as Settings
from mail.accounts import Account
from mail.envelope import NULL, parse_path
from mail.limits import NOTICES, Limits
from mail.message import Message
from mail.policy import Policy
from mail.session.transaction import Transaction
from mail.shelf import refusals
from mail.shelf.stored import Own, parse_queue_id
from mail.spool import Spool
from mail.tell import notice
from mail.tell.events import Teller
from mail.tell.notice import Notice, Refused, What
from mail.verdict import Disposition, Judgement

MAX_READ = 8192  # characters of a subject that are decoded
MAX_SUBJECT = 120  # characters shown of the subject of the sender's own message

_log = log.get(__name__)


class Telling:
    """Works in the background, so that no reply waits for it; `settle` waits for all of it."""

    def __init__(
        self,
        *,
        spool: Spool,
        policy: Callable[[], Policy],
        limits: Limits,
        clock: Clock,
        settings: Settings,
        node: str,
    ) -> None:
        self._spool, self._policy, self._limits, self._clock = spool, policy, limits, clock
        self._settings, self._node = settings, node
        self._tasks: set[asyncio.Future[None]] = set()

    @property
    def teller(self) -> Teller:
        """Events in this node's name, by the registry that is live now."""
        return Teller(self._node, self._policy().registry)

    def events(self, documents: Sequence[bytes], reference: str) -> None:
        """Events of what is not stored itself: into the journal, and kept so that `reference` can be explained."""
        number = parse_queue_id(reference)
        if documents and number is not None:
            self._begin(self._spool.commit(_appending(documents, number[1])))

    @property
    def policy(self) -> Policy:
        """The policy that is live now."""
        return self._policy()

    def end(self, transaction: Transaction) -> None:
        """The transaction is over: the recipients that RCPT refused, and whatever the sender is still to be told."""
        if forbidden := transaction.forbidden():
            verdicts = [verdict for _, verdict in forbidden.values()]
            now = self._clock.now()
            told = self.teller.refused(transaction.refused_envelope(), transaction.reference, verdicts, now)
            self.events(told, transaction.reference)
        account, refused = transaction.account, [*transaction.told, *_at_rcpt(transaction)]
        if account is None or not transaction.mail.sender or transaction.noticed or not refused:
            return
        if account.kind == "server":  # it heard the replies
            return
        if transaction.promised or self._limits.take(NOTICES, account.hears):
            self._begin(self._put(self._notice(transaction, account, refused, "refused")))

    def notices(self, transaction: Transaction, judgement: Judgement) -> tuple[Own, ...]:
        """What the sender of a message that is taken is told of those who do not get it now, to be stored with it."""
        account = transaction.account
        if account is None or not account.hears or not transaction.mail.sender:
            return ()
        transaction.noticed = True
        told: list[Own] = []
        refused = [*refused_in(judgement, Disposition.REJECT), *_at_rcpt(transaction)]
        if refused and account.kind != "server" and (transaction.promised or self._limits.take(NOTICES, account.hears)):
            told.append(self._notice(transaction, account, refused, "refused"))
        held = refused_in(judgement, Disposition.HOLD)
        if held and self._limits.take(NOTICES, account.hears):
            told.append(self._notice(transaction, account, held, "held"))
        return tuple(told)

    def compose(self, to: str, entity: str, told: Notice) -> Own:
        """A notice, as it is to be stored: to the account `to` of the body with the code `entity`."""
        told = replace(told, to=to, entity=self.policy.registry.entities.get(entity), help_url=self._settings.help_url)
        settings = self._settings
        mail = notice.compose(told, sender=settings.postmaster, hostname=settings.hostname, now=self._clock.now())
        return Own("notice", NULL.raw, (parse_path(to.encode(), smtputf8=True),), mail, told.reference)

    async def settle(self) -> None:
        """Wait until everything is stored."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _notice(self, transaction: Transaction, account: Account, what: Sequence[Refused], kind: What) -> Own:
        told = Notice(
            "", transaction.reference, what, transaction.named, None, "", subject=transaction.subject, what=kind
        )
        return self.compose(account.hears, account.entity, told)

    async def _put(self, own: Own) -> None:
        await self._spool.put_own(NULL, own.recipients, own.data, "notice", about=own.about)

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("a refusal could not be told", problem=f"{type(error).__name__}: {error}")


def refused_in(judgement: Judgement, disposition: Disposition) -> list[Refused]:
    """The recipients with that disposition, for a notice."""
    found = [v for v in judgement.verdicts if v.disposition is disposition]
    return [Refused.of(v, judgement.data_reply) for v in found]


def _at_rcpt(transaction: Transaction) -> list[Refused]:
    refused = [v for _, v in transaction.refused.values() if v.disposition is Disposition.REJECT]
    return [Refused.of(v, v.reply) for v in refused if v.reply is not None]


def subject_of(message: Message) -> str:
    """The subject as its sender reads it, cut short; "" where there is none that can be read."""
    field = message.first(b"subject")
    if field is None:
        return ""
    try:
        text = str(make_header(decode_header(field.value[:MAX_READ])))
    except (LookupError, ValueError):
        text = field.value[:MAX_READ]
    text = "".join(c if c.isprintable() else " " for c in text).strip()
    return text if len(text) <= MAX_SUBJECT else f"{text[:MAX_SUBJECT]}…"


def _appending(documents: Sequence[bytes], number: int) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        refusals.remember(connection, number, documents)
        journal.append(connection, documents)

    return work
