"""Looks for messages and their paths in a worker's shards; a subject's words only under a search order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from hudhud.clock import Clock
from mail import orders
from mail.node import asked
from mail.node.asking import Refused, Request
from mail.node.served import Served
from mail.shelf import words

ASKED: Final = ("id", "sender", "recipient", "message_id", "since", "until", "order")

Record = Callable[..., Awaitable[None]]


class Tracing:
    """One worker's. Each search is recorded before it is made; under an order, with the order and its ticket."""

    def __init__(self, served: Callable[[], Iterable[Served]], orders: Path, clock: Clock, record: Record) -> None:
        self._served, self._orders, self._clock, self._record = served, orders, clock, record

    async def find(self, request: Request) -> list[dict[str, object]]:
        """Whole paths, newest first, of this worker's shards."""
        limit, wanted = asked.limit(request, 20), asked.wanted_of(request)
        order = asked.text(request, "order")
        if asked.text(request, "subject") and not order:
            raise Refused(403, "subjects are searched only under a search order: `hudhud mail trace order request`")
        said = ", ".join(f"{name}={text}" for name in ASKED if (text := asked.text(request, name)))
        if not said:
            raise Refused(400, "say what to look for: an id, a sender, a recipient, a Message-ID or a time")
        reason = asked.text(request, "reason")
        if order:
            allowed = await self._allowed(request, order)
            reason = f"{allowed.ticket}: {allowed.reason}"
        await self._record(request, "mail.trace", said, reason=reason)
        if name := asked.text(request, "id"):
            return await self._by_id(name)
        found: list[dict[str, object]] = []
        for served in self._served():
            mine = (
                replace(wanted, words=words.each(words.hashed(allowed.subject, served.spool.word_key)))
                if order
                else wanted
            )
            found += await asyncio.to_thread(served.spool.shelves.find, mine, limit)
        return sorted(found, key=by_time, reverse=True)[:limit]

    async def _by_id(self, name: str) -> list[dict[str, object]]:
        for served in self._served():
            path = await asyncio.to_thread(served.spool.shelves.path, name)
            if path is not None:
                return [path]
        return []

    async def _allowed(self, request: Request, name: str) -> orders.Order:
        try:
            order = await asyncio.to_thread(orders.find, self._orders, name)
            order.may_search(str(request["actor"]), self._clock.now())
        except orders.NotAllowed as error:
            raise Refused(403, str(error)) from None
        subject = asked.text(request, "subject")
        if subject and words.split(subject) != words.split(order.subject):
            raise Refused(403, f"{name} is for other words")
        return order


def by_time(one: Mapping[str, object]) -> str:
    """What lists are sorted by: the queue id without its shard, which grows with time."""
    return str(one["id"]).partition("-")[2]
