"""What people do through a worker: its socket, the acts on its shards, and an audit record of each, searches included.

A request is one JSON line {"act", "actor", …}, an answer {"value": …} or {"error", "status"}. The socket belongs to the
account that runs the relay (0600); the supervisor's HTTPS (mail/node/office.py) and `hudhud mail` come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from hudhud import codec, log
from hudhud.audit import Audit, AuditError
from hudhud.clock import Clock
from mail.content.examine import Examiner
from mail.envelope import NULL, Client, Envelope
from mail.held import Act
from mail.message import Message
from mail.node.asking import PATIENCE_S, Refused, Request, short
from mail.node.served import Served
from mail.shelf.bodies import BodyError
from mail.shelf.filters import Filter
from mail.shelf.room import SpoolFull
from mail.shelf.stored import parse_queue_id, queue_id
from mail.tell.preview import preview

MAX_REQUEST: Final = 64 * 1024  # octets

_log = log.get(__name__)


class Control:
    """One worker's. `served` gives the shards it has now, `status` what it tells of itself."""

    def __init__(
        self,
        served: Callable[[], Iterable[Served]],
        examiner: Examiner,
        audit: Audit,
        clock: Clock,
        status: Callable[[], Mapping[str, object]],
    ) -> None:
        self._served, self._examiner, self._audit, self._clock, self._status = served, examiner, audit, clock, status
        self._acts: Mapping[str, Callable[[Request], Awaitable[object]]] = {
            "list": self._list,
            "show": self._show,
            "preview": self._preview,
            "release": self._release,
            "delete": self._delete,
            "hold": self._hold,
            "retry": self._retry,
            "status": self._tell,
        }

    async def open(self, path: Path) -> asyncio.Server:
        """Listen on the socket `path`, which only our own account may use."""
        path.unlink(missing_ok=True)
        with short(path) as name:
            server = await asyncio.start_unix_server(self._session, name, limit=MAX_REQUEST)
        path.chmod(0o600)
        return server

    async def do(self, request: Request) -> object:
        """The answer to one request; Refused where it is not done."""
        act = self._acts.get(str(request.get("act")))
        if act is None or not request.get("actor"):
            raise Refused(400, "the request names no act or no actor")
        try:
            return await act(request)
        except AuditError as error:
            raise Refused(503, f"what cannot be recorded is not done: {error.problem}") from None
        except SpoolFull as error:
            raise Refused(503, str(error)) from None
        except BodyError as error:
            raise Refused(410, str(error)) from None

    # acts

    async def _list(self, request: Request) -> object:
        names = ("state", "sender", "recipient", "domain", "account", "rule")
        wanted = {name: str(request.get(name) or "") for name in names}
        await self._record(
            request, "mail.search", ", ".join(f"{k}={v}" for k, v in wanted.items() if v) or "everything"
        )
        asked = Filter(**wanted, older_than=float(request.get("older_than") or 0))  # type: ignore[arg-type]
        limit = int(request.get("limit") or 100)
        found = [one for served in self._served() for one in served.spool.list(asked, limit)]
        return sorted(found, key=lambda one: str(one["received"]), reverse=True)[:limit]

    async def _show(self, request: Request) -> object:
        try:
            served, queue_id = self._find(request)
        except Refused:
            return await self._show_refusal(request)
        await self._record(request, "mail.explain", queue_id)
        return served.spool.show(queue_id)

    async def _show_refusal(self, request: Request) -> object:
        """What was refused is not in the spool, but its reference is on the refusal: it too is explained."""
        text = str(request.get("id") or "")
        found = next((one for served in self._served() if (one := served.spool.show(text)) is not None), None)
        if found is None:
            raise Refused(404, f"there is no message {text!r} here")
        await self._record(request, "mail.explain", text)
        return found

    async def _preview(self, request: Request) -> object:
        served, queue_id = self._find(request)
        await self._record(request, "mail.preview", queue_id, reason=_reason(request))
        number = parse_queue_id(queue_id)
        stored = served.spool.load(number[1]) if number else None
        if stored is None:
            raise Refused(404, f"there is no message {queue_id}")
        data = await asyncio.to_thread(served.spool.data, stored)
        client = Client("", 0, "", None, "mx")
        message = Message.read(Envelope(NULL, (), client, None, stored.received), queue_id, data)
        contents = await self._examiner.read(message)
        return preview(message, contents.parts)

    async def _release(self, request: Request) -> object:
        served, queue_id, actor, reason = await self._begin(request)
        only = request.get("recipients") or None
        return _done(await served.held.release(queue_id, actor=actor, reason=reason, recipients=only))

    async def _delete(self, request: Request) -> object:
        served, queue_id, actor, reason = await self._begin(request)
        only = request.get("recipients") or None
        return _done(await served.held.delete(queue_id, actor=actor, reason=reason, recipients=only))

    async def _hold(self, request: Request) -> object:
        served, queue_id, actor, reason = await self._begin(request)
        return _done(await served.held.hold(queue_id, actor=actor, reason=reason))

    async def _retry(self, request: Request) -> object:
        served, queue_id = self._find(request)
        await self._record(request, "mail.retry", queue_id)
        return _done(await served.held.retry(queue_id))

    async def _tell(self, request: Request) -> object:
        return {**self._status(), "shards": [served.status() for served in self._served()]}

    # inside

    async def _begin(self, request: Request) -> tuple[Served, str, str, str]:
        """The shard, the message, who acts and why, once that is recorded."""
        served, queue_id = self._find(request)
        reason = _reason(request)
        await self._record(request, f"mail.{request['act']}", queue_id, reason=reason)
        return served, queue_id, str(request["actor"]), reason

    def _find(self, request: Request) -> tuple[Served, str]:
        text = str(request.get("id") or "")
        number = parse_queue_id(text)
        for served in self._served():
            if number is not None and served.spool.shard == number[0] and served.spool.load(number[1]) is not None:
                return served, queue_id(*number)
        raise Refused(404, f"there is no message {text!r} here")

    async def _record(self, request: Request, act: str, subject: str, *, reason: str = "") -> None:
        now = self._clock.now()
        await asyncio.to_thread(lambda: self._audit.record(str(request["actor"]), act, subject, reason=reason, now=now))

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await self._answer(await reader.readline())
                writer.write(codec.encode(answer) + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:  # ValueError: a line beyond the limit
            _log.info("a control session ended", problem=str(error) or type(error).__name__)
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Mapping[str, object]:
        try:
            request = codec.decode(line)
            if not isinstance(request, dict):
                raise Refused(400, "the request is no object")
            return {"value": await self.do(request)}
        except codec.CodecError:
            return {"error": "the request is no JSON", "status": 400}
        except Refused as refused:
            return {"error": refused.problem, "status": refused.status}
        except Exception:
            _log.exception("an act failed")
            return {"error": "a fault of the relay", "status": 500}


def _reason(request: Request) -> str:
    reason = str(request.get("reason") or "").strip()
    if not reason:
        raise Refused(400, "say why: a reason is needed")
    return reason


def _done(act: Act) -> Mapping[str, object]:
    if not act.recipients:
        raise Refused(409, "nothing was to be done: no recipient is in that state any more")
    return {"id": act.queue_id, "recipients": list(act.recipients)}
