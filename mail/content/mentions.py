"""Addresses that a message names where nobody is addressed: text, signature, quotes, links, calendar, lists. Pure.

Rule D goes by it: found by their @, in a bounded part of each text, and told apart by where they stand. What is quoted
is somebody else's words; what stands in the text, or behind mailto:, asks the reader to write there.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote

from mail.content.params import to_text
from mail.content.parts import Part
from mail.message import Message

Place = Literal["text", "signature", "link", "calendar", "list", "quoted", "nested"]

ASKING: Final = frozenset({"text", "signature", "link", "calendar", "list"})
"""Places in which the sender's own words ask to be written to; the others are words of somebody else."""

MAX_READ: Final = 128 * 1024  # octets of one part that are looked at
MAX_ALL: Final = 512 * 1024  # of all parts
MAX_PLACES: Final = 200  # @ in one part
MAX_FOUND: Final = 50  # mentions of one message
MAX_LINKS: Final = 20  # mailto: links of one header field

_LOCAL: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+/=?^_`{|}~-"
_DOMAIN: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
_ENTITIES: Final = (b"&#64", b"&#x40", b"&commat")
_QUOTE_MARKS: Final = (
    b"<blockquote", b"gmail_quote", b"divrplyfwdmsg", b"-----original message", b"---------- forwarded message",
    b"-------- original message", "-----الرسالة الأصلية".encode(), b" wrote:", "كتب:".encode(),
)  # fmt: skip
_COPIED_HEADER = re.compile(
    rb"\n[ >*\t]*(?:from|\xd9\x85\xd9\x86)[ *]*:[^\n]{0,300}\n"
    rb"[ >*\t]*(?:sent|date|to|subject|\xd8\xa5\xd9\x84\xd9\x89)[ *]*:",
    re.I,
)
_MAILTO = re.compile(r"mailto:([^\s<>\"']{1,2000})", re.I)
_FOLD = re.compile(rb"\r?\n[ \t]")


@dataclass(frozen=True, slots=True)
class Mention:
    """An address (local@domain in lower case, as it stands) and where it was found."""

    place: Place
    address: str


def find(message: Message, parts: Iterable[Part]) -> tuple[Mention, ...]:
    """Each address once for each kind of place; at most MAX_FOUND."""
    found: dict[Mention, None] = {}
    for mention in _all(message, parts):
        found[mention] = None
        if len(found) >= MAX_FOUND:
            break
    return tuple(found)


def mailtos(text: str) -> tuple[str, ...]:
    """The addresses of the mailto: links in a text (RFC 6068: the path, and to, cc, bcc of the query)."""
    found: dict[str, None] = {}
    for match in list(_MAILTO.finditer(text))[:MAX_LINKS]:
        path, _, query = match[1].partition("?")
        values = [path] + [v for k, _, v in (one.partition("=") for one in query.split("&")) if k.lower() in _COPIES]
        for one in ",".join(values).split(","):
            local, at, domain = unquote(one).strip().rpartition("@")
            if at and local and domain:
                found[f"{local}@{domain}".lower()] = None
    return tuple(found)


_COPIES: Final = ("to", "cc", "bcc")


def _all(message: Message, parts: Iterable[Part]) -> Iterator[Mention]:
    for field in message.headers:
        if field.name.startswith(b"list-") and field.name not in (b"list-post", b"list-id"):
            yield from (Mention("list", address) for address in mailtos(field.value))
    nested: list[str] = []
    left = MAX_ALL
    for part in parts:
        if left <= 0:
            return
        if part.depth or any(part.path.startswith(above) for above in nested):
            continue
        left -= min(part.size, MAX_READ)
        if part.media_type.startswith("message/"):
            nested.append(part.path + ".")
            yield from (Mention("nested", address) for address, _, _ in _addresses(_readable(part)))
        elif part.media_type == "text/calendar":
            yield from _calendar(_readable(part))
        elif part.is_body or part.media_type in ("text/vcard", "text/x-vcard"):
            yield from _text(_readable(part))


def _readable(part: Part) -> bytes:
    """The part's first octets; entities and percents that hide an @ are taken off."""
    data = part.data[:MAX_READ]
    if part.charset.startswith(("utf-16", "utf-32")):
        data = to_text(data, part.charset).encode("utf-8", "replace")
    if b"&" in data and any(entity in data for entity in _ENTITIES):
        data = html.unescape(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return data.replace(b"%40", b"@") if b"%40" in data else data


def _text(data: bytes) -> Iterator[Mention]:
    if b"@" not in data:
        return
    lowered = data.lower()
    marks = [at for mark in _QUOTE_MARKS if (at := lowered.find(mark)) >= 0]
    if copied := _COPIED_HEADER.search(data):
        marks.append(copied.start())
    quoted = min(marks, default=len(data))
    signed = max(data.find(b"\n-- \n"), data.find(b"\n-- \r\n"))
    for address, start, _ in _addresses(data):
        line = data.rfind(b"\n", 0, start) + 1
        if start > quoted or data[line : line + 4].lstrip()[:1] == b">":
            yield Mention("quoted", address)
        elif lowered[max(start - 7, 0) : start] == b"mailto:":
            yield Mention("link", address)
        else:
            yield Mention("signature" if 0 <= signed < start else "text", address)


def _calendar(data: bytes) -> Iterator[Mention]:
    """Who answers to an invitation answers its organizer, and sees the attendees (RFC 5545 section 3.8.4)."""
    for line in _FOLD.sub(b"", data).splitlines()[:5000]:
        if line[:9].upper() in (b"ORGANIZER", b"ATTENDEE;", b"ATTENDEE:"):
            yield from (Mention("calendar", address) for address, _, _ in _addresses(line))


def _addresses(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Each local@domain with where it begins and ends; one step for each @, whatever stands around it."""
    at = -1
    for _ in range(MAX_PLACES):
        at = data.find(b"@", at + 1)
        if at < 0:
            return
        before, behind = data[max(at - 64, 0) : at], data[at + 1 : at + 254]
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(b".'/")
        domain = behind[: len(behind) - len(behind.lstrip(_DOMAIN))].rstrip(b".-")
        if local and b"." in domain:
            yield f"{local.decode()}@{domain.decode()}".lower(), at - len(local), at + 1 + len(domain)
