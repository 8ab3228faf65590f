"""Exemptions as acts of the console: request, approve, decline, revoke, review; the desk publishes what is in force."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from hudhud.keys import SigningKey
from hudhud.people import Person
from mail.exempt import Exemption
from mail.grants.asking import Act, Request, Status
from mail.grants.desk import Desk, Ground
from mail.grants.ledger import Ledger


class Exempting:
    """The desk of exemptions, off the event loop. Every method may raise NotAllowed. Pages record what they do."""

    def __init__(self, ledger: Ledger, folder: Path, key: SigningKey, ground: Ground) -> None:
        """`folder` is that of the releases."""
        self._ledger = ledger
        self._ground = ground
        self._desk = Desk(ledger, folder, key, ground)
        self._turn = asyncio.Lock()

    def close(self) -> None:
        self._ledger.close()

    async def list(self, *, status: Status | None = None, entity: str | None = None) -> list[Request]:
        """Newest first."""
        found = await asyncio.to_thread(lambda: list(self._ledger.list(status=status, entity=entity)))
        return found[::-1]

    async def get(self, id: str) -> Request:
        return await asyncio.to_thread(self._ledger.get, id)

    async def request(self, exemption: Exemption, entity: str, now: datetime) -> Request:
        """Write the request down; nothing is allowed by it yet. Whether she may ask, `check_wish` says before."""
        return await asyncio.to_thread(self._ledger.request, exemption, entity, now)

    async def check_wish(self, person: Person, wish: Exemption) -> None:
        """NotAllowed where the person may not ask for that."""
        await asyncio.to_thread(self._desk.checked, person, wish)

    async def check_may(self, person: Person, request: Request, act: Act, now: datetime) -> None:
        """NotAllowed where the person may not do that with it."""
        await asyncio.to_thread(self._desk.check_may, person, request, act, now)

    async def open_acts(self, person: Person, request: Request, now: datetime) -> Sequence[Act]:
        """What the person may do with it now."""
        return await asyncio.to_thread(self._desk.open_acts, person, request, now)

    def review_by(self, request: Request) -> datetime | None:
        """Until when somebody has to review it; None where nobody has to."""
        return self._desk.review_by(request)

    @property
    def levels(self) -> Sequence[str]:
        """The levels of classification, the lowest first."""
        return self._ground.scheme().levels

    async def move(self, id: str, act: Act, actor: str, now: datetime, reason: str) -> Request:
        """Do one act; what changes what is in force publishes a release, in this call."""
        async with self._turn:
            before = await asyncio.to_thread(self._ledger.get, id)
            after = await asyncio.to_thread(self._ledger.move, id, act, actor, now, reason)
            if Status.APPROVED in {before.status, after.status} and before.status is not after.status:
                await asyncio.to_thread(self.publish, actor, f"{act} {id}", now)
            return after

    def publish(self, author: str, note: str, now: datetime) -> str:
        """Write, sign and point to the release of all that is approved and not over; its digest. Blocking.

        ReleaseError or OSError when it cannot be written: then the ledger is ahead, and the next act, or the next start
        of the console, publishes it.
        """
        return self._desk.publish(author, note, now)

    def behind(self, live: frozenset[str], now: datetime) -> bool:
        """Whether the ledger approves others than the `live` ids (those that are over do not count). Blocking."""
        requests = {one.exemption.id: one for one in self._ledger.list()}
        approved = {name: one for name, one in requests.items() if one.status is Status.APPROVED}
        wanted = {name for name, one in approved.items() if one.exemption.ends > now}
        over = frozenset(approved) - wanted
        return live - over != wanted
