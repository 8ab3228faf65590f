"""How a worker makes room for the next one: no new connections, every session to its own end, its sockets covered.

A session is never cut inside a message. One that only rests is told 421 after a while (RFC 5321 section 3.8), so that
a client which keeps its connection for later does not hold up the worker's end.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from typing import Final

from hudhud import log
from mail.door import Door
from mail.envelope import Listener
from mail.listener import Session

LOOK_S: Final = 0.5  # seconds between looks at the sessions
REST_S: Final = 5.0  # seconds that a session may rest between two messages while its worker wants to end

Other = tuple[int, Listener, int]  # worker, listener, file descriptor

_log = log.get(__name__)


async def drain(door: Door, seconds: float, stop: Callable[[], bool]) -> None:
    """Until no session is left, `stop` says so, or `seconds` have passed."""
    door.shut()
    loop = asyncio.get_running_loop()
    until, resting = loop.time() + seconds, dict[Session, tuple[int, float]]()
    while door.sessions and loop.time() < until and not stop():
        for session in list(door.sessions):
            dialog = session.dialog
            if not dialog.resting:
                resting.pop(session, None)
            elif session not in resting or resting[session][0] != dialog.heard:
                resting[session] = dialog.heard, loop.time()
            elif loop.time() - resting[session][1] >= REST_S:
                session.hang_up()
        await asyncio.sleep(LOOK_S if door.sessions else 0)
    if door.sessions:
        _log.warning("sessions are cut: they did not end in time", sessions=len(door.sessions))


class Covers:
    """Takes connections from the sockets of another worker while that one is replaced."""

    def __init__(self, door: Door, others: Iterable[Other]) -> None:
        self._door, self._others = door, tuple(others)
        self._servers: dict[int, list[asyncio.Server]] = {}

    async def cover(self, number: int) -> None:
        """From now on; the supervisor keeps the sockets open, ours are copies."""
        if number in self._servers:
            return
        self._servers[number] = []
        for worker, listener, descriptor in self._others:
            if worker == number:
                copy = socket.socket(fileno=os.dup(descriptor))
                self._servers[number].append(await self._door.open(listener, copy))

    def leave(self, number: int) -> None:
        """Its own worker is back; the sessions that came meanwhile stay here."""
        for server in self._servers.pop(number, ()):
            server.close()
