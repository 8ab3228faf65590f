"""The strict reading: parts by the letter of RFC 2045, 2046 and 5322, in one pass, and whether it may doubt. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mail.content import decode
from mail.content.fields import Head, read_head
from mail.content.magic import is_text

SPLIT_BYTES = 256 * 1024  # a larger text is looked at line by line
MESSAGE_TYPES = frozenset({"message/rfc822", "message/global", "message/news"})

_HEADER_LINE = re.compile(rb"[!-9;-~]+[ \t]*:")
_WHOLE_HEADER = re.compile(rb"(?:[!-9;-~]+[ \t]*:[^\n]*\n|[ \t]+[^\s][^\n]*\n|From [^\n]*\n)*(?:\r?\n)?")
_CARVED = (b"\nbegin", b"=ybegin", b";base64,", b"begin-base64")


@dataclass(slots=True)
class Leaf:
    """One part as a reading finds it."""

    path: str
    head: Head
    data: bytes
    media_type: str


Emit = Callable[[Leaf], None]


@dataclass(slots=True)
class Doubts:
    """Why the plain reading may not be the only one. `seen` and `there` count lines that begin with Content-."""

    seen: int = 0
    there: int = 0
    reasons: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.reasons) or self.seen != self.there


@dataclass(slots=True)
class Strict:
    """One pass over a message; `limits` are names of caps that were hit; `carvable`: a text may hold a file."""

    emit: Emit
    max_parts: int
    max_depth: int
    doubts: Doubts = field(default_factory=Doubts)
    limits: set[str] = field(default_factory=set)
    count: int = 0
    carvable: bool = False

    def read(self, data: bytes) -> None:
        """A whole message."""
        self._message(data, "", 0)

    def _message(self, data: bytes, path: str, depth: int) -> None:
        self.doubts.there += content_lines(data)
        if b"\x00" in data:
            self.doubts.reasons.add("nul")
        if data.count(b"\r") != data.count(b"\r\n"):
            self.doubts.reasons.add("bare-cr")
        self._entity(data, path, depth, "text/plain", whole=True)

    def _entity(self, entity: bytes, path: str, depth: int, default: str, *, whole: bool = False) -> None:
        if depth > self.max_depth:
            self.limits.add("max_depth")
            return
        at = header_end(entity)
        block = entity[:at]
        self.doubts.seen += content_lines(block)
        head, body = read_head(block), entity[at:]
        if head.odd or (at == 0 and body and not whole) or not _WHOLE_HEADER.fullmatch(block):
            self.doubts.reasons.add("odd-header")
        kind = head.types[0] if head.types else default
        if kind.startswith("multipart/"):
            self._multipart(head, body, path, depth, kind)
        else:
            self._leaf(head, body, (path + ".1" if path else "1") if whole else path, depth, kind)

    def _multipart(self, head: Head, body: bytes, path: str, depth: int, kind: str) -> None:
        boundary = head.boundaries[0] if head.boundaries else b""
        pieces, odd = split(body, boundary) if boundary else ([], True)
        if odd:
            self.doubts.reasons.add("boundary")
        if head.encodings and head.encodings[0] not in decode.IDENTITY:
            self.doubts.reasons.add("encoded-multipart")
        if not pieces:
            self.doubts.reasons.add("boundary")
            self._leaf(head, body, path or "1", depth, "text/plain")
            return
        default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        for number, piece in enumerate(pieces, 1):
            if self.count > self.max_parts:
                return  # _leaf has said so
            self._entity(piece, f"{path}.{number}" if path else str(number), depth + 1, default)

    def _leaf(self, head: Head, body: bytes, path: str, depth: int, kind: str) -> None:
        self.count += 1
        if self.count > self.max_parts:
            self.limits.add("max_parts")
            return
        encoding = head.encodings[0] if head.encodings else ""
        data, clean = decode.strict(body, encoding)
        if not clean and kind[:5] == "text/" and encoding == "quoted-printable" and not head.names:
            clean = True  # what = without a pair does to a text harms nobody
        if not clean or (kind[:5] != "text/" and encoding != "base64" and not is_text(data[:512])):
            self.doubts.reasons.add("encoding")
        if (kind.startswith("text/") or is_text(data[:256])) and worth_carving(data):
            self.carvable = True
        self.emit(Leaf(path, head, data, kind))
        if kind == "message/partial":
            self.limits.add("message_partial")  # RFC 2046 section 5.2.2: nobody between the ends sees the whole
        if kind in MESSAGE_TYPES:
            if encoding in decode.IDENTITY:  # its lines are of the message around it and were counted there
                self.doubts.there -= content_lines(data)
            self._message(data, path, depth + 1)


def content_lines(data: bytes) -> int:
    """How many lines begin with Content-, whatever they stand in."""
    lowered = data.lower()
    return lowered.count(b"\ncontent-") + lowered.startswith(b"content-")


def header_end(entity: bytes) -> int:
    """Where the body begins: after the first empty line, or at once where there is no header."""
    if entity[:2] == b"\r\n":
        return 2
    if entity[:1] == b"\n":
        return 1
    if not _HEADER_LINE.match(entity) and not entity.startswith((b"From ", b"\xef\xbb\xbf", b">From ")):
        return 0
    crlf, bare = entity.find(b"\r\n\r\n"), entity.find(b"\n\n")
    if crlf >= 0 and (bare < 0 or crlf < bare):
        return crlf + 4
    return bare + 2 if bare >= 0 else len(entity)


def split(body: bytes, boundary: bytes) -> tuple[list[bytes], bool]:
    """The pieces between delimiter lines (RFC 2046 section 5.1.1), and whether a looser reader would cut elsewhere."""
    needle = b"--" + boundary
    pieces: list[bytes] = []
    start, at, odd, closed = -1, 0, False, False
    while (found := body.find(needle, at)) >= 0:
        at = found + len(needle)
        if closed:
            return pieces, True
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        rest = body[at:end].strip(b" \t\r")
        if (found and body[found - 1] != 0x0A) or rest not in (b"", b"--"):
            odd = True
            continue
        if start >= 0:
            pieces.append(_without_line_end(body, start, found))
        start, closed, at = end + 1, rest == b"--", end
    if start >= 0 and not closed:
        pieces.append(body[start:])
    return pieces, odd


def _without_line_end(body: bytes, start: int, end: int) -> bytes:
    """The line end before a delimiter belongs to the delimiter."""
    if end > start and body[end - 1] == 0x0A:
        end -= 1
        if end > start and body[end - 1] == 0x0D:
            end -= 1
    return body[start:end]


def worth_carving(data: bytes) -> bool:
    """Whether there is a sign of an encoded file in the text."""
    if any(needle in data for needle in _CARVED) or data[:6].lower() == b"begin ":
        return True
    long = 0
    for line in data.split(b"\n") if len(data) <= SPLIT_BYTES else _lines(data):
        if len(line) >= 40 and ((b" " not in line and b"<" not in line) or len(line) > 1000):
            long += 1
            if long > 1 or len(line) > 1000:
                return True
        elif line.strip():
            long = 0
    return False


def _lines(data: bytes) -> Iterator[bytes]:
    """One at a time: a list of them takes many times their octets."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield data[start:end]
        start = end + 1
    yield data[start:]
