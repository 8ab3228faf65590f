"""What people do through a worker: its socket, the acts on its shards, and an audit record of each, searches included.

A request is one JSON line {"act", "actor", …}, an answer {"value": …} or {"error", "status"}. The socket belongs to the
account that runs the relay (0600); the supervisor's HTTPS (mail/node/office.py) and `hudhud mail` come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, cast

from hudhud import codec, log
from hudhud.audit import Audit, AuditError
from hudhud.clock import Clock
from mail import meter, orders
from mail.content.examine import Examiner
from mail.envelope import NULL, Client, Envelope
from mail.message import Message
from mail.node import asked
from mail.node.asking import PATIENCE_S, Refused, Request, short
from mail.node.many import NAMES, Many, Name, perform, why_not
from mail.node.served import Served
from mail.node.tracing import Tracing, by_time
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
        settings = next(iter(served())).ground.settings
        self._many = Many(served, clock, self._record)
        self._tracing = Tracing(served, settings.path(*orders.FILE), clock, self._record)
        self._acts: Mapping[str, Callable[[Request], Awaitable[object]]] = {
            "list": self._list,
            "show": self._show,
            "trace": self._tracing.find,
            "preview": self._preview,
            "many.preview": self._many_preview,
            "many.do": self._many.do,
            "status": self._tell,
            **dict.fromkeys(NAMES, self._one),
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
        limit, wanted = asked.limit(request), self._filter(request)
        await self._record(request, "mail.search", _said(request))
        found = [one for served in self._served() for one in await asyncio.to_thread(served.spool.list, wanted, limit)]
        return sorted(found, key=by_time, reverse=True)[:limit]

    async def _show(self, request: Request) -> object:
        """A message, or what was refused under its reference."""
        text = asked.text(request, "id")
        for served in self._served():
            if (found := await asyncio.to_thread(served.spool.show, text)) is not None:
                await self._record(request, "mail.explain", str(found["id"]))
                return found
        raise Refused(404, f"there is no message {text!r} here")

    async def _many_preview(self, request: Request) -> object:
        wanted = self._filter(request)
        await self._record(request, f"mail.{asked.text(request, 'do')}.preview", _said(request))
        return await self._many.preview(request, wanted)

    async def _one(self, request: Request) -> object:
        """An act on one message, by its name."""
        served, name = self._find(request)
        act, reason = cast(Name, request["act"]), asked.text(request, "reason")
        if act != "retry" and not reason:
            raise Refused(400, "say why: a reason is needed")
        await self._record(request, f"mail.{act}", name, reason=reason)
        with log.bound(queue_id=name):
            done = await perform(served.held, act, name, request, reason)
        meter.count(meter.ACTS, act, by=bool(done.recipients))
        if problem := why_not(done, act):
            raise Refused(409, problem)
        late = {"late": list(done.late)} if done.late else {}
        return {"id": name, "recipients": list(done.recipients), **({"told": True} if done.told else {}), **late}

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

    async def _tell(self, request: Request) -> object:
        return {**self._status(), "meter": meter.snapshot(), "shards": [served.status() for served in self._served()]}

    # inside

    def _filter(self, request: Request) -> Filter:
        served = list(self._served())

        def domains_to(hop: str) -> tuple[str, ...]:
            return tuple({domain for one in served for domain in one.domains_to(hop)})

        return asked.filter_of(request, served[0].ground.domains_of, domains_to)

    def _find(self, request: Request) -> tuple[Served, str]:
        text = str(request.get("id") or "")
        number = parse_queue_id(text)
        for served in self._served():
            if number is not None and served.spool.shard == number[0] and served.spool.load(number[1]) is not None:
                return served, queue_id(*number)
        raise Refused(404, f"there is no message {text!r} here")

    async def _record(
        self, request: Request, act: str, subject: str, *, reason: str = "", after: object = None
    ) -> None:
        def write() -> None:
            actor = str(request["actor"])
            self._audit.record(actor, act, subject, reason=reason, after=after, now=self._clock.now())

        await asyncio.to_thread(write)

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


def _said(request: Request) -> str:
    """The filters of a request, for the audit."""
    named = (*asked.FILTERS, "cursor")
    return ", ".join(f"{name}={text}" for name in named if (text := asked.text(request, name))) or "everything"
