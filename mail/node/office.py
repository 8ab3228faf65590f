"""The relay's control API: HTTPS with mutual TLS, in the name of an acting person; metrics and health. Supervisor side.

It holds nothing itself: every act goes to the worker that has the message, which records it in its audit chain.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from hudhud import codec, tls
from hudhud.clock import SYSTEM
from hudhud.i18n import LANGUAGES
from hudhud.settings import Settings, split_address
from mail.node import asked, granting, many, metrics, tracing
from mail.node.asking import Down, Refused, ask_all, ask_owner
from mail.node.granting import Granting
from mail.tell.where import told

MAX_BODY: Final = 64 * 1024  # octets of a request
MAX_CONNECTIONS: Final = 100
MAX_ACTOR: Final = 200  # characters
DO_S: Final = 5.0  # seconds of one request that acts on many; the rest is asked for with the same token
PAGED: Final = (*asked.FILTERS, "limit", "cursor")

Peers = dict[tuple[str, int], str]


class Office:
    """`folder` has the workers' sockets; `status` is what the supervisor adds, `unstop(rule, actor)` its own act."""

    def __init__(
        self,
        folder: Path,
        clients: Collection[str],
        *,
        status: Callable[[], Mapping[str, object]],
        unstop: Callable[[str, str], Awaitable[bool]],
        granting: Granting,
    ) -> None:
        self._folder, self._clients, self._status, self._unstop = folder, frozenset(clients), status, unstop
        self._granting = granting
        self.peers: Peers = {}
        self.app = Starlette(
            routes=[
                Route("/v1/queue", self._acting(self._queue)),
                Route("/v1/queue/preview", self._acting(self._many_preview), methods=["POST"]),
                Route("/v1/queue/do", self._acting(self._many_do), methods=["POST"]),
                Route("/v1/trace", self._acting(self._trace)),
                Route("/v1/where", self._acting(self._where)),
                Route("/v1/messages/{id}", self._acting(self._message)),
                Route("/v1/messages/{id}/preview", self._acting(self._preview)),
                Route("/v1/messages/{id}/{act:str}", self._acting(self._act), methods=["POST"]),
                Route("/v1/exemptions", self._acting(self._exemptions)),
                Route("/v1/exemptions", self._acting(self._exempt), methods=["POST"]),
                Route("/v1/exemptions/{id}", self._acting(self._exemption)),
                Route("/v1/exemptions/{id}/{act:str}", self._acting(self._exempt_act), methods=["POST"]),
                Route("/v1/status", self._acting(self._state)),
                Route("/v1/rules/{id}/unstop", self._acting(self._unstop_rule), methods=["POST"]),
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
            ]
        )

    def config(self, settings: Settings) -> uvicorn.Config:
        """How uvicorn serves it: a client needs a certificate of the house; who it is, the app looks up by its peer."""
        host, port = split_address(settings.relay.control)
        folder = settings.path("tls")

        def context(_config: object, _default: object) -> Any:
            return tls.server_context(folder / "relay.pem", folder / "relay.key", client_ca=folder / "ca.pem")

        return uvicorn.Config(
            self.app,
            host=host,
            port=port,
            ssl_context_factory=context,
            http=named_protocol(self.peers),
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=2,
        )

    # routes

    def _acting(self, act: Callable[[Request, str], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            client = self.peers.get((request.client.host, request.client.port), "") if request.client else ""
            actor = request.headers.get("hudhud-actor", "").strip()
            if client not in self._clients:
                return JSONResponse({"error": f"the certificate {client!r} may not use this API"}, 403)
            if not actor or len(actor) > MAX_ACTOR or not actor.isprintable():
                return JSONResponse({"error": "the header Hudhud-Actor names nobody"}, 400)
            try:
                return JSONResponse(await act(request, actor))
            except Refused as refused:
                return JSONResponse({"error": refused.problem}, refused.status)
            except Down as down:
                return JSONResponse({"error": f"the relay's workers do not answer: {down}"}, 503)

        return route

    async def _queue(self, request: Request, actor: str) -> object:
        given = _query(request, PAGED)
        limit = asked.limit(given)
        answers = await ask_all(self._folder, {"act": "list", "actor": actor, **given})
        return _page([one for answer in answers for one in answer], limit, "messages")

    async def _many_preview(self, request: Request, actor: str) -> object:
        """What an act on many would touch; the token does exactly that."""
        given = _known(await _body(request), ("act", *asked.FILTERS))
        token, act = secrets.token_urlsafe(16), asked.text(given, "act")
        answers = await ask_all(
            self._folder, {**given, "act": "many.preview", "do": act, "actor": actor, "token": token}
        )
        return {"token": token, "act": act, "expires": many.until(SYSTEM.now().timestamp()), **many.together(answers)}

    async def _many_do(self, request: Request, actor: str) -> object:
        """Some seconds of what was previewed; where anything is left, the same request goes on with it."""
        given = _known(await _body(request), ("act", "token", "reason", "silent", "recipients"))
        words = {**given, "act": "many.do", "do": asked.text(given, "act"), "actor": actor}
        await ask_all(self._folder, {**words, "check": True})  # every worker knows it, or nothing is done
        until, sums, failed, left = SYSTEM.monotonic() + DO_S, Counter[str](), dict[str, str](), 1
        while left and SYSTEM.monotonic() < until:
            answers = await ask_all(self._folder, words)
            left = sum(answer["left"] for answer in answers)
            for answer in answers:
                sums.update({name: answer[name] for name in ("done", "recipients", "told")})
                failed.update(answer["failed"])
        return {**{name: sums[name] for name in ("done", "recipients", "told")}, "failed": failed, "left": left}

    async def _trace(self, request: Request, actor: str) -> object:
        given = _query(request, (*tracing.ASKED, "subject", "reason", "limit", "cursor"))
        return _page(await self._find(given, actor), asked.limit(given, 20), "messages")

    async def _where(self, request: Request, actor: str) -> object:
        """Where a message is, in words for its sender."""
        found = await self._find(_query(request, ("id", "sender", "recipient", "since", "until", "limit")), actor)
        return {
            "messages": [
                {"id": one["id"], "state": one["state"], **{name: told(one, name) for name in LANGUAGES}}
                for one in found
            ]
        }

    async def _find(self, given: Mapping[str, str], actor: str) -> list[Mapping[str, Any]]:
        answers = await ask_all(self._folder, {"act": "trace", "actor": actor, **given})
        found = [one for answer in answers for one in answer]
        return sorted(found, key=tracing.by_time, reverse=True)[: asked.limit(given, 20)]

    async def _message(self, request: Request, actor: str) -> object:
        return await ask_owner(self._folder, {"act": "show", "actor": actor, "id": request.path_params["id"]})

    async def _preview(self, request: Request, actor: str) -> object:
        reason = request.query_params.get("reason", "")
        words = {"act": "preview", "actor": actor, "id": request.path_params["id"], "reason": reason}
        return await ask_owner(self._folder, words)

    async def _act(self, request: Request, actor: str) -> object:
        act = request.path_params["act"]
        if act not in many.NAMES:
            raise Refused(404, f"there is no act {act!r}")
        given = _known(await _body(request), ("reason", "recipients", "silent"))
        return await ask_owner(self._folder, {**given, "act": act, "actor": actor, "id": request.path_params["id"]})

    async def _exemptions(self, request: Request, actor: str) -> object:
        given = _query(request, ("status", "entity"))
        return await self._granting.list(actor, given.get("status", ""), given.get("entity", ""))

    async def _exempt(self, request: Request, actor: str) -> object:
        return await self._granting.request(actor, _known(await _body(request), granting.FIELDS))

    async def _exemption(self, request: Request, actor: str) -> object:
        return await self._granting.show(actor, request.path_params["id"])

    async def _exempt_act(self, request: Request, actor: str) -> object:
        reason = asked.text(_known(await _body(request), ("reason",)), "reason")
        return await self._granting.act(actor, request.path_params["id"], request.path_params["act"], reason)

    async def _state(self, request: Request, actor: str) -> object:
        return await self.status()

    async def _unstop_rule(self, request: Request, actor: str) -> object:
        rule = request.path_params["id"]
        if not await self._unstop(rule, actor):
            raise Refused(404, f"{rule!r} is not stopped")
        return {"rule": rule}

    async def status(self) -> Mapping[str, object]:
        """The node as a whole; Down where no worker answers."""
        answers = await ask_all(self._folder, {"act": "status", "actor": "supervisor"})
        shards = [shard for answer in answers for shard in answer["shards"]]
        sums = {name: sum(int(shard[name]) for shard in shards) for name in ("queued", "held", "unjudged")}
        return {"workers": answers, **sums, **self._status()}

    async def _health(self, request: Request) -> Response:
        try:
            status = await self.status()
        except Down as down:
            return JSONResponse({"healthy": False, "problem": str(down)}, 503)
        healthy = status.get("ready") is True
        return JSONResponse({"healthy": healthy}, 200 if healthy else 503)

    async def _metrics(self, request: Request) -> Response:
        try:
            status = await self.status()
        except Down:
            status = {"workers": [], **self._status()}
        text, media_type = await asyncio.to_thread(metrics.exposition, status)
        return Response(text, media_type=media_type)


class Server(uvicorn.Server):
    """Signals are the supervisor's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def named_protocol(peers: Peers) -> type[asyncio.Protocol]:
    """uvicorn's protocol that notes, for as long as a connection lives, the name on its client's certificate."""

    class Named(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            secured = transport.get_extra_info("ssl_object")
            if self.client is not None and secured is not None:
                peers[self.client] = tls.peer_name(secured)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                peers.pop(self.client, None)
            super().connection_lost(exc)

    return Named


async def _body(request: Request) -> Mapping[str, Any]:
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise Refused(413, f"the request is larger than {MAX_BODY} octets")
    try:
        value = codec.decode(data) if data else {}
    except codec.CodecError as error:
        raise Refused(400, f"the request is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused(400, "the request is no object")
    return value


def _query(request: Request, names: Collection[str]) -> Mapping[str, str]:
    """The parameters, each known and given once."""
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) < len(pairs):
        raise Refused(400, "a parameter is given twice")
    return _known(dict(pairs), names)


def _known(given: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
    """A name that is mistyped would ask for more than was meant."""
    if unknown := sorted(str(name) for name in given if name not in names):
        raise Refused(400, f"there is no parameter {', '.join(unknown)}; there are {', '.join(names)}")
    return given


def _page(found: list[Mapping[str, Any]], limit: int, name: str) -> Mapping[str, object]:
    """The newest ones, and the cursor that goes on where there may be more."""
    shown = sorted(found, key=tracing.by_time, reverse=True)[:limit]
    return {name: shown, "next": shown[-1]["id"] if len(shown) == limit else None}
