"""Delivery status notifications (RFC 3464, 3461, 6522, 6533): what became of a message, Arabic then English. Pure.

Who is told is decided here too: never the null sender, only what NOTIFY asks for (RFC 3461 section 4.1). The words of
the human part are in mail/tell/fate.py; why both languages stand in each of its alternatives: docs/adr.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime

from hudhud.i18n import Catalogue
from mail.attempt import Attempt
from mail.shelf.stored import Stored, Waiting, shown_address
from mail.tell import fate

Action = fate.Action
Told = fate.Told

MAX_HEADER = 64 * 1024  # octets of the original's header that go back
MAX_FULL = 64 * 1024  # octets of an original that goes back whole where RET=FULL asks for it

say = Catalogue("mail")

_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNICODE = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_UNFOLDED = re.compile(rb"\r\n(?![ \t])")
_NAMES_IT = re.compile(rb"(?:date|message-id)[ \t]*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Relay:
    """Who tells: our host name and the address that answers for it."""

    hostname: str
    postmaster: str


def wants(waiting: Waiting, action: Action) -> bool:
    """Whether NOTIFY lets the sender be told (RFC 3461 section 4.1): by default of failures and delays."""
    asked = set((waiting.notify or "FAILURE,DELAY").upper().split(","))
    word = {"failed": "FAILURE", "delayed": "DELAY"}.get(action, "SUCCESS")
    return word in asked and "NEVER" not in asked


def success(waiting: Waiting, attempt: Attempt) -> Action | None:
    """What to say of a delivery, None where the next hop will say it (RFC 3461 section 5.2.2, RFC 2033 section 4)."""
    if not attempt.delivered or attempt.handed or not wants(waiting, "delivered"):
        return None
    return "delivered" if attempt.final else "relayed"


def compose(stored: Stored, told: Sequence[Told], content: bytes, relay: Relay, now: datetime) -> bytes:
    """The notification as bytes with CRLF line ends, for the message `stored` whose bytes are `content`.

    It is ASCII throughout, unless the sender's own address is not: then it needs SMTPUTF8 anyway, and the parts are
    those of RFC 6533. `told` has one action.
    """
    action, utf8 = told[0].action, not stored.sender.isascii()
    seed = f"{stored.queue_id}/{action}/{now.timestamp()}/{told[0].waiting.place}"
    token = hashlib.sha256(seed.encode()).hexdigest()[:24]
    returned = _returned(stored, content, action, utf8=utf8)
    boundary = _boundary(token, returned)
    subject = f"{say('ar', SUBJECTS[action])} / {say('en', SUBJECTS[action])}"
    head = (
        f"From: {_encoded(say('ar', 'Mail delivery'))} <{relay.postmaster}>",
        f"To: <{shown_address(stored.sender)}>",
        f"Subject: {_encoded(subject)}",
        f"Date: {format_datetime(now)}",
        f"Message-ID: <{token}.{stored.queue_id}@{relay.hostname}>",
        *([f"In-Reply-To: <{stored.message_id}>"] if _plain_id(stored.message_id) else []),
        "Auto-Submitted: auto-replied",
        "Content-Language: ar, en",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    )
    edge = f"--{boundary}".encode()
    parts = (_human(stored, told, f"{boundary}-words"), _machine(stored, told, relay, utf8=utf8), returned)
    return b"\r\n".join(("\r\n".join(head).encode(), b"", *(b"\r\n".join((edge, p)) for p in parts), edge + b"--", b""))


SUBJECTS: Mapping[Action, str] = {
    "failed": "Your message was not delivered",
    "delayed": "Your message is delayed, nothing need be done",
    "delivered": "Your message was delivered",
    "relayed": "Your message was handed on",
}


def _human(stored: Stored, told: Sequence[Told], boundary: str) -> bytes:
    """The same words twice (RFC 6522 section 3): as text, and as HTML that sets each language in its direction."""
    letter = fate.letter(stored, told)
    edge = f"--{boundary}".encode()
    parts = (
        _based("text/plain; charset=utf-8", fate.plain(letter).encode(), b"Content-Language: ar, en\r\n"),
        _based("text/html; charset=utf-8", fate.html(letter).encode(), b"Content-Language: ar, en\r\n"),
    )
    head = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\nContent-Description: Notification\r\n'
    return b"\r\n".join((head.encode(), *(b"\r\n".join((edge, part)) for part in parts), edge + b"--", b""))


def _machine(stored: Stored, told: Sequence[Told], relay: Relay, *, utf8: bool) -> bytes:
    """RFC 3464 section 2: a block for the message, then one for each recipient; RFC 6533 section 3 with `utf8`."""
    envid = [f"Original-Envelope-Id: {_field(_from_xtext(stored.envid))}"] if stored.envid else []
    blocks = [
        [f"Reporting-MTA: dns; {relay.hostname}", *envid, f"Arrival-Date: {format_datetime(stored.received)}"],
        *(_block(one, stored.queue_id, utf8=utf8) for one in told),
    ]
    text = "\r\n\r\n".join("\r\n".join(block) for block in blocks)
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    encoding = "Content-Transfer-Encoding: 8bit\r\n" if utf8 else ""
    return f"Content-Type: {kind}\r\n{encoding}\r\n{text}\r\n".encode()


def _block(one: Told, queue_id: str, *, utf8: bool) -> list[str]:
    attempt = one.attempt
    failed_for_age = one.action == "failed" and not attempt.permanent
    lines = [
        *([_original(one.waiting.orcpt, utf8=utf8)] if one.waiting.orcpt else []),
        f"Final-Recipient: {_typed(one.waiting.address, utf8=utf8)}",
        f"Action: {one.action}",
        f"Status: {'4.4.7' if failed_for_age else attempt.status}",  # RFC 3463 section 3.5: delivery time expired
    ]
    if attempt.remote:
        lines.append(f"Remote-MTA: {_remote(attempt.host)}")
        lines.append(_folded(f"Diagnostic-Code: smtp; {_field(attempt.reply, utf8=utf8)}"))
    lines.append(f"Last-Attempt-Date: {format_datetime(attempt.when)}")
    lines.append(f"Final-Log-ID: {queue_id}")
    if one.until is not None and one.cut is None:
        lines.append(f"Will-Retry-Until: {format_datetime(one.until)}")
    return lines


def _remote(host: str) -> str:
    """The name that was asked for, else the address as a literal (RFC 3464 section 2.3.5, RFC 5321 section 4.1.3)."""
    name = host.partition(" ")[0]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return f"dns; {_field(name)}"
    return f"dns; [{'IPv6:' if address.version == 6 else ''}{address}]"


def _typed(address: bytes, *, utf8: bool) -> str:
    """The address with its type; outside ASCII as utf-8-addr-unitext or -xtext (RFC 6533 section 3)."""
    text = shown_address(address)
    if text.isascii():
        return f"rfc822; {_field(text)}"
    return f"utf-8; {_field(text, utf8=True) if utf8 else _escaped(text)}"


def _escaped(text: str) -> str:
    return "".join(c if "!" <= c <= "~" and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in text)


def _original(orcpt: str, *, utf8: bool) -> str:
    """What the client gave as the original recipient, decoded (RFC 3461 section 4.2, RFC 6533 section 3)."""
    kind, _, text = orcpt.partition(";")
    text = _from_xtext(text)
    if kind.lower() == "rfc822" and not text.isascii():  # Postfix writes UTF-8 so, as xtext
        kind, text = "utf-8", text.encode("latin-1", "replace").decode("utf-8", "replace")
        text = text if utf8 else _escaped(text)
    if kind.lower() == "utf-8" and utf8:
        text = _UNICODE.sub(_character, text)
    return f"Original-Recipient: {_field(kind)};{_field(text, utf8=utf8)}"


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else found[0]


def _returned(stored: Stored, content: bytes, action: Action, *, utf8: bool) -> bytes:
    """The original: whole where RET=FULL asks for it of a failure and it is small and plain, else its header.

    Of a message that may travel by verified TLS only (RFC 8689 section 5) no more than what names it.
    """
    end = content.find(b"\r\n\r\n")
    header = content[: end + 2 if end >= 0 else len(content)][:MAX_HEADER]
    if stored.requiretls:
        header = b"".join(field + b"\r\n" for field in _UNFOLDED.split(header) if _NAMES_IT.match(field))
    short = max(map(len, content.split(b"\r\n")), default=0) <= 998
    whole = (stored.ret or "").upper() == "FULL" and action == "failed" and not stored.requiretls
    if whole and short and len(content) <= MAX_FULL and (utf8 or content.isascii()):
        kind = "message/rfc822" if content.isascii() else "message/global\r\nContent-Transfer-Encoding: 8bit"
        return f"Content-Type: {kind}\r\n\r\n".encode() + content
    if header.isascii() and max(map(len, header.split(b"\r\n"))) <= 998:
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + header
    if utf8 and _readable(header):
        return b"Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + header
    return _based("text/rfc822-headers; charset=utf-8", header)


def _readable(header: bytes) -> bool:
    try:
        header.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return max(map(len, header.split(b"\r\n"))) <= 998


def _based(kind: str, data: bytes, more: bytes = b"") -> bytes:
    """A part in base64: whatever stands in it, every next hop can take it."""
    rows = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return f"Content-Type: {kind}\r\n".encode() + more + b"Content-Transfer-Encoding: base64\r\n\r\n" + rows


def _boundary(token: str, returned: bytes) -> str:
    """One that does not stand in what is returned; the other parts cannot have it."""
    boundary = f"hudhud-{token}"
    while boundary.encode() in returned:
        boundary += "x"
    return boundary


def _encoded(text: str) -> str:
    return Header(text, "utf-8", maxlinelen=70).encode(linesep="\r\n")


def _plain_id(message_id: str) -> bool:
    return bool(re.fullmatch(r"[!-;=?-~]{1,500}", message_id))


def _field(text: str, *, utf8: bool = False) -> str:
    """Safe in a field of the machine part: printable on one line, ASCII unless `utf8`."""
    return "".join(c if " " <= c <= "~" or (utf8 and c.isprintable()) else "?" for c in text)[: 600 if utf8 else 2000]


def _folded(line: str) -> str:
    """Folded at blanks, so that no line passes 998 octets."""
    return re.sub(r"(.{1,900})(?: |$)", r"\1\r\n ", line).rstrip() if len(line) > 900 else line


def _from_xtext(text: str | None) -> str:
    """RFC 3461 section 4."""
    return _XTEXT.sub(lambda found: chr(int(found[1], 16)), text or "")
