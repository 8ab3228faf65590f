"""Accounts whose password stands in accounts.toml, as an argon2id hash and as SCRAM keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

from hudhud.people import verify_password
from mail.proof import apps, scram
from mail.proof.known import Asked, Known, NotOffered
from mail.proof.prepare import prepared_or_same
from mail.proof.scram import Conversation, First

THREADS: Final = 2  # of 19 MiB each: argon2 runs outside the GIL


class Local:
    """An unknown account costs as much as a wrong password, and gets a challenge like any other."""

    name = "accounts"
    mechanisms = frozenset({scram.NAME})

    def __init__(self, secret: bytes, now: Callable[[], datetime]) -> None:
        self._secret, self._now = secret, now
        self._threads = ThreadPoolExecutor(THREADS, "login")

    async def verify(self, asked: Asked, password: bytes) -> Known | None:
        row = asked.row
        hashed = row.password if row is not None and row.password else None
        text = prepared_or_same(password.decode("utf-8", "replace"))
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._threads, verify_password, hashed, text)
        return Known(row.address, stamp=row.password) if right and row is not None else None

    async def exchange(self, mechanism: str, asked: Asked, *, main: bool = True) -> Scram:
        if mechanism != scram.NAME:
            raise NotOffered
        return Scram(asked, self._secret, self._now(), main=main)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Scram:
    """One conversation. With an alias there are no keys, as with a name that nobody has: its salt would tell whose."""

    def __init__(self, asked: Asked, secret: bytes, now: datetime, *, main: bool) -> None:
        self._row = asked.row if asked.row is not None and asked.row.address == asked.address else None
        self._address, self._secret = asked.address, secret
        self._candidates = list(apps.keys_of(self._row, now, main=main))
        self._talk: Conversation | None = None
        self._proven: Known | None = None

    async def step(self, message: bytes) -> bytes | Known | None:
        if self._proven is not None:
            return self._proven if not message else None
        if self._talk is None:
            row, now = self._row, self._candidates
            salt = apps.salt_for(row, self._secret) if row is not None else scram.salt_of(self._secret, self._address)
            rounds = now[0][1].iterations if now else scram.ITERATIONS
            alike = [(of, keys) for of, keys in now if (keys.salt, keys.iterations) == (salt, rounds)]
            self._talk = Conversation(First.parse(message), salt, rounds, alike)
            return self._talk.challenge.encode()
        found = self._talk.finish(message)
        if found is None or self._row is None:
            return None
        self._proven = Known(self._row.address, stamp=found[0])
        return found[1]

    def close(self) -> None:
        """Nothing is held."""
