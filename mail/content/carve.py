"""The carved reading: files that stand encoded in text: uuencode, yEnc, base64 lines, data: addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from mail.content import decode

MIN_DECODED = 32  # octets; what is shorter is no file
MAX_FOUND = 100  # in one text
WINDOW = 256 * 1024  # octets
LONGEST = 1024  # octets at the end of a window that may be the beginning of a file

_LINE = rb"(?!--)[>| \t]{0,8}[A-Za-z0-9+/_-]{%d,}={0,2}[ \t]*"
_LINES = re.compile(rb"(?:^|(?<=\n))(?:" + _LINE % 38 + rb"\r?\n){1,}(?:" + _LINE % 2 + rb")?")
_DATA_URL = re.compile(
    rb"data:([a-z0-9.+/-]{0,100})((?:;[^,;\s\"']{0,100}){0,5}?);base64,((?:[A-Za-z0-9+/=]|%[0-9a-f]{2}|\s){20,})", re.I
)
_QUOTES = re.compile(rb"(?m)^[>| \t]+")
_ONE_LINE = re.compile(rb"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/]{200,}={0,2}(?![A-Za-z0-9+/=])")


def carve(data: bytes) -> Iterator[tuple[str, str, bytes]]:
    """(name, media type, bytes) of each file found; "" where unknown. At most MAX_FOUND."""
    for count, found in enumerate(_carve(data)):
        if count >= MAX_FOUND:
            return
        yield found


def _carve(data: bytes) -> Iterator[tuple[str, str, bytes]]:
    if b"begin" in data.lower():
        for name, decoded in chain(decode.uuencoded(data), decode.yencoded(data)):
            yield name, "", decoded
    if b";base64," in data:
        for match in _DATA_URL.finditer(data):
            decoded = decode.base64(match[3].replace(b"%2B", b"+").replace(b"%2F", b"/").replace(b"%3D", b"="))[0]
            yield "", match[1].decode("ascii").lower(), decoded
    for pattern in (_LINES, _ONE_LINE):
        for match in _windows(pattern, data):
            quoted = any(mark in match[0] for mark in (b">", b"|", b" ", b"\t"))
            decoded = decode.base64(_QUOTES.sub(b"", match[0]) if quoted else match[0])[0]
            if len(decoded) >= MIN_DECODED and decode.plausible(decoded):
                yield "", "", decoded


def _windows(pattern: re.Pattern[bytes], data: bytes) -> Iterator[re.Match[bytes]]:
    """As finditer, but never longer than WINDOW octets in one call: nobody else runs while an expression looks."""
    at = 0
    while at < len(data):
        end = min(at + WINDOW, len(data))
        match = pattern.search(data, at, end)
        if match is None:
            line = data.rfind(b"\n", at, end) + 1 or end - _run(data[max(at, end - LONGEST) : end])
            at = end if end == len(data) or line <= at else line  # neither a line is cut nor a run of letters
            continue
        if end < len(data) and match.end() > end - LONGEST:  # it may go on
            match = pattern.match(data, match.start()) or match
        yield match
        at = match.end()


def _run(data: bytes) -> int:
    """How many octets at the end are of the base64 alphabet."""
    return len(data) - len(data.rstrip(_ALPHABET))


_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
