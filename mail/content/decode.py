"""Content-Transfer-Encodings, by the letter (RFC 2045) and in every way that programs read broken ones. Pure."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, a2b_qp, a2b_uu
from collections.abc import Iterable, Iterator
from typing import Final

from mail.content.magic import detect

MAX_PARAGRAPHS = 8  # of a base64 body that are read by themselves
MIN_SNIFFED = 24  # characters of base64 that are worth a try where nobody declared it

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64: Final = bytes(set(range(256)) - set(_ALPHABET))
_NOT_BASE64_OR_PAD: Final = bytes(set(range(256)) - set(_ALPHABET + b"="))
_SPACE: Final = b" \t\r\n"
_PARAGRAPH = re.compile(rb"\r?\n[\s]*\n\s*")
_BASE64_START = re.compile(rb"[A-Za-z0-9+/]+")
_QP_BAD = re.compile(rb"=(?![0-9A-F]{2}|\r?\n)")
_QP_JUNK: Final = (
    re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)"),  # = goes, what follows stays
    re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n).{0,2}"),  # what follows goes too
    re.compile(rb"=[0-9A-Fa-f \t]?(?![0-9A-Fa-f\r\n])"),  # half a pair goes
    re.compile(rb"=[0-9A-Fa-f]?[a-f]"),  # only capitals count
)
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_UU_BEGIN = re.compile(rb"(?:^|\n)begin(-base64)?[ \t]+([0-7]{3,4})[ \t]+([^\r\n]+)\r?\n", re.I)
_YENC = re.compile(rb"(?:^|\n)=ybegin ([^\r\n]*)\r?\n(.*?)(?:\n=yend|\Z)", re.S)
_YENC_NAME = re.compile(rb"name=([^\r\n]*)")

BASE64_NAMES: Final = frozenset({"base64", "gzip64", "x-gzip64"})
UU_NAMES: Final = frozenset({"uuencode", "x-uuencode", "x-uue", "uue", "x-uu", "uu"})
BINHEX_NAMES: Final = frozenset({"binhex", "binhex40", "mac-binhex", "mac-binhex40", "x-binhex", "x-binhex40"})
IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})


def strict(data: bytes, encoding: str) -> tuple[bytes, bool]:
    """The decoded bytes as a plain reader has them, and whether everything was in order."""
    if encoding == "base64":
        return base64(data)
    if encoding == "quoted-printable":
        return a2b_qp(data), _QP_BAD.search(data) is None
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


def every_way(data: bytes, encodings: tuple[str, ...], *, text: bool = True) -> Iterator[bytes]:
    """What programs make of the body, under each declared encoding and under what it looks like. May repeat.

    `text` False: the body is a file, so that programs which turn CRLF into LF get other bytes of it.
    """
    for encoding in encodings or ("7bit",):
        if encoding in BASE64_NAMES:
            for count, decoded in enumerate(base64_ways(data)):
                if count == 0 or plausible(decoded):
                    yield decoded
        elif encoding == "quoted-printable":
            yield from _both_ends(qp_ways(data), text)
        elif encoding in UU_NAMES:
            yield _uu_body(data, 0)[0]
        elif encoding in BINHEX_NAMES:
            yield from (decoded for _, decoded in binhexed(b":" + data.strip().strip(b":") + b":"))
        else:
            yield from _both_ends((data,), text)
    yield from sniffed(data, encodings)


def sniffed(data: bytes, encodings: tuple[str, ...] = ()) -> Iterator[bytes]:
    """What it looks like though nobody declared it, where that gives a file or text."""
    if "base64" not in encodings and looks_base64(data):
        yield from (decoded for decoded in base64_ways(data) if plausible(decoded))
    if "quoted-printable" not in encodings and (b"=3D" in data or b"=\r\n" in data or b"=\n" in data):
        decoded = a2b_qp(data)
        if "base64" in encodings or looks_base64(decoded):
            yield from (twice for twice in base64_ways(decoded) if plausible(twice))
    if b"begin" in data[:64].lower():
        yield from (decoded for _, decoded in uuencoded(data))
    if b"=ybegin" in data:
        yield from (decoded for _, decoded in yencoded(data))
    if b"BinHex 4" in data:
        yield from (decoded for _, decoded in binhexed(data))


def plausible(decoded: bytes) -> bool:
    """Whether it is a kind of file that is known, or text; not octets of a wrong guess."""
    kind = detect(decoded)
    if kind != "text":
        return kind not in ("data", "") or b"PK\x03\x04" in decoded[:4096]
    try:
        return bool(decoded[:4096].decode("utf-8"))
    except UnicodeDecodeError as error:
        return error.start > 4000


def _both_ends(readings: Iterable[bytes], text: bool) -> Iterator[bytes]:
    for reading in readings:
        yield reading
        if not text and b"\r\n" in reading:
            yield reading.replace(b"\r\n", b"\n")


def qp_ways(data: bytes) -> Iterator[bytes]:
    """Quoted-printable as programs read it where no pair in capitals follows the = (RFC 2045 section 6.7)."""
    yield a2b_qp(data)
    if _QP_BAD.search(data):
        trimmed = re.sub(rb"=[ \t]+(?=\r?\n)", b"=", data)
        yield a2b_qp(trimmed)
        for junk in _QP_JUNK:
            yield a2b_qp(junk.sub(b"", trimmed))


def base64_ways(data: bytes) -> Iterator[bytes]:
    """What is made of base64 with padding inside, strange characters, or lines that are no whole quadruples."""
    kept = data.translate(None, _NOT_BASE64_OR_PAD)
    yield _quads(kept.split(b"=", 1)[0])  # ends at padding
    if b"=" in kept.rstrip(b"="):
        yield b"".join(_quads(piece) for piece in kept.split(b"=") if piece)  # starts anew after padding
        yield _quads(kept.replace(b"=", b""))  # goes on past it
        yield _quads(kept.replace(b"=", b"A"))  # takes it for zero
        if kept.count(b"=") * 64 > len(kept):  # quadruple by quadruple
            yield b"".join(_quads(kept[at : at + 4].replace(b"=", b"")) for at in range(0, len(kept), 4))
    packed = data.translate(None, _SPACE)
    lines = [line.strip() for line in data.splitlines() if line.strip()]
    if len(kept) != len(packed):
        begins = [match[0] for line in lines if (match := _BASE64_START.match(line))]
        yield _quads(begins[0]) if begins else b""  # ends at the first strange character
        yield _joined(begins)  # ends the line there
        yield _joined([line for line in lines if not line.translate(None, _ALPHABET + b"=")])  # skips such lines
        if b"-" in packed or b"_" in packed:
            yield _quads(packed.translate(_URL_SAFE).translate(None, _NOT_BASE64))
    if 1 < len(paragraphs := _PARAGRAPH.split(data.strip())) <= MAX_PARAGRAPHS:
        yield from (_joined([paragraph]) for paragraph in paragraphs)  # begins or ends at an empty line
    if sum(len(line) % 4 > 0 for line in lines[:-1]) * 4 > len(lines):
        yield b"".join(_quads(line.translate(None, _NOT_BASE64)) for line in lines)  # each line by itself
        yield _joined([line[: len(line) // 4 * 4] for line in lines])  # whole quadruples of each line


def _joined(lines: list[bytes]) -> bytes:
    return _quads(b"".join(lines).split(b"=", 1)[0].translate(None, _NOT_BASE64))


def looks_base64(data: bytes) -> bool:
    """Whether most of it is of the alphabet, as no prose is."""
    start = data.lstrip()[:4096]
    packed = start.translate(None, _SPACE)
    if len(packed) < MIN_SNIFFED or start.count(b" ") * 20 > len(packed):
        return False
    if start.split(b"\n", 1)[0].strip().translate(None, _ALPHABET + b"="):
        return False  # a field or a sentence before it
    return len(packed.translate(None, _ALPHABET + b"=")) * 20 <= len(packed)


def uuencoded(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Files in text by `begin 644 name` or `begin-base64` (POSIX uuencode): name and bytes, as far as they decode."""
    at = 0
    while match := _UU_BEGIN.search(data, at):  # none inside what was decoded: each octet once, whatever is sent
        name, start = match[3].strip().decode("utf-8", "replace"), match.end()
        if match[1]:
            end = data.find(b"====", start)
            at = len(data) if end < 0 else end
            yield name, _until_pad(data[start:at])
            continue
        decoded, at = _uu_body(data, start)
        if decoded:
            yield name, decoded


