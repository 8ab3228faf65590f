"""The Content-* fields of an entity, read by the letter (RFC 2045, 2183, 2231) and as programs do. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mail.content.params import COMMENT, decode_words, values

MAX_FIELD = 8 * 1024  # octets of one field that are read
MAX_FIELDS = 50  # of one block that are read every way: programs take the first or the last of its kind

_FIELD = re.compile(
    rb"^[ \t]{0,0}content-(type|transfer-encoding|disposition)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.I | re.M
)
_LOOSE_FIELD = re.compile(
    rb"(?:^|[\r\n])[ \t\xef\xbb\xbf]*content[ \t]*-[ \t]*(type|transfer-encoding|disposition)[ \t]*[:=]"
    rb"((?:[^\r\n]|\r?\n[ \t]|\r[ \t])*)",
    re.I,
)
_TYPE = re.compile(rb"\s*([A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+)\s*(?=;|$)")
_FIRST = re.compile(rb"\s*([a-z0-9!#$&^_.+-]+(?:/[a-z0-9!#$&^_.+-]+)?)\s*(?=;|$)", re.I)
_PLAIN_PARAM = re.compile(rb';\s*([a-z0-9*-]+)=(?:"([^"\\]*)"|([^\s;"()<>@,:\\\[\]=]+))\s*(?=;|$)', re.I)


@dataclass(frozen=True, slots=True)
class Head:
    """What an entity says of itself. The first of each is what the standards make of it, the others what programs may.

    `odd` is true where the fields are not plain, so that a second look is due.
    """

    types: tuple[str, ...] = ()
    boundaries: tuple[bytes, ...] = ()
    encodings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    disposition: str = ""
    charset: str = ""
    odd: bool = False
    strict_boundary: bool = True


NOTHING: Final = Head()


def read_head(head: bytes) -> Head:
    """The Content-* fields of a header block; the quick way where they are plain, else every way at once."""
    fields = _FIELD.findall(head)
    if not fields:
        return NOTHING
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        key = name.lower()
        if key in found or len(value) > MAX_FIELD or b"\x00" in value:
            return _every_way(fields)
        found[key] = value
    return _plain(found) or _every_way(fields)


def read_loosely(head: bytes) -> Head:
    """The same for a block whose fields only a tolerant reader sees (spaces, NUL, bare CR, no colon)."""
    return _every_way(_LOOSE_FIELD.findall(head.replace(b"\x00", b"")))


def _plain(found: dict[bytes, bytes]) -> Head | None:
    """None where a field is not in the grammar. Names may stand in RFC 2231 pieces or, as is usual, RFC 2047 words."""
    kind, params = _plain_params(found.get(b"type", b""))
    place, more = _plain_params(found.get(b"disposition", b""))
    encoding = found.get(b"transfer-encoding", b"7bit").strip().lower()
    if kind is None or place is None or encoding not in _ENCODINGS:
        return None
    names = (
        *_plain_names(found.get(b"disposition", b""), more, b"filename"),
        *_plain_names(found.get(b"type", b""), params, b"name"),
    )
    boundary = params.get(b"boundary", b"").rstrip()
    if b"=?" in boundary:
        return None
    pieces = [key for key in (*params, *more) if b"*" in key]
    if any(key.startswith(b"boundary*") for key in pieces) or pieces != sorted(pieces, key=_number):
        return None
    return Head(
        types=(kind.decode("ascii", "replace"),) if kind else (),
        boundaries=(boundary,) if boundary else (),
        encodings=(encoding.decode(),) if b"transfer-encoding" in found else (),
        names=tuple(dict.fromkeys(names)),
        disposition=place.decode("ascii", "replace"),
        charset=params.get(b"charset", b"").decode("ascii", "replace").lower(),
    )


def _number(key: bytes) -> int:
    """The number of an RFC 2231 piece: name*2* is 2."""
    digits = key.partition(b"*")[2].rstrip(b"*")
    return int(digits[:4]) if digits.isdigit() else 0


def _plain_names(field: bytes, params: dict[bytes, bytes], wanted: bytes) -> list[str]:
    """The name as programs that keep to RFC 2231 show it, then the plain parameter where both stand."""
    found = []
    if any(key.startswith(wanted + b"*") for key in params):
        found = values(field, wanted.decode())[:1]
    if wanted in params:
        found.append(decode_words(params[wanted]))
    return [name.decode("utf-8", "replace") for name in found if name]


_ENCODINGS: Final = frozenset({b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"})


def _plain_params(value: bytes) -> tuple[bytes | None, dict[bytes, bytes]]:
    """The first word and the parameters; None where something is not in the grammar, or twice there."""
    text = value.rstrip(b"; \t\r\n")
    if not text.strip():
        return b"", {}
    match = _FIRST.match(text)
    if match is None:
        return None, {}
    word, at = match[1].lower(), match.end()
    params: dict[bytes, bytes] = {}
    while at < len(text):
        param = _PLAIN_PARAM.match(text, at)
        if param is None or param[1].lower() in params:
            return None, {}
        quoted, token = param[2], param[3]
        params[param[1].lower()] = token if quoted is None else quoted.replace(b"\r", b"").replace(b"\n", b"")
        at = param.end()
    return word, params


def _every_way(fields: Sequence[tuple[bytes, bytes]]) -> Head:
    types: list[str] = []
    boundaries: list[bytes] = []
    encodings: list[str] = []
    names: list[str] = []
    disposition = charset = ""
    if len(fields) > MAX_FIELDS:
        fields = [*fields[: MAX_FIELDS // 2], *fields[-MAX_FIELDS // 2 :]]
    for name, value in fields:
        key, text = name.lower(), value[:MAX_FIELD].replace(b"\x00", b"")
        if key == b"transfer-encoding":
            encodings += _encodings(text)
            continue
        if key == b"type":
            types += _types(text)
            for boundary in values(text, "boundary"):
                boundaries += _boundaries(boundary)
            charset = charset or "".join(v.decode("ascii", "replace") for v in values(text, "charset")[:1]).lower()
        else:
            disposition = disposition or COMMENT.sub(b"", text).split(b";")[0].strip().lower().decode(
                "ascii", "replace"
            )
        names += [shown for raw in (*values(text, "filename"), *values(text, "name")) for shown in _names(raw)]
    return Head(
        tuple(dict.fromkeys(types)), tuple(dict.fromkeys(boundaries)), tuple(dict.fromkeys(encodings)),
        tuple(dict.fromkeys(filter(None, names))), disposition, charset, odd=True,
    )  # fmt: skip


def _types(value: bytes) -> list[str]:
    """The media type as it stands, without comments, and as a reader that skips garbage sees it."""
    found = []
    for text in (value, COMMENT.sub(b"", value), re.sub(rb"[\s\"']", b"", value)):
        match = _TYPE.match(text) or re.search(rb"(?<![A-Za-z0-9.+-])([A-Za-z0-9.+-]{1,80}/[A-Za-z0-9.+-]{1,80})", text)
        if match:
            found.append(match[1].decode("ascii", "replace").lower())
        for match in re.finditer(rb"(multipart|message)/[A-Za-z0-9.+-]+", text, re.I):
            found.append(match[0].decode().lower())
    return found


def _encodings(value: bytes) -> list[str]:
    """The token as it stands, without comments, and any known encoding that is named in it."""
    texts = [value, COMMENT.sub(b"", value), re.sub(rb"[^A-Za-z0-9-]", b"", value)]
    found = [text.strip().strip(b"\"';").lower().decode("ascii", "replace") for text in texts]
    squeezed = texts[2].lower()
    found += [known for mark, known in _NAMED_IN if mark in squeezed]
    return [word for word in found if word]


_NAMED_IN: Final = (
    (b"64", "base64"), (b"quoted", "quoted-printable"), (b"printable", "quoted-printable"), (b"uu", "uuencode"),
    (b"binhex", "binhex"),
)  # fmt: skip


def _boundaries(value: bytes) -> list[bytes]:
    """The boundary, and what is left of it without trailing space, quotes, an encoded word, or what follows a space."""
    found = [value, value.rstrip(), value.strip(b"\"' \t"), decode_words(value)]
    found += [value.split(None, 1)[0]] if value.split() else []
    found += [value.split(b",")[0], re.sub(rb"\s+", b"", value), re.sub(rb"\s+", b" ", value).strip()]
    return [text for text in found if text]


def _names(raw: bytes) -> list[str]:
    """A file name as it stands, and with its encoded words decoded (RFC 2047, though RFC 2045 forbids them there)."""
    decoded = decode_words(raw)
    return [text.decode("utf-8", "replace") for text in ([decoded, raw] if decoded != raw else [raw])]
