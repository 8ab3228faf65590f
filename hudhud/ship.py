"""Sends journals to the intake over HTTPS, in order, again and again until it has them.

Each source keeps its own order, cursor and back-off. The cursor moves only on an answer that says the batch is in the
intake's journal; a batch sent twice changes nothing there (ids). What the intake finds wrong in a line it dead-letters
itself and still answers 202. One that it will not even take (400, 413, 422 for that line alone) is put aside, whole, in
a file beside the cursor, and a line that says so goes in its place: nothing is lost, and nothing holds up the rest.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import ssl
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from hudhud import codec, log
from hudhud.clock import Clock
from hudhud.journal import Cursor, Journal, Reader, Record

if TYPE_CHECKING:
    import httpx  # loaded when the first batch is sent

T = TypeVar("T")

MAX_BATCH_BYTES = 4 * 1024 * 1024  # of one request's body; a single larger event goes alone
POLL_S = 0.25  # how often a journal is looked at that had no whole batch: one request costs as much as many events
FIRST_WAIT_S = 0.5  # after the first failure; doubles with each
MAX_WAIT_S = 60.0
MAX_RETRY_AFTER_S = 600.0  # a longer wish of the intake is cut to this
TIMEOUT_S = 30.0  # for each step of a request
ACCEPTED = frozenset({200, 202, 204})
NOT_LIKE_THIS = frozenset({400, 413, 422})  # about what was sent; a smaller batch finds the line that it is about
SLOW_DOWN = frozenset({429, 503})
STOP_S = 2.0  # how long a request may still run when we are told to stop

_log = log.get(__name__)
_random = random.SystemRandom()


@dataclass(slots=True)
class Line:
    """One source on its way: what an operator wants to see of it."""

    reader: Reader | Journal
    cursor: Cursor
    limit: int  # records in the next batch: halved while the intake finds batches too large or wrong
    sent: int = 0  # records accepted since the start
    failures: int = 0  # in a row
    aside: int = 0  # sequence of the last event that was put aside
    problem: str | None = None  # why the last batch did not go; None: it did
    not_before: float = 0.0  # monotonic seconds
    jitter: random.Random = field(default=_random, repr=False)


class Shipper:
    """`readers` and `cursors` belong together pair by pair; `url` is the intake's, without /v1/events."""

    def __init__(  # noqa: PLR0917 - the contract's order
        self,
        readers: Sequence[Reader | Journal],
        cursors: Sequence[Cursor],
        url: str,
        tls: ssl.SSLContext | None,
        token: str | None,
        clock: Clock,
        *,
        batch: int = 500,
    ) -> None:
        self._batch = batch
        self.lines = [Line(reader, cursor, batch) for reader, cursor in zip(readers, cursors, strict=True)]
        self._url = url.rstrip("/") + "/v1/events"
        self._tls = tls
        self._headers = {"Content-Type": "application/x-ndjson"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        self._clock = clock
        self._client: httpx.AsyncClient | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Ship until `stop`; whatever the intake or the network does, it goes on trying."""
        stopped = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                shipped = await _unless(stopped, self.ship_once(), STOP_S)
                if shipped is not None and shipped < self._batch:
                    await _unless(stopped, self._clock.sleep(POLL_S), 0.0)
        finally:
            stopped.cancel()
            await self.close()

    async def ship_once(self) -> int:
        """One batch of each source that is not waiting; returns the records accepted. Raises nothing of the network."""
        return sum([await self._ship(line) for line in self.lines if line.not_before <= self._clock.monotonic()])

    async def close(self) -> None:
        """Close the connections; a later batch opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ship(self, line: Line) -> int:
        try:
            records = await asyncio.to_thread(line.reader.read, line.cursor.position, line.limit)
            if not records:
                return 0
            sent, body = batch_body(records, line.aside)
            answer = await self._post(line.reader.source, body)
            if answer.status_code in ACCEPTED:
                await asyncio.to_thread(line.cursor.advance, sent[-1].sequence)
                self._went(line, len(sent))
                return len(sent)
            await asyncio.to_thread(_narrow, line, sent, answer.status_code)
            wish = retry_after(answer.headers.get("Retry-After", ""), self._clock.now())
            after = wish if answer.status_code in SLOW_DOWN else None
            self._failed(line, f"the intake answered {answer.status_code}: {answer.text[:200]}", after)
        except Exception as error:  # network, disk or database: the journal keeps the events, and the next try comes
            self._failed(line, f"{type(error).__name__}: {error}", None)
        return 0

    async def _post(self, source: str, body: bytes) -> httpx.Response:
        import httpx

        if self._client is None:
            verify = self._tls if self._tls is not None else True
            self._client = httpx.AsyncClient(verify=verify, timeout=TIMEOUT_S, trust_env=False, headers=self._headers)
        return await self._client.post(self._url, content=body, headers={"Hudhud-Source": source})

    def _went(self, line: Line, count: int) -> None:
        if line.problem is not None:
            _log.info("shipping again", source=line.reader.source)
        line.sent += count
        line.failures, line.problem, line.not_before = 0, None, 0.0
        line.limit = min(self._batch, line.limit * 2)

    def _failed(self, line: Line, problem: str, at_least: float | None) -> None:
        if problem != line.problem:
            _log.warning("shipping failed", source=line.reader.source, problem=problem)
        line.failures += 1
        line.problem = problem
        chance = line.jitter.random()
        wait = max(backoff(line.failures, chance), (at_least or 0.0) * (1.0 + 0.1 * chance))
        line.not_before = self._clock.monotonic() + wait


async def _unless(stopped: asyncio.Future[Any], work: Coroutine[Any, Any, T], grace: float) -> T | None:
    """The result of `work`; None when the stop came first and `grace` seconds more were not enough."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and grace > 0:
            await asyncio.wait([task], timeout=grace)
        return task.result() if task.done() else None
    finally:
        task.cancel()


def _narrow(line: Line, sent: Sequence[Record], status: int) -> None:
    """After an answer about what was sent: halve the batch until one event is left, and put that one aside."""
    if status not in NOT_LIKE_THIS:
        return
    line.limit = max(1, len(sent) // 2)
    if len(sent) > 1 or line.aside == sent[0].sequence:
        return
    place = line.cursor.path.with_name(line.cursor.path.name + ".aside")
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("ab") as file:
        file.write(_ndjson_line(sent[0], None))
        file.flush()
        os.fsync(file.fileno())
    line.aside = sent[0].sequence
    _log.error("event put aside", source=line.reader.source, sequence=line.aside, status=status, file=str(place))


def backoff(failures: int, chance: float) -> float:
    """Seconds until the next try: doubling up to a cap, spread over its upper half by `chance` in [0, 1). Pure."""
    whole = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 30))
    return whole * (0.5 + 0.5 * chance)


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds that a Retry-After (RFC 9110 section 10.2.3) asks for, capped; None where it says nothing. Pure."""
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), MAX_RETRY_AFTER_S)


def batch_body(records: Sequence[Record], aside: int = 0) -> tuple[Sequence[Record], bytes]:
    """The records, from the first on, that fit into one request, and its NDJSON body. Pure."""
    parts: list[bytes] = []
    size = 0
    for record in records:
        part = _ndjson_line(record, aside)
        size += len(part)
        if parts and size > MAX_BATCH_BYTES:
            break
        parts.append(part)
    return records[: len(parts)], b"".join(parts)


def _ndjson_line(record: Record, aside: int | None) -> bytes:
    """What cannot go as a document goes as what it is: the intake dead-letters it where people look."""
    if record.sequence == aside:
        digest = hashlib.sha256(record.document).hexdigest()
        problem = {"put_aside": len(record.document), "sha256": digest}
        return codec.encode({"sequence": record.sequence, "document": None, **problem}) + b"\n"
    try:
        value = codec.decode(record.document)
    except codec.CodecError:
        damaged = base64.b64encode(record.document).decode()
        return codec.encode({"sequence": record.sequence, "document": None, "damaged": damaged}) + b"\n"
    document = codec.encode(value) if b"\n" in record.document else record.document
    return b'{"sequence":%d,"document":%b}\n' % (record.sequence, document)
