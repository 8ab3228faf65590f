"""HTTP/1: one observation a request, with its answer's status where that was seen (RFC 9110, 9112). Bodies are
skipped.
"""

from __future__ import annotations

import re
from collections import deque

from hudhud.event import Value
from sensors.flow import Flow, Half
from sensors.observation import Observation, Tell
from sensors.protocols.lines import login_fields, plain_user_basic, text

MAX_HEADER_BYTES = 32 * 1024
MAX_WAITING = 1000  # requests without their answers, of one conversation
MAX_PATH_BYTES = 2048
_REQUEST = re.compile(rb"([!-~]{1,32})[ \t]+(.*?)(?:[ \t]+HTTP/(\d(?:\.\d)?)[ \t]*)?\Z", re.DOTALL)
_STATUS = re.compile(rb"HTTP/(\d(?:\.\d)?)[ \t]+(\d{3})")
_ABSOLUTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#]*)(.*)", re.DOTALL)
_WHOLE_LINE = re.compile(rb"[A-Z]{3,10} /?[!-~]* ?(?:HTTP/\d\.\d)?\r?(?:\n|\Z)")
_FOREVER = 1 << 62


class _Side:
    """How far one direction is: in a header, or in a body whose end is known, chunked or the conversation's."""

    __slots__ = ("buffer", "chunked")

    def __init__(self) -> None:
        self.buffer = b""
        self.chunked = False

    def header(self) -> bytes | None:
        """The next header section; empty lines before it are left out (RFC 9112 section 2.2)."""
        data = self.buffer.lstrip(b"\r\n")
        long = data.find(b"\r\n\r\n")
        short = data.find(b"\n\n")
        if long < 0 and short < 0:
            self.buffer = data
            return None
        if long >= 0 and (short < 0 or long < short):
            found, self.buffer = data[:long], data[long + 4 :]
        else:
            found, self.buffer = data[:short], data[short + 2 :]
        return found

    def skip(self, half: Half, size: int) -> None:
        """Leave `size` bytes out, those in the buffer first."""
        used = min(size, len(self.buffer))
        self.buffer = self.buffer[used:]
        half.skip = size - used

    def chunk(self, half: Half) -> bool:
        """Step over one chunk; False where its size line is not here yet or is none."""
        at = self.buffer.find(b"\n")
        if at < 0:
            return False
        line, self.buffer = self.buffer[:at], self.buffer[at + 1 :]
        try:
            size = int(line.split(b";")[0].strip() or b"0", 16)
        except ValueError:
            self.chunked = False
            return True
        if size <= 0:
            self.chunked = False  # the trailer, or its empty line, is skipped as lines before a header
            return True
        self.skip(half, size + 2)
        return True