def _uu_body(data: bytes, at: int) -> tuple[bytes, int]:
    """The file whose lines begin at `at`, and the offset of the line end before the first line that is not of it."""
    found = []
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line = data[at:end].rstrip(b"\r")
        if line.strip().lower() == b"end":
            break
        if line.strip() and line not in (b"`", b" "):
            decoded = _uu_line(line)
            if decoded is None:
                break
            found.append(decoded)
        at = end + 1
    return b"".join(found), max(at - 1, 0)


def _uu_line(line: bytes) -> bytes | None:
    try:
        return a2b_uu(line)
    except Base64Error:
        length = ((line[0] - 32) & 63) * 4 // 3 + 1  # some writers pad a line with a check character
        try:
            return a2b_uu(line[: (((line[0] - 32) & 63) * 4 + 5) // 3 + 1] if length else line)
        except Base64Error:
            return None


def binhexed(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files in text by BinHex 4.0 (RFC 1741): name and data fork."""
    for match in _BINHEX.finditer(data):
        packed = match[1].translate(None, b"\r\n\t :").translate(_HQX_TO_BASE64, _NOT_HQX)
        raw = _unrepeated(_quads(packed))
        if len(raw) < 22 or len(raw) < raw[0] + 20:
            continue
        name, rest = raw[1 : 1 + raw[0]], raw[1 + raw[0] :]
        size = int.from_bytes(rest[11:15], "big")
        yield name.decode("mac-roman", "replace"), rest[21 : 21 + size]


def _unrepeated(data: bytes) -> bytes:
    """Takes off BinHex's run lengths: 0x90 and a count repeat the octet before; 0x90 0x00 is 0x90 itself."""
    out = bytearray()
    at = 0
    while at < len(data):
        if data[at] != 0x90 or at + 1 >= len(data):
            out.append(data[at])
            at += 1
            continue
        count = data[at + 1]
        out += b"\x90" if count == 0 else out[-1:] * (count - 1)
        at += 2
    return bytes(out)


_HQX: Final = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
_NOT_HQX: Final = bytes(set(range(256)) - set(_HQX))
_HQX_TO_BASE64: Final = bytes.maketrans(_HQX, _ALPHABET)
_BINHEX = re.compile(rb"(?:^|\n)[ \t]{0,8}:([!-,\-0-9@A-Z\[`a-r\s]{30,}):")


def yencoded(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files in text by `=ybegin … =yend` (yEnc draft 1.3): name and bytes."""
    for match in _YENC.finditer(data):
        name = _YENC_NAME.search(match[1])
        body = re.sub(rb"^=ypart[^\n]*\n", b"", match[2]).translate(None, b"\r\n")
        plain = re.sub(rb"=(.)", lambda m: bytes([(m[1][0] - 64) & 255]), body, flags=re.S)
        yield (name[1].strip().decode("utf-8", "replace") if name else ""), plain.translate(_MINUS_42)


_MINUS_42: Final = bytes((byte - 42) & 255 for byte in range(256))
