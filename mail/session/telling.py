"""Tells of refusals and holds when a transaction is over: events for the CERT, notices for the sender's own mailbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from email.header import decode_header, make_header
from typing import Literal

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
from mail.shelf.stored import parse_queue_id
from mail.spool import Spool
from mail.tell import notice
from mail.tell.events import Teller
from mail.tell.notice import Notice, Refused

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

    def end(self, transaction: Transaction) -> None:
        """The transaction is over: the recipients that RCPT refused, and whatever the sender is to be told."""
        if transaction.refused:
            verdicts = [verdict for _, verdict in transaction.refused.values()]
            now = self._clock.now()
            told = self.teller.refused(transaction.refused_envelope(), transaction.reference, verdicts, now)
            self.events(told, transaction.reference)
        if transaction.account is not None and transaction.mail.sender:
            if transaction.told:
                self._begin(self._notify(transaction, transaction.account, transaction.told, "refused"))
            if transaction.held:
                self._begin(self._notify(transaction, transaction.account, transaction.held, "held"))

    async def settle(self) -> None:
        """Wait until everything is stored."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _notify(
        self, transaction: Transaction, account: Account, what: Sequence[Refused], kind: Literal["refused", "held"]
    ) -> None:
        if not self._limits.take(NOTICES, account.name):
            return
        settings = self._settings
        told = Notice(
            to=account.name,
            reference=transaction.reference,
            refused=what,
            total=transaction.named,
            entity=self._policy().registry.entities.get(account.entity),
            help_url=settings.help_url,
            subject=transaction.subject,
            what=kind,
        )
        mail = notice.compose(told, sender=settings.postmaster, hostname=settings.hostname, now=self._clock.now())
        to = [parse_path(account.name.encode(), smtputf8=True)]
        await self._spool.put_own(NULL, to, mail, "notice", about=transaction.reference)

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("a refusal could not be told", problem=f"{type(error).__name__}: {error}")


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
