"""The relay's sockets: each connection is an aiosmtpd session with our dialog on it. The one door to aiosmtpd.

Kept of aiosmtpd: the life of a connection, its writer and its timer. Left, because each was found to be a trap: its
constructor (looks at every member of itself and its handler, each time), its reader and command loop (exceptions become
500 with their text; the end of input cancels what is being stored), MAIL and RCPT (header grammar), DATA (one object a
line), AUTH (synchronous), STARTTLS (private parts of asyncio).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Collection
from typing import Any, Final

from aiosmtpd.smtp import SMTP

from hudhud import log
from mail import meter
from mail.dialog import Dialog, House
from mail.envelope import Listener
from mail.session import proxied
from mail.session.answers import CLOSING, full_house
from mail.session.shown import Shown
from mail.session.wire import Endless, HungUp, TooSlow
from mail.verdict import Reply

UNREAD: Final = 256 * 1024  # octets that we take before they are asked for
UNSENT: Final = 64 * 1024  # octets of replies that a client may leave unread before we wait for it
ENDLESS: Final = 64 * 1024  # octets without a line end that end the session
FAIR: Final = 32  # commands that one client may have answered before others get a turn
POLLS: Final = 2  # rounds of the loop before the greeting, in which what was sent too early is seen
HANDSHAKE_S: Final = 30.0
BACKLOG: Final = 1024

_log = log.get(__name__)


class Session(SMTP):
    """One connection: the Wire of the dialog that runs on it."""

    def __init__(self, door: Door, listener: Listener) -> None:
        self.loop = asyncio.get_running_loop()
        asyncio.StreamReaderProtocol.__init__(
            self, asyncio.StreamReader(loop=self.loop), self._cb_client_connected, self.loop
        )
        self.session = self.envelope = None
        self.transport: Any = None
        self._timeout_handle: Any = None
        self._original_transport = self._tls_protocol = self._handler_coroutine = None
        self._timeout_duration = HANDSHAKE_S
        self.ip, self.port, self.listener = "", 0, listener
        self.tls: str | None = None
        self.shown: Shown | None = None
        self._door = door
        self._counted = ""  # the address that this session counts for
        self._may_proxy = False
        self._input = bytearray()
        self._output = bytearray()
        self._lines = 0
        self._more: asyncio.Future[None] | None = None
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
        if self._output and self.transport is not None:
            self.transport.write(bytes(self._output))
        self._output.clear()

    async def start_tls(self) -> None:
        self._flush()
        self._input.clear()  # RFC 3207 section 4.2, and the injection of commands that it is about
        try:
            secured = await self.loop.start_tls(
                self.transport, self, self._door.tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        except (ssl.SSLError, OSError) as error:
            _log.info("no TLS", ip=self.ip, problem=str(error) or type(error).__name__)
            raise HungUp from None
        if secured is None:
            raise HungUp
        self.transport = self._transport = self._writer._transport = secured
        self._over_ssl = True
        self.tls, self.shown = _version(secured), _shown(secured)

    # the connection

    async def _handle_client(self) -> None:
        transport = self.transport
        peer = transport.get_extra_info("peername") or ("", 0)
        self.ip, self.port = str(peer[0]).partition("%")[0].removeprefix("::ffff:"), int(peer[1])
        self.tls, self.shown = _version(transport), _shown(transport)
        behind = self._door.behind(self.ip) and self.tls is None
        self._may_proxy = behind or (self.ip in self._door.proxies and self.tls is None)
        self._timeout_handle.cancel()
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
            (self.transport or transport).close()  # when what was sent has gone

    def data_received(self, data: bytes) -> None:
        self._input += data
        if len(self._input) > UNREAD and not self._unheard:
            self._unheard = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Half of the connection is closed; what came is still answered, where TLS allows it."""
        self._ended = True
        self._wake()
        return self.tls is None

    def hang_up(self) -> None:
        """Ends the session now if it is between two commands, else before the next one."""
        self.dialog.closing = True
        if self.dialog.idle and self.transport is not None:
            self.send(CLOSING)
            self._flush()
            self.transport.close()

    def _timeout_cb(self) -> None:
        self._late = True
        if self._more is None and self.transport is not None:
            self.transport.abort()  # it does not even read what we send
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def _wait(self, seconds: float) -> None:
        """Until something came. HungUp where nothing can come any more, TooSlow after `seconds`."""
        if self._ended or self.transport is None:
            raise HungUp
        if self._unheard:
            self._unheard = False
            self.transport.resume_reading()
        self._flush()
        self._reset_timeout(max(seconds, 0.001))
        try:
            if self.transport.get_write_buffer_size() > UNSENT:
                await self._writer.drain()
            self._more = self.loop.create_future()
            await self._more
        except ConnectionError:
            raise HungUp from None
        finally:
            self._more = None
            self._timeout_handle.cancel()
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


class Door:
    """A worker's listeners. `proxies` (the lab's) may send PROXY protocol, `balancers` must where TLS is not first."""

    def __init__(
        self, house: House, tls: ssl.SSLContext, proxies: Collection[str] = (), balancers: Collection[str] = ()
    ) -> None:
        self.house, self.tls, self.proxies = house, tls, frozenset(proxies)
        self._balancers = tuple(ipaddress.ip_network(one, strict=False) for one in balancers)
        self.sessions: set[Session] = set()
        self._servers: list[asyncio.Server] = []

    def behind(self, ip: str) -> bool:
        """Whether a balancer speaks from there."""
        return any(ipaddress.ip_address(ip) in network for network in self._balancers) if self._balancers else False

    async def open(self, listener: Listener, listening: socket.socket) -> asyncio.Server:
        """Take connections from a listening socket; on `submissions` TLS comes first (RFC 8314)."""
        implicit = listener == "submissions"
        server = await asyncio.get_running_loop().create_server(
            lambda: Session(self, listener),
            sock=listening,
            backlog=BACKLOG,
            ssl=self.tls if implicit else None,
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
        until = asyncio.get_running_loop().time() + patience_s
        while self.sessions and asyncio.get_running_loop().time() < until:
            for session in list(self.sessions):
                session.hang_up()
            await asyncio.sleep(0.05)
        for session in list(self.sessions):
            if session.transport is not None:
                session.transport.abort()


def _version(transport: asyncio.BaseTransport) -> str | None:
    secured = transport.get_extra_info("ssl_object")
    return secured.version() if secured is not None else None


def _shown(transport: asyncio.BaseTransport) -> Shown | None:
    """The certificate that the client has shown, where the listener's context asked for one."""
    return getattr(transport.get_extra_info("ssl_object"), "shown", None)
