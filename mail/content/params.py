"""Parameters of a Content-* field as tolerant programs read them: pieces, stray quotes, encoded words. Pure."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, a2b_qp
from typing import Final
from urllib.parse import unquote_to_bytes

MAX_PIECES: Final = 100  # RFC 2231 continuations of one value

COMMENT: Final = re.compile(rb"\((?:[^()\\]|\\.)*\)")

_PARAM = re.compile(
    rb'(?<![A-Za-z0-9_.$-])([A-Za-z0-9_.$-]{1,60}(?:\*\d{0,9})?\*?)\s{0,99}=\s{0,99}("(?:[^"\\]|\\.)*"?|[^;]*)', re.S
)
_NAME = re.compile(r"^([^'*]+)(?:\*(\d{1,4}))?(\*)?$")
_WORD = re.compile(rb"=\?([^?\s]{1,40})\?([bq])\?([^?]*)\?=", re.I)


def values(field: bytes, wanted: str) -> list[bytes]:
    """Every value that some reader takes for the parameter, each once; UTF-8 where a charset was named."""
    found: list[bytes] = []
    no_comments = COMMENT.sub(b"", field)
    for text in dict.fromkeys((field, no_comments, re.sub(rb"\r?\n[ \t]+", b"; ", no_comments))):
        found += _read(text, wanted)
    for match in re.finditer(rb"(?:^|[\s;])" + wanted.encode() + rb"\s*=\s*([^\r\n]*)", field, re.I):
        line = match[1].strip()
        found += (
            [line.replace(b'"', b"").replace(b"\\", b""), line.strip(b"\"'")]
            if b";" in line or b'"' in line[1:-1]
            else []
        )
    return list(dict.fromkeys(value for value in found if value))


def _read(text: bytes, wanted: str) -> list[bytes]:
    """The pieces joined by number and in the order they stand, then values with a charset, then plain ones."""
    pieces: list[tuple[int, bytes]] = []
    named: list[bytes] = []
    plain: list[bytes] = []
    charset = ""
    for raw_name, raw in _PARAM.findall(text):
        match = _NAME.match(raw_name.decode("ascii", "replace").lower())
        if match is None or match[1] != wanted:
            continue
        value = _unquoted(raw)
        if match[2] is not None:
            said, value = _extended(value) if match[3] else ("", value)
            charset = charset or said
            pieces.append((int(match[2]), value))
            continue
        if match[3]:
            said, decoded = _extended(value)
            named.append(_to_utf8(decoded, said))
        plain.append(value)
        if raw[:1] != b'"' and value.split():
            plain.append(value.split(None, 1)[0])
    ordered = b"".join(value for _, value in sorted(pieces[:MAX_PIECES], key=lambda piece: piece[0]))
    standing = b"".join(value for _, value in pieces[:MAX_PIECES])
    joined = [_to_utf8(ordered, charset), _to_utf8(standing, charset)] if pieces else []
    return [*joined, *named, *plain]


def _extended(value: bytes) -> tuple[str, bytes]:
    """Charset and octets of charset'language'percent-encoded (RFC 2231 section 4)."""
    charset, quote, rest = value.partition(b"'")
    if quote and b"'" in rest:
        return charset.decode("ascii", "replace"), unquote_to_bytes(rest.partition(b"'")[2])
    return "", unquote_to_bytes(value)


def _to_utf8(value: bytes, charset: str) -> bytes:
    return to_text(value, charset).encode("utf-8", "replace") if charset else value


def _unquoted(raw: bytes) -> bytes:
    text = re.sub(rb"\r?\n", b"", raw).strip()
    if text[:1] == b'"':
        closed = len(text) > 1 and text.endswith(b'"')
        return re.sub(rb"\\(.)", rb"\1", text[1:-1] if closed else text[1:], flags=re.S)
    return text


def decode_words(data: bytes) -> bytes:
    """Encoded words (RFC 2047) in `data` decoded to UTF-8; what is none stays."""
    if b"=?" not in data:
        return data
    return _WORD.sub(_word, re.sub(rb"(\?=)\s+(=\?)", rb"\1\2", data))


def _word(match: re.Match[bytes]) -> bytes:
    charset, kind, text = match[1].partition(b"*")[0], match[2].lower(), match[3]
    try:
        raw = a2b_base64(text + b"==") if kind == b"b" else a2b_qp(text, header=True)
    except Base64Error:
        return match[0]
    return to_text(raw, charset.decode("ascii", "replace")).encode("utf-8", "replace")


def to_text(data: bytes, charset: str) -> str:
    """`data` as text: by its charset where Python knows it and it fits, else as UTF-8, else as Latin-1."""
    if charset.lower() in ("utf-16", "utf16") and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        charset = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"  # RFC 2781 section 4.3 says BE; programs look
    for name in (charset, "utf-8"):
        if name:
            try:
                return data.decode(name)
            except (LookupError, UnicodeError, ValueError):
                continue
    return data.decode("latin-1")
