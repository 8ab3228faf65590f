"""Serves an application over HTTPS where a client may show a certificate, and knows the name on it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from hudhud import tls
from hudhud.settings import Settings, split_address

MAX_CONNECTIONS: Final = 200
STOP_S: Final = 5  # seconds that requests may still run after a stop

Peers = dict[tuple[str, int], str]
"""The address of each open connection, and the name on its client's certificate."""


class Server(uvicorn.Server):
    """Signals are the program's own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server(app: Starlette, listen: str, settings: Settings, program: str, peers: Peers) -> Server:
    """A server for `app` on `listen` with the certificate of `program`; a certificate of the house is asked for, not
    demanded: a source may bring a token."""
    host, port = split_address(listen)
    folder = settings.path("tls")

    def context(_config: object, _default: object) -> ssl.SSLContext:
        made = tls.server_context(folder / f"{program}.pem", folder / f"{program}.key", client_ca=folder / "ca.pem")
        made.verify_mode = ssl.CERT_OPTIONAL
        return made

    return Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            ssl_context_factory=context,
            http=named_protocol(peers),
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_S,
        )
    )


def named_protocol(peers: Peers) -> type[asyncio.Protocol]:
    """uvicorn's protocol, which notes the name on a client's certificate for as long as the connection lives."""

    class Named(H11Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            super().connection_made(transport)
            secured = transport.get_extra_info("ssl_object")
            if self.client is not None and secured is not None:
                peers[self.client] = tls.peer_name(secured)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                peers.pop(self.client, None)
            super().connection_lost(exc)

    return Named
