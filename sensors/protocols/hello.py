"""TLS hellos and the fingerprints made of them: JA3, JA3S (salesforce/ja3) and JA4 (FoxIO, technical_details/JA4.md).
Pure.

RFC 5246, 8446, 6066 (SNI), 7301 (ALPN), 8701 (GREASE).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

MAX_EXTENSIONS = 256  # read of one hello
SNI, GROUPS, POINT_FORMATS, SIGNATURES, ALPN, VERSIONS = 0, 10, 11, 13, 16, 43
GREASE = frozenset(n << 8 | n for n in range(0x0A, 0x100, 0x10))
_JA4_VERSIONS = {
    0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2", 0xFEFF: "d1", 0xFEFD: "d2",
    0xFEFC: "d3",
}  # fmt: skip
_NO_HASH = "000000000000"


@dataclass(frozen=True, slots=True)
class ClientHello:
    """Numbers are as on the wire, GREASE included, in wire order."""

    version: int
    ciphers: tuple[int, ...]
    extensions: tuple[int, ...]
    server_name: str | None
    alpn: tuple[bytes, ...]
    versions: tuple[int, ...]
    groups: tuple[int, ...]
    point_formats: tuple[int, ...]
    signatures: tuple[int, ...]
    session_id: bytes
    has_ticket: bool


@dataclass(frozen=True, slots=True)
class ServerHello:
    version: int  # negotiated
    legacy_version: int
    cipher: int
    extensions: tuple[int, ...]
    alpn: bytes
    session_id: bytes
    retry: bool
    psk: bool


_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446 section 4.1.3


def parse_client(body: bytes) -> ClientHello:
    """A ClientHello without its handshake header. IndexError, ValueError or struct.error where it is none."""
    version = _u16(body, 0)
    at = 34
    session = body[at + 1 : at + 1 + body[at]]
    at += 1 + len(session)
    size = _u16(body, at)
    if size % 2 or at + 2 + size > len(body):
        raise ValueError("the cipher list does not fit")
    ciphers = struct.unpack_from(f">{size // 2}H", body, at + 2)
    at += 2 + size
    at += 1 + body[at]
    found = _extensions(body, at)
    order = tuple(kind for kind, _ in found)
    by_kind = dict(reversed(found))
    return ClientHello(
        version, ciphers, order,
        _server_name(by_kind.get(SNI)),
        _alpn(by_kind.get(ALPN)),
        _u16_list(by_kind.get(VERSIONS, b"")[1:]),
        _u16_list(by_kind.get(GROUPS, b"")[2:]),
        tuple(by_kind.get(POINT_FORMATS, b"")[1:]),
        _u16_list(by_kind.get(SIGNATURES, b"")[2:]),
        session,
        bool(by_kind.get(35)),
    )  # fmt: skip


def parse_server(body: bytes) -> ServerHello:
    """A ServerHello without its handshake header. IndexError, ValueError or struct.error where it is none."""
    legacy = _u16(body, 0)
    at = 34
    retry = body[2:34] == _RETRY
    session = b""
    if not 0x7F00 <= legacy <= 0x7F15:  # drafts of TLS 1.3 up to 21 had no session identifier
        session = body[at + 1 : at + 1 + body[at]]
        at += 1 + len(session)
    cipher = _u16(body, at)
    at += 2 if 0x7F00 <= legacy <= 0x7F15 else 3
    found = _extensions(body, at)
    by_kind = dict(found)
    chosen = by_kind.get(VERSIONS, b"")
    alpn = _alpn(by_kind.get(ALPN))
    return ServerHello(
        _u16(chosen, 0) if len(chosen) == 2 else legacy, legacy, cipher, tuple(kind for kind, _ in found),
        alpn[0] if alpn else b"", session, retry, 41 in by_kind,
    )  # fmt: skip


def _u16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _extensions(body: bytes, at: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    if at + 2 > len(body):
        return found
    end = min(len(body), at + 2 + _u16(body, at))
    at += 2
    while at + 4 <= end and len(found) < MAX_EXTENSIONS:
        kind, size = _u16(body, at), _u16(body, at + 2)
        found.append((kind, body[at + 4 : at + 4 + size]))
        at += 4 + size
    return found


def _u16_list(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from(f">{len(data) // 2}H", data)


def _server_name(data: bytes | None) -> str | None:
    if data is None or len(data) < 5 or data[2]:
        return None
    name = data[5 : 5 + _u16(data, 3)]
    text = name.decode("latin-1").lower()
    return (
        text
        if name.isascii() and text.isprintable()
        else "".join(chr(c) if 32 < c < 127 else f"\\{c:03d}" for c in name)
    )


def _alpn(data: bytes | None) -> tuple[bytes, ...]:
    names: list[bytes] = []
    at = 2
    while data and at < len(data) and len(names) < 32:
        names.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return tuple(names)


def ja3(hello: ClientHello) -> str:
    """MD5 of version, ciphers, extensions, groups and point formats, without GREASE."""
    lists = (hello.ciphers, hello.extensions, hello.groups, hello.point_formats)
    text = f"{hello.version}," + ",".join("-".join(str(n) for n in numbers if n not in GREASE) for numbers in lists)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def ja3s(hello: ServerHello) -> str:
    """MD5 of version, cipher and extensions of the server."""
    text = f"{hello.legacy_version},{hello.cipher}," + "-".join(str(n) for n in hello.extensions)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def ja4(hello: ClientHello, transport: str = "t") -> str:
    """The JA4 fingerprint; `transport` is t (TCP), q (QUIC) or d (DTLS)."""
    versions = [v for v in hello.versions if v not in GREASE]
    version = max(versions) if versions else hello.version
    ciphers = [c for c in hello.ciphers if c not in GREASE]
    extensions = [e for e in hello.extensions if e not in GREASE]
    head = (
        f"{transport}{_JA4_VERSIONS.get(version, '00')}{'d' if SNI in extensions else 'i'}"
        f"{min(len(ciphers), 99):02d}{min(len(extensions), 99):02d}{_ja4_alpn(hello.alpn)}"
    )
    kept = ",".join(f"{e:04x}" for e in sorted(e for e in extensions if e not in (SNI, ALPN)))
    signatures = ",".join(f"{s:04x}" for s in hello.signatures if s not in GREASE)
    tail = f"{kept}_{signatures}" if signatures else kept
    return f"{head}_{_short(','.join(f'{c:04x}' for c in sorted(ciphers)))}_{_short(tail) if extensions else _NO_HASH}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else _NO_HASH


def _ja4_alpn(names: tuple[bytes, ...]) -> str:
    if not names or not names[0]:
        return "00"
    first = names[0]
    ends = bytes((first[0], first[-1]))
    if ends.isalnum() and ends.isascii():
        return ends.decode()
    text = first.hex()
    return text[0] + text[-1]
