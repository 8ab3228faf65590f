"""AUTH as RFC 4954 frames it: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 (RFC 7677), OAUTHBEARER (RFC 7628), XOAUTH2."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from mail.proof import token as tokens
from mail.session.login import LoggedIn, Login, Refusal
from mail.verdict import Reply

if TYPE_CHECKING:
    from mail.session.wire import Wire

MAX_LINE: Final = 12_288  # octets, RFC 4954 section 4
MAX_FAILURES: Final = 3  # in one session
MAX_STEPS: Final = 5  # of one conversation
PATIENCE_S: Final = 60.0  # for each answer of the client

WELCOME: Final = Reply(235, "2.7.0", "Welcome")
WRONG: Final = Reply(535, "5.7.8", "User name or password is wrong")
CANCELLED: Final = Reply(501, "5.7.0", "Cancelled")
NOT_BASE64: Final = Reply(501, "5.5.2", "Not base64, or not what the mechanism asks for")
REFUSED: Final = {
    Refusal.WRONG: WRONG,
    Refusal.LATER: Reply(454, "4.7.0", "Too many failures or log-ins; try again later"),
    Refusal.DOWN: Reply(454, "4.7.0", "Passwords cannot be checked just now, yours may be right; try again later"),
    Refusal.APP_ONLY: Reply(535, "5.7.8", "Wrong; outside the national networks your body takes app passwords only"),
    Refusal.OTHER_WAY: Reply(504, "5.5.4", "Not that mechanism for your domain; use PLAIN"),
}

_ASK_USER: Final = base64.b64encode(b"Username:").decode()
_ASK_PASSWORD: Final = base64.b64encode(b"Password:").decode()


class _RefusedError(Exception):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply


async def authenticate(wire: Wire, login: Login, argument: bytes) -> LoggedIn | Reply:
    """The dialog of one AUTH command: who logged in, or the reply that says no. HungUp where the client goes."""
    word, _, initial = argument.partition(b" ")
    mechanism = word.upper().decode("ascii", "replace")
    if mechanism not in login.mechanisms:
        return Reply(504, "5.5.4", f"Known mechanisms: {' '.join(login.mechanisms)}")
    try:
        first = _decoded(initial) if initial else None
        if mechanism == "PLAIN":
            name, password = _plain(first if first is not None else await _ask(wire, ""))
            answer = await login.verify(name, password, wire.ip)
        elif mechanism == "LOGIN":
            name = first if first is not None else await _ask(wire, _ASK_USER)
            answer = await login.verify(name, await _ask(wire, _ASK_PASSWORD), wire.ip)
        elif mechanism in ("XOAUTH2", "OAUTHBEARER"):
            answer = await _token(wire, login, mechanism, first if first is not None else await _ask(wire, ""))
        else:
            answer = await _steps(wire, login, mechanism, first if first is not None else await _ask(wire, ""))
    except _RefusedError as refused:
        return refused.reply
    except ValueError:  # what the client said is not in the mechanism's grammar
        return NOT_BASE64
    return answer if isinstance(answer, LoggedIn) else REFUSED[answer]


async def _token(wire: Wire, login: Login, mechanism: str, message: bytes) -> LoggedIn | Refusal:
    read = tokens.read_xoauth2 if mechanism == "XOAUTH2" else tokens.read_oauthbearer
    bearer = read(message)
    answer = await login.token(bearer, wire.ip)
    if answer is Refusal.WRONG:  # why, in JSON; the client answers with nothing, and then comes the 535
        challenge = tokens.refusal(mechanism, login.issuer(bearer.user))
        await _ask(wire, base64.b64encode(challenge).decode())
    return answer


async def _steps(wire: Wire, login: Login, mechanism: str, message: bytes) -> LoggedIn | Refusal:
    steps = await login.exchange(mechanism, message, wire.ip)
    if isinstance(steps, Refusal):
        return steps
    try:
        for _ in range(MAX_STEPS):
            answer = await steps.step(message)
            if not isinstance(answer, bytes):
                return answer
            message = await _ask(wire, base64.b64encode(answer).decode())
    finally:
        steps.close()
    return Refusal.WRONG


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
    """An empty line is an empty answer, "=" an empty initial response (RFC 4954 section 4)."""
    if text in (b"=", b""):
        return b""
    try:
        return base64.b64decode(text or b"!", validate=True)
    except binascii.Error:
        raise _RefusedError(NOT_BASE64) from None
