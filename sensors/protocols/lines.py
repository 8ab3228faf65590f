"""Text lines out of a stream, and what a log-in tells without its password."""

from __future__ import annotations

import base64
import binascii

MAX_LINE_BYTES = 8192  # a longer line is cut there
MAX_USER_BYTES = 256


class Lines:
    """Takes bytes in, gives whole lines without their ends."""

    __slots__ = ("buffer",)

    def __init__(self) -> None:
        self.buffer = b""

    def add(self, data: bytes) -> None:
        self.buffer += data

    def next(self) -> bytes | None:
        """The next line, cut after 8,192 bytes; None where its end has not come."""
        at = self.buffer.find(b"\n")
        if at < 0:
            if len(self.buffer) <= MAX_LINE_BYTES:
                return None
            line, self.buffer = self.buffer[:MAX_LINE_BYTES], self.buffer[MAX_LINE_BYTES:]
            return line
        line, self.buffer = self.buffer[:at], self.buffer[at + 1 :]
        return line[:-1] if line[-1:] == b"\r" else line


def text(data: bytes, limit: int = 512) -> str:
    """Bytes from outside as text: UTF-8 where it is, else each byte as it is."""
    data = data[:limit]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def unbase64(data: bytes) -> bytes:
    """Decoded base64; b"" where it is none."""
    try:
        return base64.b64decode(data.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def plain_user(initial: bytes) -> str:
    """The account of a SASL PLAIN response (RFC 4616). The password is left in the bytes and goes with them."""
    parts = unbase64(initial).split(b"\0")
    return text(parts[1] or parts[0], MAX_USER_BYTES) if len(parts) == 3 else ""


def login_fields(user: str, method: str, clear: bool) -> dict[str, str | bool]:
    """How a log-in is told: account and domain, never a password. `clear` says that one could be read on the wire."""
    fields: dict[str, str | bool] = {"hudhud.auth.method": method.lower(), "hudhud.auth.clear": clear}
    if user:
        fields["user.name"] = user
        _, at, domain = user.rpartition("@")
        if at and domain:
            fields["user.domain"] = domain.lower()
    return fields


def plain_user_basic(credentials: bytes) -> str:
    """The account of HTTP Basic credentials (RFC 7617), without the password."""
    return text(unbase64(credentials).partition(b":")[0], MAX_USER_BYTES)
