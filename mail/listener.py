"""One connection: an aiosmtpd session with our dialog on it, whose Wire it is. The one door to aiosmtpd.

Each step of aiosmtpd's session was found to be a trap or to cost more than the rest of a message, and is overridden
here (docs/adr/0007): its constructor, reader, command loop, STARTTLS and time-outs. Replies leave together when more
input is waited for; one timer serves all the waits of a session.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import Final, cast

from aiosmtpd.smtp import SMTP

from hudhud import log
from hudhud.prefix import Prefix
from mail import meter
from mail.dialog import Dialog, House
from mail.envelope import Listener
from mail.session import proxied
from mail.session.answers import CLOSING, full_house
from mail.session.shown import Shown, shown_by, version_of
from mail.session.wire import Endless, HungUp, TooSlow
from mail.verdict import Reply

UNREAD: Final = 256 * 1024  # octets that we take before they are asked for
UNSENT: Final = 64 * 1024  # octets of replies that a client may leave unread before we wait for it
ENDLESS: Final = 64 * 1024  # octets without a line end that end the session
FAIR: Final = 32  # commands that one client may have answered before others get a turn
POLLS: Final = 2  # rounds of the loop before the greeting, in which what was sent too early is seen
HANDSHAKE_S: Final = 30.0

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Doorway:
    """What all sessions of a worker share. `proxies` (the lab's) may send PROXY protocol, `balancers` must."""

    house: House
    tls: ssl.SSLContext
    proxies: frozenset[str]
    balancers: tuple[Prefix, ...]
    loop: asyncio.AbstractEventLoop
    sessions: set[Session] = field(default_factory=set)

    def behind(self, ip: str) -> bool:
        """Whether a balancer speaks from there."""
        return bool(self.balancers) and any(ipaddress.ip_address(ip) in network for network in self.balancers)


class Session(SMTP):
    """One connection. aiosmtpd's constructor looks at every member of itself, each time: it is not called."""

    def __init__(self, door: Doorway, listener: Listener) -> None:
        self.loop = door.loop
        self.ip, self.port, self.listener = "", 0, listener
        self.tls: str | None = None
        self.shown: Shown | None = None
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._counted = ""  # the address that this session counts for
        self._may_proxy = False
        self._input = bytearray()
        self._output = bytearray()
        self._lines = 0
        self._more: asyncio.Future[None] | None = None  # somebody waits for input
        self._taken: asyncio.Future[None] | None = None  # the client does not take what we send
        self._timer: asyncio.TimerHandle | None = None
        self._rings = self._until = 0.0  # when the timer rings; when a wait is over (loop's clock; 0: nobody waits)
        self._ended = self._unheard = self._late = False
        self.dialog = Dialog(self, door.house)

    # what the dialog asks of its Wire

    async def line(self, limit: int, seconds: float) -> bytes | None:
        self._lines += 1
        if self._lines % FAIR == 0:
            await asyncio.sleep(0)
        until = self.loop.time() + seconds
        if self._may_proxy:
            await self._proxied(until)
        seen = 0
        while (end := self._input.find(b"\n", seen)) < 0:
            seen = len(self._input)
            if seen > ENDLESS:
                raise Endless
            await self._wait(until - self.loop.time())
        line = bytes(self._input[:end])
        del self._input[: end + 1]
        if len(line) > limit or line[-1:] != b"\r" or b"\r" in line[:-1] or b"\0" in line:
            return None
        return line[:-1]

    async def chunk(self, seconds: float) -> bytes:
        if not self._input:
            await self._wait(seconds)
        chunk, self._input = bytes(self._input), bytearray()
        return chunk

    def unread(self, data: bytes) -> None:
        self._input[:0] = data

    def waiting(self) -> bool:
        if self._may_proxy and self._input:
            try:
                self._take(proxied.read(bytes(self._input)))
            except proxied.Wanting:
                return False
        return bool(self._input)

    def send(self, *lines: Reply | str) -> None:
        for line in lines:
            text = line if isinstance(line, str) else line.line()
            self._output += text.encode("ascii", "replace") + b"\r\n"
        if len(self._output) > UNSENT:
            self._flush()

    def _flush(self) -> None:
        """Replies to what was pipelined go out together, when more is waited for (RFC 2920 section 3.2)."""
        if self._output:
            if self._transport is not None:
                self._transport.write(bytes(self._output))
            self._output.clear()

    async def start_tls(self) -> None:
        self._flush()
        if self._transport is None:
            raise HungUp
        self._input.clear()  # RFC 3207 section 4.2, and the injection of commands that it is about
        try:
            secured = await self.loop.start_tls(
                self._transport, self, self._door.tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        except (ssl.SSLError, OSError) as error:
            _log.info("no TLS", ip=self.ip, problem=str(error) or type(error).__name__)
            raise HungUp from None
        if secured is None:
            raise HungUp
        self._transport = secured
        self.tls, self.shown = version_of(secured), shown_by(secured)

    # the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        self.ip, self.port = str(peer[0]).partition("%")[0].removeprefix("::ffff:"), int(peer[1])
        self.tls, self.shown = version_of(transport), shown_by(transport)
        self._task = self.loop.create_task(self._run())

    def connection_lost(self, error: Exception | None) -> None:
        """What is being stored is stored all the same; the next read ends the session."""
        self._ended, self._transport = True, None
        self._resume()
        self._wake()

    async def _run(self) -> None:
        behind = self.tls is None and self._door.behind(self.ip)
        self._may_proxy = behind or (self.tls is None and self.ip in self._door.proxies)
        self._door.sessions.add(self)
        try:
            if behind:  # a balancer says who it speaks for, or is not spoken to
                await self._proxied(self.loop.time() + HANDSHAKE_S, must=True)
            if not self._counted:
                self._enter(self.ip)
            meter.count(meter.SESSIONS, self.listener)
            for _ in range(POLLS):
                await asyncio.sleep(0)
            await self.dialog.run()
        except HungUp:
            pass
        except Exception:
            _log.exception("a session failed", ip=self.ip)
        finally:
            self._door.sessions.discard(self)
            self._leave()
            self._flush()
            if self._timer is not None:
                self._timer.cancel()
            if self._transport is not None:
                self._transport.close()  # when what was sent has gone

    def data_received(self, data: bytes) -> None:
        self._input += data
        if len(self._input) > UNREAD and not self._unheard and self._transport is not None:
            self._unheard = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Half of the connection is closed; what came is still answered, where TLS allows it."""
        self._ended = True
        self._wake()
        return self.tls is None

    def hang_up(self) -> None:
        """Ends the session now if it is between two commands, else before the next one."""
        self.dialog.closing = True
        if self.dialog.idle and self._transport is not None:
            self.send(CLOSING)
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Cuts the connection."""
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._taken = self.loop.create_future()

    def resume_writing(self) -> None:
        self._resume()

    def _resume(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)
        self._taken = None

    def _tick(self) -> None:
        """The time that some wait had is over; if it is another wait by now, its time may not be."""
        self._timer = None
        if not self._until:
            return
        if (rest := self._until - self.loop.time()) > 0:
            self._rings = self._until
            self._timer = self.loop.call_later(rest, self._tick)
            return
        self._late = True
        if self._more is None:
            self.abort()  # it does not even read what we send
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def _wait(self, seconds: float) -> None:
        """Until something came. HungUp where nothing can come any more, TooSlow after `seconds`."""
        transport = self._transport
        if self._ended or transport is None:
            raise HungUp
        if self._unheard:
            self._unheard = False
            transport.resume_reading()
        self._flush()
        self._until = self.loop.time() + max(seconds, 0.001)
        if self._timer is not None and self._rings > self._until:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._rings = self._until
            self._timer = self.loop.call_later(max(seconds, 0.001), self._tick)
        try:
            if self._taken is not None:
                await self._taken
            if not self._late and not self._ended:
                self._more = self.loop.create_future()
                await self._more
        finally:
            self._more, self._until = None, 0.0
        if self._late:
            raise TooSlow
        if self._ended and not self._input:
            raise HungUp

    async def _proxied(self, until: float, *, must: bool = False) -> None:
        """PROXY protocol before anything else; HungUp where it must come and does not."""
        while True:
            try:
                found = proxied.read(bytes(self._input))
                break
            except proxied.Wanting:
                await self._wait(until - self.loop.time())
        if must and found is None:
            _log.warning("a balancer did not say who it speaks for", ip=self.ip)
            raise HungUp
        self._take(found)

    def _take(self, found: proxied.Header | None) -> None:
        self._may_proxy = False
        if found is None:
            return
        del self._input[: found.length]
        if found.ip:
            self.ip, self.port = found.ip.removeprefix("::ffff:"), found.port
            self._leave()
            self._enter(self.ip)

    def _enter(self, ip: str) -> None:
        if hit := self._door.house.limits.enter(ip):
            self.send(full_house(hit))
            raise HungUp
        self._counted = ip

    def _leave(self) -> None:
        counted, self._counted = self._counted, ""
        if counted:
            self._door.house.limits.leave(counted)
