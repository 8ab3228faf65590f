"""Health, readiness and metrics of the node on an address of their own, in clear, for the machine's own watchers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hudhud.settings import Settings, split_address
from mail.node import metrics
from mail.node.asking import Down

MAX_CONNECTIONS = 20


class Pulse:
    """`status` is the node's (Office.status). Nothing here names a person or a message."""

    def __init__(self, status: Callable[[], Awaitable[Mapping[str, Any]]], settings: Settings) -> None:
        self._status, self._settings = status, settings
        self.app = Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/readyz", self._ready),
                Route("/metrics", self._metrics),
            ]
        )

    def config(self) -> uvicorn.Config:
        """How uvicorn serves it."""
        host, port = split_address(self._settings.relay.observe)
        return uvicorn.Config(
            self.app,
            host=host,
            port=port,
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )

    async def _health(self, request: Request) -> Response:
        """Whether the node works at all: 503 is a reason to start it anew."""
        try:
            await self._status()
        except Down as down:
            return JSONResponse({"healthy": False, "because": [str(down)]}, 503)
        return JSONResponse({"healthy": True})

    async def _ready(self, request: Request) -> Response:
        """Whether it should be sent mail: 503 is a reason to send it elsewhere meanwhile."""
        try:
            because = problems(await self._status(), self._settings)
        except Down as down:
            because = [str(down)]
        return JSONResponse({"ready": not because, "because": because}, 503 if because else 200)

    async def _metrics(self, request: Request) -> Response:
        try:
            status = await self._status()
        except Down:
            status = {}
        text, media_type = await asyncio.to_thread(metrics.exposition, status)
        return Response(text, media_type=media_type)


def problems(status: Mapping[str, Any], settings: Settings) -> list[str]:
    """Why the node should be sent no mail now; [] when it should. Pure."""
    found = [] if status.get("ready") else ["not every worker is ready"]
    octets = status.get("bytes", {})
    if octets.get("free", 0) < settings.spool.min_free_bytes:
        found.append(f"{octets.get('free', 0)} octets of the disk are free, {settings.spool.min_free_bytes} are kept")
    if octets.get("spool", 0) + octets.get("bodies", 0) > settings.spool.max_bytes:
        found.append(f"the spool has more than {settings.spool.max_bytes} octets")
    live = status.get("releases", {})
    found += [f"no {kind} release is live" for kind in ("registry", "policy", "rules") if kind not in live]
    return found
