"""QUIC: the ClientHello out of Initial packets, which are encrypted with keys that anyone can derive (RFC 9000, 9001,
9369).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from hudhud.event import Value
from sensors.flow import Flow, Half
from sensors.observation import Observation, Tell
from sensors.protocols import hello
from sensors.protocols.tls import client_fields

MAX_INITIALS = 16  # packets of one conversation that are opened
MAX_DATAGRAMS = 32  # of the client that are looked at
MAX_CRYPTO_BYTES = 16 * 1024  # of one ClientHello
_SALTS = {
    0x00000001: bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    0x6B3343CF: bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
    29: bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899"),  # drafts 29 to 32
    23: bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502"),  # drafts 23 to 28
}
_VERSION_2 = 0x6B3343CF


def _salt(version: int) -> bytes | None:
    if version in _SALTS:
        return _SALTS[version]
    if version >> 8 == 0xFF0000:
        draft = version & 0xFF
        return (
            _SALTS[29]
            if 29 <= draft <= 32
            else _SALTS[23]
            if 23 <= draft <= 28
            else _SALTS[1]
            if draft in (33, 34)
            else None
        )
    return None


def begins(data: bytes, web: bool) -> bool:
    """Whether a datagram begins with a QUIC Initial of a version that we can open; on port 443 (`web`) any long
    header will do.
    """
    if web and data and data[0] & 0xC0 == 0xC0:
        return True
    if len(data) < 64 or data[0] & 0xC0 != 0xC0:
        return False
    version = int.from_bytes(data[1:5], "big")
    return data[5] <= 20 and _salt(version) is not None and _is_initial(data[0], version)


def _is_initial(first: int, version: int) -> bool:
    return first >> 4 & 3 == (1 if version == _VERSION_2 else 0)


class Quic:
    """Collects CRYPTO frames of the client until the ClientHello is whole."""

    name = "quic"

    def __init__(self, flow: Flow, tell: Tell) -> None:
        self._flow, self._tell = flow, tell
        self._parts: dict[int, bytes] = {}
        self._keys: dict[bytes, Keys] = {}
        self._opened = self._datagrams = 0
        self._version = 0

    def feed(self, half: Half, data: bytes, time: float) -> None:
        if not half.client:
            return
        self._datagrams += 1
        if self._datagrams > MAX_DATAGRAMS:
            self._flow.parser = None
        if not data[0] & 0x80:
            return
        for version, packet, number_at, connection in initials(data):
            self._opened += 1
            if self._opened > MAX_INITIALS:
                self._flow.parser = None
                return
            self._version = version
            if connection not in self._keys:
                self._keys[connection] = Keys(version, connection)
            # The first connection id's keys stay in use after the server named one of its own; a Retry makes new ones.
            tries = (self._keys[connection], *self._keys.values())
            plain = next((found for keys in tries if (found := keys.open(packet, number_at)) is not None), None)
            if plain is None:
                continue
            for offset, part in crypto_frames(plain):
                if offset + len(part) <= MAX_CRYPTO_BYTES and len(part) > len(self._parts.get(offset, b"")):
                    self._parts[offset] = part
            self._try(time)
            if self._flow.parser is None:
                return

    def _try(self, time: float) -> None:
        whole = b""
        for offset in sorted(self._parts):
            if offset > len(whole):
                return
            whole += self._parts[offset][len(whole) - offset :]
        if len(whole) < 4 or whole[0] != 1 or len(whole) < 4 + int.from_bytes(whole[1:4], "big"):
            return
        self._flow.parser = None
        found = hello.parse_client(whole[4 : 4 + int.from_bytes(whole[1:4], "big")])
        fields: dict[str, Value] = {
            "network.protocol": "quic",
            "hudhud.quic.version": f"0x{self._version:08x}",
            "tls.version": "1.3",
            "tls.version_protocol": "quic",
            **client_fields(found, "q"),
        }
        self._tell(Observation("quic", time, self._flow, fields))

    def gap(self, half: Half, size: int, time: float) -> bool:
        return True

    def finish(self, time: float) -> None:
        """A hello that never became whole tells nothing."""


def initials(data: bytes) -> Iterator[tuple[int, bytes, int, bytes]]:
    """(version, packet, offset of the packet number, destination connection id) of each Initial in a datagram."""
    at = 0
    while at + 7 <= len(data) and data[at] & 0x80:
        start, first = at, data[at]
        version = int.from_bytes(data[at + 1 : at + 5], "big")
        size = data[at + 5]
        connection = data[at + 6 : at + 6 + size]
        at += 6 + size
        at += 1 + data[at]
        initial = _is_initial(first, version)
        if initial:
            token, at = _number(data, at)
            at += token
        elif first >> 4 & 3 == (0 if version == _VERSION_2 else 3):
            return  # Retry has no length
        length, at = _number(data, at)
        if length < 20 or at + length > len(data) or _salt(version) is None:
            return
        if initial:
            yield version, data[start : at + length], at - start, connection
        at += length


def _number(data: bytes, at: int) -> tuple[int, int]:
    """RFC 9000 section 16: a number of 1, 2, 4 or 8 bytes, and the place behind it."""
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        raise ValueError("a number is cut short")
    return int.from_bytes(data[at : at + size], "big") & ((1 << (size * 8 - 2)) - 1), at + size


def crypto_frames(plain: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of each CRYPTO frame; other frames of an Initial are stepped over."""
    at = 0
    while at < len(plain):
        kind = plain[at]
        at += 1
        if kind in (0, 1):
            continue
        if kind == 6:
            offset, at = _number(plain, at)
            size, at = _number(plain, at)
            yield offset, plain[at : at + size]
            at += size
        elif kind in (2, 3):
            for _ in range(2):
                _, at = _number(plain, at)
            ranges, at = _number(plain, at)
            for _ in range(min(ranges, 256) * 2 + 1 + (3 if kind == 3 else 0)):
                _, at = _number(plain, at)
        else:
            return


