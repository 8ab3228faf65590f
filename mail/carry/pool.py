"""Connections to next hops, opened, greeted, secured as it must be, and kept a while for the next message."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping

from hudhud import log
from hudhud.clock import SYSTEM, Clock
from hudhud.settings import Delivery as Limits
from mail.carry import assurance
from mail.carry.assurance import Need
from mail.carry.connection import Connection, Features, Lost, open_connection
from mail.route import Hop, Target

TLS_WAIT = 30.0  # seconds for a handshake
PLAIN_SECONDS = 3600.0  # how long a host whose TLS failed is spoken to in the clear where that may be
MAX_NOTED = 10_000  # addresses of which something is remembered

_log = log.get(__name__)


class NotSecure(Lost):
    """It answers, but not as securely as it must."""


class Pool:
    """Idle connections by next hop and address. `features` is what each next hop offered last, by Hop.key."""

    def __init__(
        self,
        limits: Limits,
        helo: str,
        tls: Mapping[str, ssl.SSLContext],
        dial: Callable[[str, int], tuple[str, int]],
        clock: Clock = SYSTEM,
        *,
        learned: Callable[[Hop, Features], None] = lambda hop, features: None,
    ) -> None:
        self._learned = learned
        self._limits, self._tls, self._dial, self._clock = limits, tls, dial, clock
        self._helo = helo.encode("ascii")
        self._idle: dict[tuple[str, Target], list[Connection]] = {}
        self._plain: dict[tuple[str, int], float] = {}  # until when
        self._silent: dict[tuple[str, int], float] = {}  # addresses that did not answer, until when they come last
        self.features: dict[str, Features] = {}

    async def take(self, hop: Hop, target: Target, *, fresh: bool = False, requiretls: bool = False) -> Connection:
        """A connection that is ready for MAIL: the one used last, else (or if `fresh`) a new one. Lost for none."""
        wanted = assurance.need(hop, target, requiretls=requiretls)
        waiting = self._idle.get((hop.key, target), [])
        for place in range(len(waiting) - 1, -1, -1) if not fresh else ():
            line = waiting[place]
            if line.proven or wanted not in ("verify", "dane"):
                del waiting[place]
                if line.idle is not None:
                    line.idle.cancel()
                    line.idle = None
                if not line.lost:
                    return line
        try:
            line = await self._open(hop, target, wanted)
        except NotSecure:
            raise
        except Lost:
            self._note(self._silent, target, self._limits.unreachable_s)
            raise
        self._silent.pop((target.address, target.port), None)
        self.features[hop.key] = line.features
        self._learned(hop, line.features)
        return line

    def idle(self, hop: Hop, target: Target) -> bool:
        """Whether a connection waits to be used."""
        return bool(self._idle.get((hop.key, target)))

    def silent(self, target: Target) -> bool:
        """Whether the address did not answer a moment ago."""
        return self._silent.get((target.address, target.port), 0.0) > self._clock.monotonic()

    def _note(self, memory: dict[tuple[str, int], float], target: Target, seconds: float) -> None:
        if len(memory) >= MAX_NOTED:
            memory.clear()
        memory[target.address, target.port] = self._clock.monotonic() + seconds

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

    async def _open(self, hop: Hop, target: Target, wanted: Need) -> Connection:
        host, port = self._dial(target.address, target.port)
        limits = self._limits
        line = await open_connection(
            host, port, within=limits.connect_timeout_s, max_reply_bytes=limits.max_reply_bytes
        )
        try:
            await self._greet(line, hop)
            if wanted != "none" and not self._spoken_plain(target, wanted):
                await self._secure(line, hop, target, wanted)
        except asyncio.CancelledError:
            line.abort("we stopped")
            raise
        except NotSecure as failed:
            line.abort(str(failed))
            if wanted != "may":
                raise
            _log.warning("TLS failed, going on in the clear as it may be", hop=hop.name, problem=str(failed))
            self._note(self._plain, target, PLAIN_SECONDS)
            return await self._open(hop, target, "none")
        except Lost:
            line.quit()
            raise
        return line

    def _spoken_plain(self, target: Target, wanted: Need) -> bool:
        return wanted == "may" and self._plain.get((target.address, target.port), 0.0) > self._clock.monotonic()

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

    async def _secure(self, line: Connection, hop: Hop, target: Target, wanted: Need) -> None:
        if wanted == "dane" and not target.tlsa:
            raise NotSecure("it has no TLSA record that was validated and can be used, which is asked for")
        context = self._tls.get("verify" if wanted == "verify" else "may")
        if context is None or not line.features.starttls:
            if wanted != "may":
                raise NotSecure("it offers no STARTTLS, which is asked for")
            return
        answer = await line.ask(b"STARTTLS\r\n", self._limits.reply_timeout_s)
        if answer.code != 220:
            raise NotSecure(f"it refused STARTTLS: {answer.text}")
        try:
            await line.secure(context, target.host, TLS_WAIT)
        except Lost as lost:
            raise NotSecure(str(lost)) from None
        if problem := assurance.objection(line, hop, target, wanted, self._clock.now()):
            raise NotSecure(problem)
        line.proven = wanted in ("verify", "dane")
        await self._hello(line, hop)


def tls_contexts(ca: str | None = None) -> Mapping[str, ssl.SSLContext]:
    """The contexts for `may` and `verify`; `ca` is the file of the authorities for `verify`, None the system's."""
    verify = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    verify.check_hostname = False  # more than one name may be right: mail/carry/assurance.py looks at them
    verify.minimum_version = ssl.TLSVersion.TLSv1_2
    may = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    may.check_hostname = False  # RFC 7435: unauthenticated TLS is better than none where nobody asks for more
    may.verify_mode = ssl.CERT_NONE
    return {"may": may, "verify": verify}
