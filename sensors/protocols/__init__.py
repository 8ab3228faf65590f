"""Protocols: which parser takes a conversation. Order is a table: a new protocol is a file and a line here.

A TCP flow begins with `Fresh`; its first bytes, not its port, choose the parser. UDP is chosen by port and first
datagram.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from sensors.flow import Flow, Half, Parser
from sensors.observation import Tell
from sensors.protocols import dhcp, dns, http, imap, pop3, quic, smtp, ssh, tls

MAX_UNDECIDED_BYTES = 4096  # per direction; a conversation that begins with more of nothing known is left

Make = Callable[[Flow, Tell], Parser]
SMTP_PORTS = frozenset((25, 465, 587, 2525, 10025, 10026))
_HTTP_REQUEST = re.compile(rb"[A-Za-z][A-Za-z_-]{1,30} [^\r\n]{1,8000} HTTP/[0-9]", re.DOTALL)
_HTTP_START = re.compile(rb"(?:GET|POST|HEAD|PUT|OPTIONS|CONNECT|DELETE|PATCH|TRACE|PROPFIND|REPORT) ")
_SMTP_COMMAND = re.compile(rb"(?:EHLO|HELO|LHLO|MAIL FROM:)", re.IGNORECASE)
_SMTP_BANNER = re.compile(rb"220[ -][^\r\n]*(?:SMTP|LMTP|Postfix|Exim|Sendmail|Exchange)", re.IGNORECASE)


def _is_tls(client: bytes, server: bytes, port: int) -> bool:
    return tls.begins(client) or tls.begins(server)


def _is_http(client: bytes, server: bytes, port: int) -> bool:
    return bool(_HTTP_START.match(client) or server[:7] == b"HTTP/1." or _HTTP_REQUEST.match(client))


def _is_smtp(client: bytes, server: bytes, port: int) -> bool:
    if server[:3] == b"220" and (port in SMTP_PORTS or _SMTP_BANNER.match(server)):
        return True
    return bool(_SMTP_COMMAND.match(client))


def _is_ssh(client: bytes, server: bytes, port: int) -> bool:
    return client[:4] == b"SSH-" or server[:4] == b"SSH-"


def _is_pop3(client: bytes, server: bytes, port: int) -> bool:
    return server[:3] == b"+OK" or (port == 110 and client[:5].upper() in (b"USER ", b"CAPA\r", b"APOP ", b"AUTH "))


def _is_imap(client: bytes, server: bytes, port: int) -> bool:
    return server[:5] in (b"* OK ", b"* PRE", b"* BYE") or (port == 143 and imap.begins(client))


def _is_dns(client: bytes, server: bytes, port: int) -> bool:
    return dns.begins_tcp(client, port) or dns.begins_tcp(server, port)


TCP_PROTOCOLS: tuple[tuple[Callable[[bytes, bytes, int], bool], Make], ...] = (
    (_is_tls, tls.Tls),
    (_is_http, http.Http),
    (_is_smtp, smtp.Smtp),
    (_is_ssh, ssh.Ssh),
    (_is_pop3, pop3.Pop3),
    (_is_imap, imap.Imap),
    (_is_dns, dns.DnsStream),
)


class Fresh:
    """The parser that all new TCP flows share: the first bytes get one of their own."""

    name = ""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def feed(self, half: Half, data: bytes, time: float) -> None:
        flow = half.flow
        undecided = Undecided(flow, self._tell)
        flow.parser = undecided
        undecided.feed(half, data, time)

    def gap(self, half: Half, size: int, time: float) -> bool:
        return True

    def finish(self, time: float) -> None:
        """Nothing came."""


class Undecided:
    """Keeps the first bytes until a protocol is recognised, then hands them on in order.

    A TLS hello is recognised later, too: XMPP, LDAP, RDP and databases change to TLS after words of their own.
    """

    name = ""

    def __init__(self, flow: Flow, tell: Tell) -> None:
        self._flow, self._tell = flow, tell
        self._kept: list[tuple[Half, bytes, float]] = []
        self._first: dict[bool, bytes] = {True: b"", False: b""}

    def feed(self, half: Half, data: bytes, time: float) -> None:
        if self._kept and data[0] == 22 and tls.begins(data):
            self._kept = []
            self._first = {True: b"", False: b""}
        self._kept.append((half, data, time))
        first = self._first
        first[half.client] += data
        port = self._flow.ports[1]
        for fits, make in TCP_PROTOCOLS:
            if fits(first[True], first[False], port):
                self._hand_over(make(self._flow, self._tell))
                return
        if len(first[half.client]) > MAX_UNDECIDED_BYTES:
            self._flow.parser = None

    def _hand_over(self, parser: Parser) -> None:
        flow = self._flow
        flow.parser, flow.name = parser, parser.name
        for half, data, time in self._kept:
            if flow.parser is None:
                return
            flow.parser.feed(half, data, time)

    def gap(self, half: Half, size: int, time: float) -> bool:
        return True

    def finish(self, time: float) -> None:
        """Nothing was recognised."""


def tunnel_within(flow: Flow, tell: Tell) -> None:
    """The conversation begins anew inside itself: STARTTLS, CONNECT."""
    flow.parser = Undecided(flow, tell)


class Datagrams:
    """Chooses the parser of a new UDP flow."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._dns = dns.Dns(tell)
        self._dhcp = dhcp.Dhcp(tell)

    def __call__(self, flow: Flow, source: int, target: int, data: bytes) -> Parser | None:
        if target in dns.PORTS or source in dns.PORTS:
            flow.name = "dns"
            return self._dns
        if target in dhcp.PORTS and source in dhcp.PORTS:
            flow.name = "dhcp"
            return self._dhcp
        if quic.begins(data, web=443 in (source, target)):
            flow.name = "quic"
            return quic.Quic(flow, self._tell)
        if dns.begins_udp(data):
            flow.name = "dns"
            return self._dns
        return None


def u16(data: bytes, at: int) -> int:
    """Two bytes, big end first."""
    return int(struct.unpack_from(">H", data, at)[0])