class Keys:
    """The client's Initial keys of one connection id (RFC 9001 section 5.2)."""

    def __init__(self, version: int, connection: bytes) -> None:
        label = "quicv2" if version == _VERSION_2 else "quic"
        initial = hmac.digest(_salt(version) or b"", connection, "sha256")
        secret = _expand(initial, "client in", 32)
        self._key = _expand(secret, f"{label} key", 16)
        self._iv = _expand(secret, f"{label} iv", 12)
        self._protection = _expand(secret, f"{label} hp", 16)

    def open(self, packet: bytes, number_at: int) -> bytes | None:
        """The frames of an Initial packet; None where it does not open with these keys."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sample = packet[number_at + 4 : number_at + 20]
        if len(sample) < 16:
            return None
        mask = Cipher(algorithms.AES(self._protection), modes.ECB()).encryptor().update(sample)  # noqa: S305 - RFC 9001 section 5.4.3
        first = packet[0] ^ (mask[0] & 0x0F)
        size = (first & 3) + 1
        number = bytes(a ^ b for a, b in zip(packet[number_at : number_at + size], mask[1:5], strict=False))
        nonce = (int.from_bytes(self._iv, "big") ^ int.from_bytes(number, "big")).to_bytes(12, "big")
        header = bytes((first,)) + packet[1:number_at] + number
        try:
            return AESGCM(self._key).decrypt(nonce, packet[number_at + size :], header)
        except InvalidTag:
            return None


def _expand(secret: bytes, label: str, size: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 section 7.1), for up to 32 bytes."""
    name = b"tls13 " + label.encode()
    info = size.to_bytes(2, "big") + bytes((len(name),)) + name + b"\0"
    return hmac.new(secret, info + b"\x01", hashlib.sha256).digest()[:size]
