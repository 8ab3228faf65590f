"""Delivery status notifications (RFC 3464, 3461, 6522, 6533): what became of a message, Arabic then English. Pure.

Who is told is decided here too: never the null sender, only what NOTIFY asks for (RFC 3461 section 4.1).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from typing import Literal

from hudhud.i18n import Catalogue, Language
from mail.attempt import Attempt
from mail.shelf.stored import Stored, Waiting, shown_address

Action = Literal["failed", "delayed", "delivered", "relayed"]

MAX_HEADER = 64 * 1024  # octets of the original's header that go back
MAX_FULL = 64 * 1024  # octets of an original that goes back whole where RET=FULL asks for it
MAX_LISTED = 100  # recipients that the human part names; the machine part has them all

say = Catalogue("mail")

_XTEXT = re.compile(r"\+([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Told:
    """What the sender is told of one recipient. `until` is when a delayed one is given up, `cut` since when it cannot be.

    That is: since when the international link is cut, which stops the clock.
    """

    waiting: Waiting
    action: Action
    attempt: Attempt
    until: datetime | None = None
    cut: datetime | None = None


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

    It is ASCII throughout, unless the sender's own address is not (then it needs SMTPUTF8). `told` has one action.
    """
    action = told[0].action
    seed = f"{stored.queue_id}/{action}/{now.timestamp()}/{told[0].waiting.place}"
    token = hashlib.sha256(seed.encode()).hexdigest()[:24]
    returned = _returned(stored, content, action)
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
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    )
    edge = f"--{boundary}".encode()
    parts = (_human(stored, told), _machine(stored, told, relay), returned)
    return b"\r\n".join(("\r\n".join(head).encode(), b"", *(b"\r\n".join((edge, p)) for p in parts), edge + b"--", b""))


SUBJECTS: Mapping[Action, str] = {
    "failed": "Your message was not delivered",
    "delayed": "Your message is delayed, nothing need be done",
    "delivered": "Your message was delivered",
    "relayed": "Your message was handed on",
}


def _human(stored: Stored, told: Sequence[Told]) -> bytes:
    text = f"{_words('ar', stored, told)}\r\n\r\n{'-' * 60}\r\n\r\n{_words('en', stored, told)}\r\n"
    return _based("text/plain; charset=utf-8", text.encode(), b"Content-Description: Notification\r\n")


def _words(language: Language, stored: Stored, told: Sequence[Told]) -> str:
    """The letter in one language. What came from outside is isolated (U+2068 … U+2069), so that it reads right."""
    lines = [_opening(language, told[0].action), ""]
    for one in told[:MAX_LISTED]:
        lines += [f"  \u2068<{shown_address(one.waiting.address)}>\u2069"]
        if one.action in ("failed", "delayed"):
            lines += ["  " + text for text in _why(language, one)]
        lines.append("")
    if len(told) > MAX_LISTED:
        lines += [say(language, "… and {count} more recipients.", count=len(told) - MAX_LISTED), ""]
    if told[0].until is not None:
        lines += [say(language, "We go on trying until {time}.", time=_time(told[0].until)), ""]
    lines.append(say(language, "Sent: {time}", time=_time(stored.received)))
    lines.append(say(language, "Reference: {reference}", reference=f"\u2068{stored.queue_id}\u2069"))
    return "\r\n".join(lines)


def _opening(language: Language, action: Action) -> str:
    if action == "failed":
        return say(language, "Your message could not be delivered to:")
    if action == "delayed":
        return say(language, "Your message has not been delivered yet. You need not send it again. It waits for:")
    if action == "delivered":
        return say(language, "Your message was delivered to the mailbox of:")
    return say(language, "Your message was handed on; the next system does not report delivery. It went to:")


def _why(language: Language, one: Told) -> Iterable[str]:
    yield _meaning(language, one)
    reply = f"\u2068{one.attempt.reply}\u2069"
    if one.attempt.remote:
        host = f"\u2068{one.attempt.host}\u2069"
        yield say(language, "The server {host} said: {reply}", host=host, reply=reply)
    else:
        yield say(language, "What happened: {reply}", reply=reply)


