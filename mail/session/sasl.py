"""AUTH PLAIN (RFC 4616) and LOGIN, as RFC 4954 frames them."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from mail.accounts import Account
from mail.session.login import Login, Refusal
from mail.verdict import Reply

if TYPE_CHECKING:
    from mail.session.wire import Wire

MECHANISMS: Final = ("PLAIN", "LOGIN")
MAX_LINE: Final = 12_288  # octets, RFC 4954 section 4
MAX_FAILURES: Final = 3  # in one session
PATIENCE_S: Final = 60.0  # for each answer of the client

WELCOME: Final = Reply(235, "2.7.0", "Welcome")
WRONG: Final = Reply(535, "5.7.8", "User name or password is wrong")
LATER: Final = Reply(454, "4.7.0", "Too many failures; try again later")
CANCELLED: Final = Reply(501, "5.7.0", "Cancelled")
NOT_BASE64: Final = Reply(501, "5.5.2", "Not base64, or not what the mechanism asks for")
NO_MECHANISM: Final = Reply(504, "5.5.4", f"Known mechanisms: {' '.join(MECHANISMS)}")

_ASK_USER: Final = base64.b64encode(b"Username:").decode()
_ASK_PASSWORD: Final = base64.b64encode(b"Password:").decode()


class _RefusedError(Exception):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply


async def authenticate(wire: Wire, login: Login, argument: bytes) -> Account | Reply:
    """The dialog of one AUTH command: who logged in, or the reply that says no. HungUp where the client goes."""
    mechanism, _, initial = argument.partition(b" ")
    try:
        if mechanism.upper() == b"PLAIN":
            name, password = _plain(_decoded(initial) if initial else await _ask(wire, ""))
        elif mechanism.upper() == b"LOGIN":
            name = _decoded(initial) if initial else await _ask(wire, _ASK_USER)
            password = await _ask(wire, _ASK_PASSWORD)
        else:
            return NO_MECHANISM
    except _RefusedError as refused:
        return refused.reply
    answer = await login.verify(name, password, wire.ip)
    if isinstance(answer, Account):
        return answer
    return LATER if answer is Refusal.LATER else WRONG


def _plain(message: bytes) -> tuple[bytes, bytes]:
    """Name and password of authzid NUL authcid NUL passwd; who wants to act for somebody else is refused."""
    parts = message.split(b"\0")
    if len(parts) != 3 or not parts[1]:
        raise _RefusedError(NOT_BASE64)
    if parts[0] not in (b"", parts[1]):
        raise _RefusedError(WRONG)
    return parts[1], parts[2]


async def _ask(wire: Wire, challenge: str) -> bytes:
    wire.send(f"334 {challenge}")
    line = await wire.line(MAX_LINE, PATIENCE_S)
    if line == b"*":
        raise _RefusedError(CANCELLED)
    return _decoded(line)


def _decoded(text: bytes | None) -> bytes:
    if text == b"=":  # RFC 4954 section 4: an empty initial response
        return b""
    try:
        return base64.b64decode(text or b"!", validate=True)
    except binascii.Error:
        raise _RefusedError(NOT_BASE64) from None
