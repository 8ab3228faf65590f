"""Exemptions as acts of the console: request, approve, decline, revoke; what is approved becomes the signed release."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from hudhud import release
from hudhud.keys import SigningKey
from mail.exempt import Exemption
from mail.grants.asking import Act, Request, Status
from mail.grants.ledger import Ledger, release_files

KIND = "exemptions"


class Exempting:
    """The ledger, and the key that signs what it holds. Every method may raise NotAllowed."""

    def __init__(self, ledger: Ledger, folder: Path, key: SigningKey) -> None:
        """`folder` is that of the releases."""
        self._ledger, self._folder, self._key = ledger, folder, key
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
        """Write the request down; nothing is allowed by it yet."""
        return await asyncio.to_thread(self._ledger.request, exemption, entity, now)

    async def move(self, id: str, act: Act, actor: str, now: datetime, reason: str) -> Request:
        """Do one act. The second approval and the revocation of what was approved publish a release, in this call."""
        async with self._turn:
            before = await asyncio.to_thread(self._ledger.get, id)
            after = await asyncio.to_thread(self._move, id, act, actor, now, reason)
            if Status.APPROVED in {before.status, after.status}:
                await asyncio.to_thread(self.publish, actor, f"{act} {id}", now)
            return after

    def publish(self, author: str, note: str, now: datetime) -> str:
        """Write, sign and point to the release of all that is approved and not over; its digest. Blocking.

        ReleaseError or OSError when it cannot be written: then the ledger is ahead, and the next act, or the next start
        of the console, publishes it.
        """
        files = release_files(self._ledger, now)
        digest = release.write(self._folder, KIND, files, author=author, note=note, now=now, keys=[self._key])
        release.publish(self._folder, KIND, digest, now=now, keys=[self._key])
        return digest

    def behind(self, live: frozenset[str], now: datetime) -> bool:
        """Whether the ledger approves others than the `live` ids (those that are over do not count). Blocking."""
        requests = {one.exemption.id: one for one in self._ledger.list()}
        approved = {name: one for name, one in requests.items() if one.status is Status.APPROVED}
        wanted = {name for name, one in approved.items() if one.exemption.ends > now}
        over = frozenset(approved) - wanted
        return live - over != wanted

    def _move(self, id: str, act: Act, actor: str, now: datetime, reason: str) -> Request:
        if act is Act.APPROVE:
            return self._ledger.approve(id, actor, now, reason)
        if act is Act.REFUSE:
            return self._ledger.refuse(id, actor, now, reason)
        return self._ledger.revoke(id, actor, now, reason)
