"""The intake: takes batches of events over HTTPS, answers 202 once its journal has them; the desk works on them later.

POST /v1/events      NDJSON {"sequence": N, "document": {…}}, header Hudhud-Source; mutual TLS or a bearer token
GET  /v1/releases/…  the release folder, read only, for nodes
GET  /healthz        open to all: whether it takes events, how many wait
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from cert import deadletter, tokens
from cert.batch import Batch, BatchError, read_batch
from cert.https import Peers
from hudhud import journal, log
from hudhud.clock import SYSTEM, Clock
from hudhud.database import Connection, Database, DatabaseError, DiskFull
from hudhud.journal import Cursor, Journal
from hudhud.settings import Settings

SCHEMA: Final = journal.SCHEMA + deadletter.SCHEMA
SOURCE: Final = "intake"
TRIM_S: Final = 5.0  # seconds between looks at how far the desk is
RETRY_FULL_S: Final = 5  # what a source is told to wait when the backlog is full
RETRY_DISK_S: Final = 30
BETWEEN: Final = frozenset("-/:.")  # may follow a certificate's name in the source ids of its holder

_log = log.get(__name__)


class Intake:
    """`peers` knows the name on the certificate behind each connection."""

    def __init__(self, settings: Settings, peers: Peers, clock: Clock = SYSTEM) -> None:
        self._settings, self._limits, self._clock, self._peers = settings, settings.intake, clock, peers
        self._tokens = tokens.load(settings)
        self._database = Database(settings.path("intake", "journal.db"), SCHEMA)
        self._journal = Journal(self._database, SOURCE)
        self._releases = settings.path(settings.releases.folder).resolve()
        self.app = Starlette(
            routes=[
                Route("/v1/events", self._events, methods=["POST"]),
                Route("/v1/releases/{path:path}", self._release, methods=["GET"]),
                Route("/healthz", self._health, methods=["GET"]),
            ]
        )

    def close(self) -> None:
        self._database.close()

    async def housekeeping(self, stop: asyncio.Event) -> None:
        """Forget what the desk has worked on."""
        place = self._settings.path("desk", "intake.cursor")
        while not stop.is_set():
            try:
                await asyncio.to_thread(lambda: self._journal.trim(Cursor(place).position))
            except DatabaseError as error:
                _log.warning("the journal cannot be trimmed", problem=str(error))
            try:
                await asyncio.wait_for(stop.wait(), TRIM_S)
            except TimeoutError:
                continue

    async def _events(self, request: Request) -> Response:
        source = request.headers.get("hudhud-source", "")
        holder = self._holder(request)
        if holder is None:
            return _problem(401, "show a certificate of the house, or a token: Authorization: Bearer …")
        if not owns(holder, source) or not self._may_send(request, holder):
            return _problem(403, f"{holder} may not send as {source!r}: Hudhud-Source begins with the sender's name")
        if self._journal.size()[0] >= self._limits.max_backlog_events:
            most = self._limits.max_backlog_events
            why = f"intake.max_backlog_events is {most}, and so many wait: try again later"
            return _problem(429, why, retry_s=RETRY_FULL_S)
        try:
            body = await self._body(request)
        except ClientDisconnect:  # it sends the batch again: nothing of it was taken
            _log.info("a client left in the middle of a batch", source=source)
            return _problem(400, "the batch was not sent whole")
        if body is None:
            most = self._limits.max_batch_bytes
            return _problem(413, f"intake.max_batch_bytes is {most}, this batch is larger: send smaller batches")
        return await self._take(source, body)

    async def _take(self, source: str, body: bytes) -> Response:
        try:
            batch = read_batch(source, body, self._clock.now(), self._limits)
            await self._database.commit(partial(_keep, batch))
        except BatchError as error:
            return _problem(413, str(error))
        except DiskFull:
            return _problem(503, "the intake's disk is full: an administrator must make room", retry_s=RETRY_DISK_S)
        except DatabaseError as error:
            _log.error("journal", problem=str(error))
            return _problem(503, "the intake's journal cannot be written", retry_s=RETRY_DISK_S)
        if batch.dead:
            _log.warning("dead letters", source=source, lines=len(batch.dead), first=batch.dead[0].reason)
        told = [{"sequence": letter.sequence, "reason": letter.reason} for letter in batch.dead[:10]]
        answer = {"accepted": len(batch.documents), "dead_letters": len(batch.dead), "reasons": told}
        return JSONResponse(answer, 202)

    async def _body(self, request: Request) -> bytes | None:
        """The body; None where it passes the limit. What comes after that is not read."""
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._limits.max_batch_bytes:
                return None
            chunks.append(chunk)
        return b"".join(chunks)

    def _holder(self, request: Request) -> str | None:
        """Who sends: the name on the certificate, or the source that the token belongs to."""
        client = request.client
        name = self._peers.get((client.host, client.port), "") if client else ""
        if name:
            return name
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return known_token(self._tokens, token.strip()) if scheme.lower() == "bearer" else None

    def _may_send(self, request: Request, holder: str) -> bool:
        return holder in self._limits.sources or holder in self._tokens

    async def _release(self, request: Request) -> Response:
        if self._holder(request) is None:
            return _problem(401, "show a certificate of the house, or a token")
        path = (self._releases / request.path_params["path"]).resolve()
        if not path.is_relative_to(self._releases) or not path.is_file():
            return _problem(404, "there is no such file in the releases")
        return FileResponse(path, media_type="application/octet-stream")

    async def _health(self, request: Request) -> Response:
        records, size = self._journal.size()
        full = records >= self._limits.max_backlog_events
        state = {"healthy": not full, "backlog_events": records, "backlog_bytes": size}
        return JSONResponse(state, 503 if full else 200)


def owns(holder: str, source: str) -> bool:
    """Whether a source id is the holder's: its name, or its name and more after one of -/:. Pure."""
    rest = source.removeprefix(holder)
    return bool(holder) and source.startswith(holder) and len(source) <= 200 and (not rest or rest[0] in BETWEEN)


def known_token(tokens: Mapping[str, str], token: str) -> str | None:
    """The source whose token that is; takes as long for a wrong one."""
    digest = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
    found = [source for source, known in tokens.items() if hmac.compare_digest(digest, known)]
    return found[0] if found and token else None


def _keep(batch: Batch, connection: Connection) -> None:
    """Events and dead letters in one transaction: an acknowledged line is in one of the two."""
    journal.append(connection, batch.documents)
    deadletter.bury(connection, batch.dead)


def _problem(status: int, text: str, *, retry_s: int = 0) -> Response:
    headers = {"Retry-After": str(retry_s)} if retry_s else None
    return JSONResponse({"problem": text}, status, headers=headers)
