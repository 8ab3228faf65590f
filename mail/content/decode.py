"""Content-Transfer-Encodings, by the letter (RFC 2045) and in every way that programs read broken ones. Pure."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, a2b_qp, a2b_uu
from collections.abc import Iterator
from typing import Final

from mail.content.magic import detect

MIN_SNIFFED = 24  # characters of base64 that are worth a try where nobody declared it

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64: Final = bytes(set(range(256)) - set(_ALPHABET))
_NOT_BASE64_OR_PAD: Final = bytes(set(range(256)) - set(_ALPHABET + b"="))
_SPACE: Final = b" \t\r\n"
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_UU_BEGIN = re.compile(rb"(?:^|\n)begin(-base64)?[ \t]+([0-7]{3,4})[ \t]+([^\r\n]+)\r?\n", re.I)
_YENC = re.compile(rb"(?:^|\n)=ybegin ([^\r\n]*)\r?\n(.*?)(?:\n=yend|\Z)", re.S)
_YENC_NAME = re.compile(rb"name=([^\r\n]*)")

UU_NAMES: Final = frozenset({"uuencode", "x-uuencode", "x-uue", "uue"})
IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})


def strict(data: bytes, encoding: str) -> tuple[bytes, bool]:
    """The decoded bytes as a plain reader has them, and whether everything was in order."""
    if encoding == "base64":
        return base64(data)
    if encoding == "quoted-printable":
        return a2b_qp(data), True
    if encoding in IDENTITY:
        return data, True
    if encoding in UU_NAMES:
        found = next(uuencoded(data), None)
        return (found[1], True) if found else (data, False)
    return data, False


def base64(data: bytes) -> tuple[bytes, bool]:
    """Strange characters are skipped (RFC 2045 section 6.8); second: whether there were none and padding is right."""
    packed = data.translate(None, _SPACE)
    try:
        return a2b_base64(packed, strict_mode=True), True
    except Base64Error:
        return _until_pad(data), not packed


def _until_pad(data: bytes) -> bytes:
    head = data.translate(None, _NOT_BASE64_OR_PAD).split(b"=", 1)[0]
    return _quads(head)


def _quads(text: bytes) -> bytes:
    """Decodes alphabet characters only; a lone last character is no byte."""
    text = text[: len(text) - 1] if len(text) % 4 == 1 else text
    return a2b_base64(text + b"=" * (-len(text) % 4))


def every_way(data: bytes, encodings: tuple[str, ...]) -> Iterator[bytes]:
    """What programs make of the body, under each declared encoding and under what it looks like. May repeat."""
    for encoding in encodings or ("7bit",):
        if encoding == "base64":
            yield from base64_ways(data)
        elif encoding == "quoted-printable":
            yield a2b_qp(data)
            yield a2b_qp(re.sub(rb"=[ \t]+(\r?\n)", rb"=\1", data))
        else:
            yield data
    yield from sniffed(data, encodings)


def sniffed(data: bytes, encodings: tuple[str, ...] = ()) -> Iterator[bytes]:
    """What it looks like though nobody declared it, where that gives a file or text."""
    if "base64" not in encodings and looks_base64(data):
        yield from (decoded for decoded in base64_ways(data) if detect(decoded) != "data")
    if "quoted-printable" not in encodings and (b"=3D" in data or b"=\r\n" in data or b"=\n" in data):
        decoded = a2b_qp(data)
        if "base64" in encodings or looks_base64(decoded):
            yield from (twice for twice in base64_ways(decoded) if detect(twice) != "data")
    if set(encodings) & UU_NAMES or b"begin" in data[:64].lower():
        yield from (decoded for _, decoded in uuencoded(data))
    if b"=ybegin" in data:
        yield from (decoded for _, decoded in yencoded(data))


def base64_ways(data: bytes) -> Iterator[bytes]:
    """Ends at padding; goes on past it; starts anew after it; ends at a strange character; skips strange lines."""
    kept = data.translate(None, _NOT_BASE64_OR_PAD)
    yield _quads(kept.split(b"=", 1)[0])
    if b"=" in kept.rstrip(b"="):
        yield b"".join(_quads(piece) for piece in kept.split(b"=") if piece)
        yield _quads(kept.replace(b"=", b""))
    packed = data.translate(None, _SPACE)
    if len(kept) != len(packed):
        clean = re.match(rb"[A-Za-z0-9+/]*", packed)
        if clean and clean[0]:
            yield _quads(clean[0])
        if b"-" in packed or b"_" in packed:
            yield _quads(packed.translate(_URL_SAFE).translate(None, _NOT_BASE64))
        lines = [line.strip() for line in data.splitlines()]
        whole = b"".join(line for line in lines if not line.translate(None, _ALPHABET + b"="))
        yield _quads(whole.split(b"=", 1)[0].translate(None, _NOT_BASE64))
    per_line = [line.strip() for line in data.splitlines() if line.strip()]
    if any(len(line) % 4 for line in per_line[:-1]):
        yield b"".join(_quads(line.translate(None, _NOT_BASE64)) for line in per_line)


def looks_base64(data: bytes) -> bool:
    """Whether most of it is of the alphabet, as no prose is."""
    start = data.lstrip()[:4096]
    packed = start.translate(None, _SPACE)
    if len(packed) < MIN_SNIFFED or start.count(b" ") * 20 > len(packed):
        return False
    return len(packed.translate(None, _ALPHABET + b"=")) * 20 <= len(packed)


def uuencoded(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Files in text by `begin 644 name` or `begin-base64` (POSIX uuencode): name and bytes, as far as they decode."""
    for match in _UU_BEGIN.finditer(data):
        name = match[3].strip().decode("utf-8", "replace")
        rest = data[match.end() :]
        if match[1]:
            yield name, _until_pad(rest.split(b"====", 1)[0])
            continue
        decoded = b"".join(_uu_lines(rest))
        if decoded:
            yield name, decoded


def _uu_lines(data: bytes) -> Iterator[bytes]:
    for raw in data.split(b"\n"):
        line = raw.rstrip(b"\r")
        if line.strip().lower() == b"end":
            return
        if not line.strip() or line in (b"`", b" "):
            continue
        try:
            yield a2b_uu(line)
        except Base64Error:
            length = ((line[0] - 32) & 63) * 4 // 3 + 1  # some writers pad a line with a check character
            try:
                yield a2b_uu(line[: (((line[0] - 32) & 63) * 4 + 5) // 3 + 1] if length else line)
            except Base64Error:
                return


def yencoded(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files in text by `=ybegin … =yend` (yEnc draft 1.3): name and bytes."""
    for match in _YENC.finditer(data):
        name = _YENC_NAME.search(match[1])
        body = re.sub(rb"^=ypart[^\n]*\n", b"", match[2]).translate(None, b"\r\n")
        plain = re.sub(rb"=(.)", lambda m: bytes([(m[1][0] - 64) & 255]), body, flags=re.S)
        yield (name[1].strip().decode("utf-8", "replace") if name else ""), plain.translate(_MINUS_42)


_MINUS_42: Final = bytes((byte - 42) & 255 for byte in range(256))
