"""What stands compressed in a PDF's streams, as one text (ISO 32000-1 section 7.3.8). Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final

from mail.content.opened import Entry, Opened

MAX_STREAMS: Final = 2000  # of one PDF
DICTIONARY: Final = 400  # octets before a stream in which its dictionary is looked for

_ENCRYPTED = re.compile(rb"/Encrypt\s+\d+\s+\d+\s+R")


def pdf(data: bytes, room: int) -> Opened:
    """Streams that are deflated and no pictures, at most `room` octets of them; whether the file is encrypted.

    Time grows with the size of the file and of what comes out: each octet is looked at once.
    """
    found: list[bytes] = []
    limits: set[str] = set()
    for number, packed in enumerate(_deflated(data)):
        if number >= MAX_STREAMS or room <= 0:
            limits.add("max_pdf_streams" if room > 0 else "max_unpacked_bytes")
            break
        try:
            text = zlib.decompressobj().decompress(packed, room)
        except zlib.error:
            continue
        found.append(text)
        room -= len(text)
    entries = (Entry("", b"\n".join(found), media_type="application/x-pdf-streams"),) if found else ()
    encrypted = b"/Encrypt" in data and _ENCRYPTED.search(data) is not None
    return Opened(entries, encrypted, tuple(sorted(limits)))


def _deflated(data: bytes) -> Iterator[memoryview]:
    """The octets of each stream whose dictionary says FlateDecode; one without an end goes to the end of the file."""
    whole = memoryview(data)
    at = 0
    while (at := data.find(b"stream", at)) >= 0:
        begin = at + len(b"stream")
        start = begin + (2 if data[begin : begin + 2] == b"\r\n" else 1 if data[begin : begin + 1] == b"\n" else 0)
        if start == begin:
            at = begin
            continue
        end = data.find(b"endstream", start)
        dictionary = data[max(0, at - DICTIONARY) : at].rpartition(b"obj")[2]
        if b"FlateDecode" in dictionary and b"/Image" not in dictionary:
            yield whole[start : end if end >= 0 else len(data)]
        if end < 0:
            return
        at = end + len(b"endstream")
