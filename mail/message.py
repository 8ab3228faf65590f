"""A message: its envelope, its bytes as they came, and its header read leniently; it never fails on any bytes. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mail.envelope import Envelope

MAX_FIELDS = 2000  # header fields read of one message; the rest counts as body (and a finding says so)

_MESSAGE_ID = re.compile(rb"<([^<>\s]{1,998})>")


@dataclass(frozen=True, slots=True)
class Field:
    """A header field: `name` in lower case without white space, `raw` the field's bytes, `value` unfolded text."""

    name: bytes
    raw: bytes
    value: str

    @property
    def body(self) -> bytes:
        """The bytes after the colon, unfolded."""
        return unfold(self.raw[self.raw.find(b":") + 1 :])


@dataclass(frozen=True, slots=True)
class Message:
    """DATA (unstuffed, CRLF) with its envelope. `body_at` is the offset of the first byte of the body."""

    envelope: Envelope
    queue_id: str
    data: bytes
    sha256: str
    headers: tuple[Field, ...]
    body_at: int

    @classmethod
    def read(cls, envelope: Envelope, queue_id: str, data: bytes) -> Message:
        """Reads the header of `data`; never raises."""
        headers, body_at = read_header(data)
        return cls(envelope, queue_id, data, hashlib.sha256(data).hexdigest(), headers, body_at)

    @property
    def body(self) -> bytes:
        return self.data[self.body_at :]

    @property
    def size(self) -> int:
        """Octets of DATA."""
        return len(self.data)

    def all(self, name: bytes) -> tuple[Field, ...]:
        """Every field of that name (lower case), in order."""
        return tuple(field for field in self.headers if field.name == name)

    def first(self, name: bytes) -> Field | None:
        """The first field of that name (lower case)."""
        return next((field for field in self.headers if field.name == name), None)

    @property
    def message_id(self) -> str:
        """The Message-ID without angle brackets; "" where there is none."""
        field = self.first(b"message-id")
        if field is None:
            return ""
        found = _MESSAGE_ID.search(field.body)
        return (found[1] if found else field.body.strip()).decode("utf-8", "replace")

    def answers_to(self) -> tuple[str, ...]:
        """The message ids of In-Reply-To and References, without angle brackets, in order, each once (at most 200)."""
        ids: dict[str, None] = {}
        for name in (b"in-reply-to", b"references"):
            for field in self.all(name):
                for found in _MESSAGE_ID.finditer(field.body):
                    ids.setdefault(found[1].decode("utf-8", "replace"))
        return tuple(ids)[:200]


def unfold(data: bytes) -> bytes:
    """A field body on one line (RFC 5322 section 2.2.3), whatever line ends it has."""
    return data.replace(b"\r", b"").replace(b"\n", b"").strip()


def read_header(data: bytes) -> tuple[tuple[Field, ...], int]:
    """The header's fields and the offset of the body. Lines that are no field are skipped, as a lenient reader does."""
    fields: list[Field] = []
    pending: list[bytes] = []
    at = 0
    for line, end in _lines(data):
        if line in (b"\r\n", b"\n", b"\r") or len(fields) >= MAX_FIELDS:
            at = end if len(fields) < MAX_FIELDS else at
            break
        at = end
        if line[:1] in (b" ", b"\t") and pending:
            pending.append(line)
            continue
        _add(fields, pending)
        pending = [line]
    _add(fields, pending)
    return tuple(fields), at


def _lines(data: bytes) -> Iterator[tuple[bytes, int]]:
    start, size = 0, len(data)
    while start < size:
        end = data.find(b"\n", start) + 1 or size
        yield data[start:end], end
        start = end


def _add(fields: list[Field], pending: list[bytes]) -> None:
    raw = b"".join(pending)
    name, colon, rest = raw.partition(b":")
    name = name.strip(_UNSEEN).lower()
    if colon and name and not _SPACE.search(name):
        fields.append(Field(name, raw, unfold(rest).decode("utf-8", "replace")))


_SPACE = re.compile(rb"[\s\x00]")
_UNSEEN = bytes(octet for octet in range(256) if not 0x21 <= octet <= 0x7E)
"""White space, controls and what is not ASCII around a name (a byte order mark): tolerant readers drop them."""
