"""Tells of exemptions in their time, where the desk is on this machine: mail to those concerned, an event, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Final

from hudhud import journal, log
from hudhud.clock import Clock
from hudhud.database import Connection
from hudhud.entity import Registry
from hudhud.event import Value, format_time
from hudhud.people import People
from hudhud.settings import Settings
from mail.envelope import NULL, parse_path
from mail.grants import opening
from mail.grants.ledger import Ledger
from mail.grants.reminding import EVENTS, MAILED, Due, due, hearers
from mail.shelf.stored import Own
from mail.spool import Spool
from mail.tell import reminder
from mail.tell.events import Teller

LOOK_S: Final = 60.0  # seconds between looks

_log = log.get(__name__)


class Reminding:
    """Worker 0's. What was told stands in the desk's ledger: after a crash something may be told twice, never not."""

    def __init__(self, settings: Settings, spool: Spool, registry: Callable[[], Registry], clock: Clock) -> None:
        self._settings, self._spool, self._registry, self._clock = settings, spool, registry, clock

    async def look(self) -> None:
        """Tell what is due now."""
        if not self._settings.path(*opening.LEDGER).exists():
            return
        for found in await asyncio.to_thread(self._due):
            await self._tell(found)
            await asyncio.to_thread(self._note, found)

    def _due(self) -> list[Due]:
        days, now = self._settings.relay.exemption_reminder_days, self._clock.now()
        with closing(Ledger(self._settings.path(*opening.LEDGER))) as ledger:
            found = due(ledger.list(), now, days, self._registry().workdays)
            return [one for one in found if not ledger.is_told(one.request.exemption.id, one.what)]

    def _note(self, found: Due) -> None:
        with closing(Ledger(self._settings.path(*opening.LEDGER))) as ledger:
            ledger.note_told(found.request.exemption.id, found.what, self._clock.now())

    async def _tell(self, found: Due) -> None:
        """The event and the mail in one transaction of this worker's shard."""
        e, now, settings = found.request.exemption, self._clock.now(), self._settings.relay
        fields: dict[str, Value] = {
            "event.kind": "alert" if found.what in ("broken", "unreviewed") else "event",
            "event.reason": f"{e.id} until {format_time(found.by)}: {e.reason}",
            "organization.id": found.request.entity,
            "user.name": e.approvers[-1] if e.approvers else None,
            "hudhud.mail.exemption": e.id,
        }
        document = Teller(self._settings.node.name, self._registry()).act(EVENTS[found.what], now, fields)
        own: list[Own] = []
        if found.what in MAILED:
            people = await asyncio.to_thread(People.load, self._settings.path("people.toml"))
            to = hearers(found, people, self._registry())
            if to:
                mail = reminder.compose(found, to, sender=settings.postmaster, hostname=settings.hostname, now=now)
                paths = tuple(parse_path(one.encode(), smtputf8=True) for one in to)
                own.append(Own("notice", NULL.raw, paths, mail, e.id))
        await self._spool.commit_telling(partial(_append, document), own)
        _log.info(EVENTS[found.what], exemption=e.id, told=len(own[0].recipients) if own else 0)


def _append(document: bytes, connection: Connection) -> None:
    journal.append(connection, [document])