class Http:
    """Both directions of one conversation."""

    name = "http"

    def __init__(self, flow: Flow, tell: Tell) -> None:
        self._flow, self._tell = flow, tell
        self._sides = {True: _Side(), False: _Side()}
        self._waiting: deque[tuple[float, dict[str, Value]]] = deque()
        self._count = 0

    def feed(self, half: Half, data: bytes, time: float) -> None:
        side = self._sides[half.client]
        side.buffer += data
        while side.buffer and not half.skip:
            if side.chunked:
                if not side.chunk(half):
                    break
                continue
            found = side.header()
            if found is None:
                if len(side.buffer) > MAX_HEADER_BYTES:
                    self._end(time)
                break
            half.inspected = 0
            if not (self._request if half.client else self._response)(half, side, found, time):
                if self._flow.parser is self:
                    self._end(time)
                break
            if self._flow.parser is not self:
                break

    def _request(self, half: Half, side: _Side, section: bytes, time: float) -> bool:
        line, _, rest = section.partition(b"\n")
        match = _REQUEST.match(line.rstrip(b"\r"))
        if match is None or (match[3] is None and self._count == 0 and not match[2]):
            return False
        if line.startswith(b"PRI * HTTP/2"):
            self._flow.name = "http2"
            return False
        headers = _headers(rest)
        method = text(match[1], 32)
        fields: dict[str, Value] = {"network.protocol": "http", "http.request.method": method}
        if match[3]:
            fields["http.version"] = match[3].decode()
        _target(fields, method, text(match[2], MAX_PATH_BYTES), text(headers.get(b"host", b""), 256))
        if b"user-agent" in headers:
            fields["user_agent.original"] = text(headers[b"user-agent"])
        if b"content-type" in headers:
            fields["http.request.mime_type"] = _mime(headers[b"content-type"])
        scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"basic":
            fields.update(login_fields(plain_user_basic(credentials), "basic", clear=True))
        self._count += 1
        self._waiting.append((time, fields))
        if len(self._waiting) > MAX_WAITING:
            self._tell_first({})
        self._body(half, side, headers, has_body=False)
        return True

    def _response(self, half: Half, side: _Side, section: bytes, time: float) -> bool:
        line, _, rest = section.partition(b"\n")
        match = _STATUS.match(line)
        if match is None:
            return False
        status = int(match[2])
        if 100 <= status < 200 and status != 101:
            return True
        headers = _headers(rest)
        answer: dict[str, Value] = {"http.response.status_code": status}
        if b"content-type" in headers:
            answer["http.response.mime_type"] = _mime(headers[b"content-type"])
        method = str(self._waiting[0][1]["http.request.method"]) if self._waiting else ""
        if not self._waiting and not self._count:
            answer["network.protocol"] = "http"
            self._tell(Observation("http", time, self._flow, answer))
        self._tell_first(answer)
        if status == 101 or (method == "CONNECT" and 200 <= status < 300):
            self._upgrade(side.buffer, half, time)
            return True
        if method == "HEAD" or status in (204, 304):
            return True
        self._body(half, side, headers, has_body=True)
        return True

    def _body(self, half: Half, side: _Side, headers: dict[bytes, bytes], has_body: bool) -> None:
        """Step over the body. A length that is no number counts as none; a response without one lasts to the end."""
        if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            side.chunked = True
            return
        length = headers.get(b"content-length", b"").strip()
        if length.isdigit() and len(length) < 19:
            side.skip(half, int(length))
        elif has_body and not length:
            side.skip(half, _FOREVER)

    def _upgrade(self, left: bytes, half: Half, time: float) -> None:
        from sensors.protocols import tunnel_within

        self._end(time)
        tunnel_within(self._flow, self._tell)
        if left and self._flow.parser is not None:
            self._flow.parser.feed(half, left, time)

    def _tell_first(self, answer: dict[str, Value]) -> None:
        if self._waiting:
            time, fields = self._waiting.popleft()
            fields.update(answer)
            self._tell(Observation("http", time, self._flow, fields))

    def gap(self, half: Half, size: int, time: float) -> bool:
        """Inside a body nothing is lost; elsewhere this direction is read no more."""
        if half.skip == 0:
            self._sides[half.client] = _Side()
            half.skip = _FOREVER
        return True

    def _end(self, time: float) -> None:
        self._flow.parser = None
        self.finish(time)

    def finish(self, time: float) -> None:
        partial = self._sides[True].buffer
        if not self._count and not self._waiting and _WHOLE_LINE.match(partial):
            self._request(self._flow.client, _Side(), partial.rstrip(b"\r\n"), time)
        while self._waiting:
            self._tell_first({})


def _headers(section: bytes) -> dict[bytes, bytes]:
    """Names in lower case; of several with one name the first counts."""
    found: dict[bytes, bytes] = {}
    for line in section.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def _mime(value: bytes) -> str:
    return text(value.split(b";")[0].strip(), 128).lower()


def _target(fields: dict[str, Value], method: str, target: str, host: str) -> None:
    """url.domain, url.path and url.query of a request line and its Host (RFC 9112 section 3.2)."""
    if match := _ABSOLUTE.match(target):
        host, target = match[1].rpartition("@")[2] or host, match[2] or "/"
    elif method == "CONNECT" and not target.startswith("/"):
        host, target = target or host, ""
    domain, port = _host(host)
    if domain:
        fields["url.domain"] = domain.lower()
    if port:
        fields["url.port"] = port
    if target:
        path, mark, query = target.partition("?")
        fields["url.path"] = path
        if mark:
            fields["url.query"] = query


def _host(host: str) -> tuple[str, int]:
    """Host and port (0: none) of an authority (RFC 3986 section 3.2); an IPv6 address without brackets is taken as it
    is.
    """
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.lstrip(":")
    elif host.count(":") > 1:
        return host, 0
    else:
        name, _, port = host.partition(":")
    return (name, int(port)) if port.isdigit() and len(port) < 6 else (name if not port else host, 0)
