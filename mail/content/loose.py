"""The lenient reading: what any program might find, by every boundary, encoding and header block at once. Pure."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.message import Message as StdlibMessage

from mail.content import decode
from mail.content.fields import Head, read_head, read_loosely
from mail.content.tree import Emit, Leaf, header_end

MAX_BLOCKS = 300  # header blocks anywhere in a message that are tried as the beginning of a part
MAX_ENTITIES = 2000  # that are read one by one
MAX_BOUNDARIES = 20  # candidates at one place
WORK_FACTOR = 12  # octets read in all, as a multiple of the message's size
MIN_WORK = 2 * 1024 * 1024  # octets

_GUESS = re.compile(rb"(?:^|\n)--([^\r\n]{1,200}?)[ \t]*\r?\n(?=[ \t]*content[ \t]*-|[!-9;-~]{1,40}:|\r?\n)", re.I)
_BLOCK = re.compile(rb"(?:^|[\r\n])[ \t]*content[ \t]*-[ \t]*(?:type|transfer-encoding|disposition)[ \t]*[:=]", re.I)
_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))[ \t]*(?:\r\n|\n|\r(?!\n))")
_FIELDS = re.compile(rb"(?:(?:[!-9;-~]+[ \t]*:|[ \t]|From |\xef\xbb\xbf)[^\r\n]*(?:\r\n|\n|\r))*")
_DELIMITER = re.compile(rb"(?:\r\n|\n|\r)--[^\r\n]")


@dataclass(slots=True)
class Loose:
    """Walks every way; each entity once. Stops with `limits` when the work is too much."""

    emit: Emit
    max_depth: int
    limits: set[str] = field(default_factory=set)
    _work: int = 0
    _done: set[int] = field(default_factory=set)
    _boundaries: dict[bytes, None] = field(default_factory=dict)

    def read(self, data: bytes) -> None:
        """A whole message, as it is and without NULs; the stdlib's reading is one of the ways."""
        self._work = max(len(data) * WORK_FACTOR, MIN_WORK)
        variants = [data]
        if b"\x00" in data:
            variants.append(data.replace(b"\x00", b""))
        if data.count(b"\r") != data.count(b"\r\n"):
            variants.append(re.sub(rb"\r(?!\n)", b"\r\n", data))
        for variant in variants:
            self._entity(variant, 0)
            for block in _blocks(variant):
                self._entity(block, 0)
        self._stdlib(data)

    def _entity(self, entity: bytes, depth: int) -> None:
        key = hash(entity)
        if key in self._done or not entity.strip():
            return
        self._done.add(key)
        self._work -= len(entity)
        if depth > self.max_depth or self._work < 0 or len(self._done) > MAX_ENTITIES:
            self.limits.add("max_depth" if depth > self.max_depth else "max_readings")
            return
        for at in _header_ends(entity):
            head = _merged(read_head(entity[:at]), read_loosely(entity[:at]))
            self._body(head, entity[at:], depth)

    def _body(self, head: Head, body: bytes, depth: int) -> None:
        multipart = any(kind.startswith("multipart/") for kind in head.types)
        boundaries = [b for b in head.boundaries if b"--" + b in body][:MAX_BOUNDARIES]
        if multipart or not head.types:
            guessed = [match[1] for match in _GUESS.finditer(body)]
            boundaries += [b for b in dict.fromkeys(guessed) if b not in boundaries][:MAX_BOUNDARIES]
        self._boundaries |= dict.fromkeys(boundaries)
        for boundary in boundaries:
            if self._work < 0:
                return  # _entity has said so
            for piece in _pieces(body, boundary):
                self._entity(piece, depth + 1)
        plain = next((k for k in head.types if not k.startswith("multipart/")), "")
        if boundaries and not plain:
            return
        declared = bool(head.types or head.encodings or head.names)
        body = self._cut(body)
        self._work -= len(body)
        tried: set[int] = set()
        for data in (
            decode.every_way(body, head.encodings, text=plain[:5] in ("", "text/", "messa"))
            if declared
            else decode.sniffed(body)
        ):
            self._work -= len(data)
            if hash(data) in tried or self._work < 0:
                continue
            tried.add(hash(data))
            if plain.startswith("message/") or (multipart and data is not body):
                self._entity(data, depth + 1)
            self.emit(Leaf("", head, data, plain or "text/plain"))

    def _cut(self, body: bytes) -> bytes:
        """What stands before the first delimiter of any multipart around it."""
        found = [at for b in tuple(self._boundaries)[:MAX_BOUNDARIES] if (at := body.find(b"\n--" + b)) >= 0]
        return body[: min(found) + 1] if found else body

    def _stdlib(self, data: bytes) -> None:
        if data.count(b"\n--") > MAX_ENTITIES:
            self.limits.add("max_readings")
            return
        try:
            for part in email.message_from_bytes(data).walk():
                payload = None if part.is_multipart() else part.get_payload(decode=True)
                if isinstance(payload, bytes):
                    self.emit(Leaf("", _stdlib_head(part), payload, part.get_content_type()))
        except Exception:  # noqa: S110 - a reader that fails has found nothing; the others stand
            pass