def _meaning(language: Language, one: Told) -> str:
    """What it means and what to do, by the RFC 3463 status."""
    status = one.attempt.status
    if one.action == "delayed":
        return say(language, "The receiving system could not take it so far.")
    if not one.attempt.permanent:
        return say(language, "We tried for days without success and have given up. Ask the recipient another way.")
    if status in ("5.1.1", "5.1.3", "5.1.6", "5.2.1"):
        return say(language, "There is no such mailbox. Check how the address is written.")
    if status in ("5.1.2", "5.1.10", "5.4.4"):
        return say(language, "The domain takes no mail. Check what stands after the @.")
    if status == "5.2.2":
        return say(language, "The mailbox is full. Ask the recipient to make room, then send it again.")
    if status in ("5.2.3", "5.3.4"):
        return say(language, "The message is too large for the receiving system. Send it in smaller parts.")
    if status in ("5.6.3", "5.6.7"):
        return say(language, "The receiving system cannot take this kind of text or address. Its postmaster can help.")
    if status.startswith("5.7."):
        return say(language, "The receiving system refuses it by its rules. Its postmaster can say why.")
    return say(language, "The receiving system refuses it. Its answer says why; its postmaster can help.")


def _time(moment: datetime) -> str:
    return f"\u2068{moment:%Y-%m-%d %H:%M} UTC\u2069"


def _machine(stored: Stored, told: Sequence[Told], relay: Relay) -> bytes:
    """RFC 3464 section 2: a block for the message, then one for each recipient."""
    envid = [f"Original-Envelope-Id: {_field(_from_xtext(stored.envid))}"] if stored.envid else []
    blocks = [
        [
            f"Reporting-MTA: dns; {relay.hostname}",
            *envid,
            f"Arrival-Date: {format_datetime(stored.received)}",
            f"X-Hudhud-Queue-Id: {stored.queue_id}",
        ]
    ]
    blocks += [_block(one) for one in told]
    text = "\r\n\r\n".join("\r\n".join(block) for block in blocks)
    return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii") + b"\r\n"


def _block(one: Told) -> list[str]:
    attempt = one.attempt
    failed_for_age = one.action == "failed" and not attempt.permanent
    lines = [
        *([f"Original-Recipient: {_field(_from_xtext(one.waiting.orcpt))}"] if one.waiting.orcpt else []),
        f"Final-Recipient: {_typed(one.waiting.address)}",
        f"Action: {one.action}",
        f"Status: {'4.4.7' if failed_for_age else attempt.status}",  # RFC 3463 section 3.5: delivery time expired
    ]
    if attempt.remote:
        lines.append(f"Remote-MTA: dns; {_field(attempt.host.partition(' ')[0])}")
        lines.append(_folded(f"Diagnostic-Code: smtp; {_field(attempt.reply)}"))
    lines.append(f"Last-Attempt-Date: {format_datetime(attempt.when)}")
    if one.until is not None:
        lines.append(f"Will-Retry-Until: {format_datetime(one.until)}")
    return lines


def _typed(address: bytes) -> str:
    """The address with its type; outside ASCII as utf-8-addr-xtext (RFC 6533 section 3)."""
    text = shown_address(address)
    if text.isascii():
        return f"rfc822; {_field(text)}"
    escaped = "".join(c if "!" <= c <= "~" and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in text)
    return f"utf-8; {escaped}"


def _returned(stored: Stored, content: bytes, action: Action) -> bytes:
    """The original: whole where RET=FULL asks for it of a failure and it is small and plain, else its header."""
    plain = content.isascii() and max(map(len, content.split(b"\r\n")), default=0) <= 998
    if (stored.ret or "").upper() == "FULL" and action == "failed" and plain and len(content) <= MAX_FULL:
        return b"Content-Type: message/rfc822\r\n\r\n" + content
    end = content.find(b"\r\n\r\n")
    header = content[: end + 2 if end >= 0 else len(content)][:MAX_HEADER]
    return _based("text/rfc822-headers; charset=utf-8", header)


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


def _field(text: str) -> str:
    """Safe in a field of the machine part: printable ASCII on one line."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:2000]


def _folded(line: str) -> str:
    """Folded at blanks, so that no line passes 998 octets."""
    return re.sub(r"(.{1,900})(?: |$)", r"\1\r\n ", line).rstrip() if len(line) > 900 else line


def _from_xtext(text: str | None) -> str:
    """RFC 3461 section 4."""
    return _XTEXT.sub(lambda found: chr(int(found[1], 16)), text or "")
