"""The relay's control API: HTTPS with mutual TLS, in the name of an acting person; metrics and health. Supervisor side.

It holds nothing itself: every act goes to the worker that has the message, which records it in its audit chain.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from hudhud.settings import Settings, split_address
from mail.node import metrics
from mail.node.asking import Down, Refused, ask_all, ask_owner

MAX_BODY: Final = 64 * 1024  # octets of a request
MAX_CONNECTIONS: Final = 100
FILTERS: Final = ("state", "sender", "recipient", "domain", "account", "rule", "older_than", "limit")

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
    ) -> None:
        self._folder, self._clients, self._status, self._unstop = folder, frozenset(clients), status, unstop
        self.peers: Peers = {}
        self.app = Starlette(
            routes=[
                Route("/v1/queue", self._acting(self._queue)),
                Route("/v1/messages/{id}", self._acting(self._message)),
                Route("/v1/messages/{id}/preview", self._acting(self._preview)),
                Route("/v1/messages/{id}/{act:str}", self._acting(self._act), methods=["POST"]),
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
            if not actor:
                return JSONResponse({"error": "the header Hudhud-Actor names nobody"}, 400)
            try:
                return JSONResponse(await act(request, actor))
            except Refused as refused:
                return JSONResponse({"error": refused.problem}, refused.status)
            except Down as down:
                return JSONResponse({"error": f"the relay's workers do not answer: {down}"}, 503)

        return route

    async def _queue(self, request: Request, actor: str) -> object:
        asked = {name: request.query_params[name] for name in FILTERS if name in request.query_params}
        limit = _number(asked.get("limit", "100"))
        answers = await ask_all(self._folder, {"act": "list", "actor": actor, **asked, "limit": limit})
        found = [one for answer in answers for one in answer]
        return {"messages": sorted(found, key=lambda one: str(one["received"]), reverse=True)[:limit]}

    async def _message(self, request: Request, actor: str) -> object:
        return await ask_owner(self._folder, {"act": "show", "actor": actor, "id": request.path_params["id"]})

    async def _preview(self, request: Request, actor: str) -> object:
        reason = request.query_params.get("reason", "")
        asked = {"act": "preview", "actor": actor, "id": request.path_params["id"], "reason": reason}
        return await ask_owner(self._folder, asked)

    async def _act(self, request: Request, actor: str) -> object:
        act = request.path_params["act"]
        if act not in ("release", "delete", "hold", "retry"):
            raise Refused(404, f"there is no act {act!r}")
        body = await _body(request)
        asked = {"act": act, "actor": actor, "id": request.path_params["id"]}
        return await ask_owner(self._folder, asked | {k: body[k] for k in ("reason", "recipients") if k in body})

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


def _number(text: str) -> int:
    if not text.isdecimal():
        raise Refused(400, "limit is a number")
    return min(int(text), 10_000)