def _stdlib_head(part: StdlibMessage) -> Head:
    name = part.get_filename()
    return Head((part.get_content_type(),), names=(name,) if name else (), odd=True)


def _merged(first: Head, second: Head) -> Head:
    """Both readings of one header block, the first one's choices first."""
    return replace(
        first,
        types=tuple(dict.fromkeys((*first.types, *second.types))),
        boundaries=tuple(dict.fromkeys((*first.boundaries, *second.boundaries))),
        encodings=tuple(dict.fromkeys((*first.encodings, *second.encodings))),
        names=tuple(dict.fromkeys((*first.names, *second.names))),
        disposition=first.disposition or second.disposition,
        charset=first.charset or second.charset,
        odd=True,
    )


def _header_ends(entity: bytes) -> list[int]:
    """Where the body may begin: after the empty line, after a line of white space, at a line that is no field."""
    ends = [header_end(entity)]
    if (blank := _BLANK.search(entity)) is not None:
        ends.append(blank.end())
    if (fields := _FIELDS.match(entity)) is not None and 0 < fields.end() < ends[0]:
        ends.append(fields.end())
    return list(dict.fromkeys(ends))


def _pieces(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """Cuts at every line that begins with the delimiter, past the closing one too; before and after count as pieces."""
    lines = re.compile(rb"(?:^|\r\n|\n|\r)[ \t]*--" + re.escape(boundary) + rb"[^\r\n]*(?=\r|\n|\Z)")
    start = 0
    for match in lines.finditer(body):
        yield body[start : match.start()]
        start = _after_line_end(body, match.end())
    yield body[start:]


def _after_line_end(body: bytes, at: int) -> int:
    if body[at : at + 2] == b"\r\n":
        return at + 2
    return at + 1 if body[at : at + 1] in (b"\r", b"\n") else at


def _blocks(data: bytes) -> Iterator[bytes]:
    """Everything that begins with a header block naming Content-*, up to the next line that looks like a delimiter."""
    starts: dict[int, None] = {}
    for count, match in enumerate(_BLOCK.finditer(data)):
        if count >= MAX_BLOCKS:
            break
        at = match.start()
        begins = [(data.rfind(mark, 0, at + 1), len(mark)) for mark in (b"\n\n", b"\r\n\r\n", b"\r\r")]
        line = data.rfind(b"\n--", 0, at + 1)
        starts[max([0, *(found + size for found, size in begins if found >= 0), line + 1])] = None
    for start in starts:
        at = start
        if data[at : at + 2] == b"--":
            at = data.find(b"\n", at) + 1 or len(data)
        blank = _BLANK.search(data, at)
        end = _DELIMITER.search(data, blank.end() - 1) if blank else None
        yield data[at : end.start() if end else len(data)]
