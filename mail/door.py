"""A worker's listening sockets: what comes in becomes a session (mail/listener.py); how they open, shut and close."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Collection
from functools import partial
from typing import Final

from mail.dialog import House
from mail.envelope import Listener
from mail.listener import HANDSHAKE_S, Doorway, Session

BACKLOG: Final = 1024


class Door:
    """A worker's listeners. `proxies` (the lab's) may send PROXY protocol, `balancers` must where TLS is not first."""

    def __init__(
        self, house: House, tls: ssl.SSLContext, proxies: Collection[str] = (), balancers: Collection[str] = ()
    ) -> None:
        networks = tuple(ipaddress.ip_network(one, strict=False) for one in balancers)
        self.way = Doorway(house, tls, frozenset(proxies), networks, asyncio.get_running_loop())
        self._servers: list[asyncio.Server] = []

    @property
    def sessions(self) -> set[Session]:
        """Those that are open now."""
        return self.way.sessions

    async def open(self, listener: Listener, listening: socket.socket) -> asyncio.Server:
        """Take connections from a listening socket; on `submissions` TLS comes first (RFC 8314)."""
        implicit = listener == "submissions"
        server = await self.way.loop.create_server(
            partial(Session, self.way, listener),
            sock=listening,
            backlog=BACKLOG,
            ssl=self.way.tls if implicit else None,
            ssl_handshake_timeout=HANDSHAKE_S if implicit else None,
        )
        self._servers.append(server)
        return server

    def shut(self) -> None:
        """Take no more connections; the sessions go on."""
        for server in self._servers:
            server.close()

    async def close(self, patience_s: float) -> None:
        """Take no more connections, let each session finish its command, then cut what is left."""
        self.shut()
        until = self.way.loop.time() + patience_s
        while self.sessions and self.way.loop.time() < until:
            for session in list(self.sessions):
                session.hang_up()
            await asyncio.sleep(0.05)
        for session in list(self.sessions):
            session.abort()
