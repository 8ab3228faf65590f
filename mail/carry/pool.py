"""Connections to next hops, opened, greeted, secured as the registry asks, and kept a while for the next message."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping

from hudhud import log
from hudhud.settings import Delivery as Limits
from mail.carry.connection import Connection, Features, Lost, open_connection
from mail.route import Hop, Target

TLS_WAIT = 30.0  # seconds for a handshake

_log = log.get(__name__)


class Pool:
    """Idle connections by next hop and address. `features` is what each next hop offered last, by Hop.key."""

    def __init__(
        self,
        limits: Limits,
        helo: str,
        tls: Mapping[str, ssl.SSLContext],
        dial: Callable[[str, int], tuple[str, int]],
    ) -> None:
        self._limits, self._tls, self._dial = limits, tls, dial
        self._helo = helo.encode("ascii")
        self._idle: dict[tuple[str, Target], list[Connection]] = {}
        self.features: dict[str, Features] = {}

    async def take(self, hop: Hop, target: Target, *, fresh: bool = False) -> Connection:
        """A connection that is ready for MAIL: the one used last, else (or if `fresh`) a new one. Lost for none."""
        waiting = self._idle.get((hop.key, target), [])
        while waiting and not fresh:
            line = waiting.pop()
            if line.idle is not None:
                line.idle.cancel()
                line.idle = None
            if not line.lost:
                return line
        line = await self._open(hop, target, secure=hop.tls != "none")
        self.features[hop.key] = line.features
        return line

    def give_back(self, hop: Hop, target: Target, line: Connection) -> None:
        """Keep it for the next message, or end it where it has served enough."""
        waiting = self._idle.setdefault((hop.key, target), [])
        full = len(waiting) >= self._limits.max_connections_per_hop
        if line.lost or full or line.messages >= self._limits.messages_per_connection:
            self._end(line)
            return
        line.idle = asyncio.get_running_loop().call_later(self._limits.idle_s, self._expire, hop.key, target, line)
        waiting.append(line)

    async def close(self) -> None:
        """End every idle connection."""
        lines = [line for waiting in self._idle.values() for line in waiting]
        self._idle.clear()
        for line in lines:
            self._end(line)
        for _ in range(20):  # let the QUITs go out and be answered; a next hop that is silent is not waited for
            if all(line.closed for line in lines):
                return
            await asyncio.sleep(0.01)
        for line in lines:
            line.abort("we stopped")

    def _expire(self, key: str, target: Target, line: Connection) -> None:
        waiting = self._idle.get((key, target), [])
        if line in waiting:
            waiting.remove(line)
        if not waiting:
            self._idle.pop((key, target), None)
        self._end(line)

    @staticmethod
    def _end(line: Connection) -> None:
        if line.idle is not None:
            line.idle.cancel()
        line.quit()

    async def _open(self, hop: Hop, target: Target, *, secure: bool) -> Connection:
        host, port = self._dial(target.address, target.port)
        limits = self._limits
        line = await open_connection(
            host, port, within=limits.connect_timeout_s, max_reply_bytes=limits.max_reply_bytes
        )
        try:
            await self._greet(line, hop)
            if secure:
                await self._secure(line, hop, target)
        except asyncio.CancelledError:
            line.abort("we stopped")
            raise
        except _TLSFailed as failed:
            line.abort(str(failed))
            if hop.tls == "verify":
                raise Lost(str(failed)) from None
            _log.warning("TLS failed, going on in the clear as the registry allows", hop=hop.key, problem=str(failed))
            return await self._open(hop, target, secure=False)
        except Lost:
            line.quit()
            raise
        return line

    async def _greet(self, line: Connection, hop: Hop) -> None:
        greeting = await line.answer(self._limits.reply_timeout_s)
        if not greeting.good:
            raise Lost(f"it greeted with {greeting.text}")
        await self._hello(line, hop)

    async def _hello(self, line: Connection, hop: Hop) -> None:
        wait, verb = self._limits.reply_timeout_s, b"LHLO" if hop.protocol == "lmtp" else b"EHLO"
        answer = await line.ask(verb + b" " + self._helo + b"\r\n", wait)
        if not answer.good and hop.protocol == "smtp" and answer.code >= 500:
            answer = await line.ask(b"HELO " + self._helo + b"\r\n", wait)
        if not answer.good:
            raise Lost(f"it refused our greeting: {answer.text}")
        line.features = Features.read(answer.lines)

    async def _secure(self, line: Connection, hop: Hop, target: Target) -> None:
        context = self._tls.get(hop.tls)
        if context is None or not line.features.starttls:
            if hop.tls == "verify":
                raise _TLSFailed("it offers no STARTTLS, which the registry asks for")
            return
        answer = await line.ask(b"STARTTLS\r\n", self._limits.reply_timeout_s)
        if answer.code != 220:
            raise _TLSFailed(f"it refused STARTTLS: {answer.text}")
        try:
            await line.secure(context, target.host, TLS_WAIT)
        except Lost as lost:
            raise _TLSFailed(str(lost)) from None
        await self._hello(line, hop)


class _TLSFailed(Exception):  # noqa: N818 - what the world did, like Lost
    """The next hop cannot do TLS as it should."""


def tls_contexts(ca: str | None = None) -> Mapping[str, ssl.SSLContext]:
    """The contexts for `may` and `verify`; `ca` is the file of the authorities for `verify`, None the system's."""
    verify = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    verify.minimum_version = ssl.TLSVersion.TLSv1_2
    may = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    may.check_hostname = False  # RFC 7435: unauthenticated TLS is better than none where the registry asks no more
    may.verify_mode = ssl.CERT_NONE
    return {"may": may, "verify": verify}
