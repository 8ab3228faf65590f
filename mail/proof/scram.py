"""SCRAM-SHA-256 as a server (RFC 5802, 7677), without channel binding. Pure but for the nonce.

All keys of an account have one salt, so that its app passwords and its main one can answer the same challenge: the
proof is tried on each. An unknown account is challenged with a salt that is always the same for that name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mail.proof.prepare import prepared, prepared_or_same

NAME: Final = "SCRAM-SHA-256"
ITERATIONS: Final = 100_000  # PBKDF2 rounds, done by the client at each log-in; RFC 7677 asks for 4,096 at least
SALT: Final = 16  # octets
NONCE: Final = 18  # octets of randomness

_FIRST = re.compile(r"(n|y|p=[A-Za-z0-9.-]+),(a=[^,\0]*)?,(n=([^,\0]+),r=([!-+\--~]{1,512})(?:,.*)?)", re.DOTALL)
_FINAL = re.compile(r"(c=([A-Za-z0-9+/=]+),r=([!-+\--~]+)(?:,[A-Za-z]=[^,\0]*)*),p=([A-Za-z0-9+/=]+)", re.DOTALL)
_STORED = re.compile(r"SCRAM-SHA-256\$(\d{1,8}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


class ScramError(ValueError):
    """A message outside the grammar, or one that asks for what is not offered."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What is stored instead of a password (RFC 5802 section 3)."""

    iterations: int
    salt: bytes
    stored: bytes
    server: bytes

    @classmethod
    def make(cls, password: str, salt: bytes, iterations: int = ITERATIONS) -> Keys:
        """Keys of a password, about 30 ms; ValueError where RFC 4013 forbids the password."""
        salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, iterations)
        client = hmac.digest(salted, b"Client Key", "sha256")
        return cls(iterations, salt, hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256"))

    @classmethod
    def parse(cls, text: str) -> Keys | None:
        """Keys as RFC 5803 writes them; None for anything else."""
        found = _STORED.fullmatch(text)
        if found is None:
            return None
        try:
            salt, stored, server = (base64.b64decode(part, validate=True) for part in found.group(2, 3, 4))
        except binascii.Error:
            return None
        fits = len(stored) == len(server) == hashlib.sha256().digest_size and salt and int(found[1]) > 0
        return cls(int(found[1]), salt, stored, server) if fits else None

    def __str__(self) -> str:
        salt, stored, server = (base64.b64encode(part).decode() for part in (self.salt, self.stored, self.server))
        return f"{NAME}${self.iterations}:{salt}${stored}:{server}"

    def signature(self, proof: bytes, message: bytes) -> bytes | None:
        """The server's signature where the proof is of these keys, else None."""
        client = bytes(a ^ b for a, b in zip(proof, hmac.digest(self.stored, message, "sha256"), strict=True))
        if not hmac.compare_digest(hashlib.sha256(client).digest(), self.stored):
            return None
        return hmac.digest(self.server, message, "sha256")


def salt_of(secret: bytes, address: str) -> bytes:
    """The salt of an account that has none yet, or that does not exist: always the same for an address."""
    return hmac.digest(secret, b"scram salt\0" + address.encode(), "sha256")[:SALT]


@dataclass(frozen=True, slots=True)
class First:
    """The client's first message: `name` is who wants in, prepared; the rest is needed for the signature."""

    gs2: str
    bare: str
    name: str
    nonce: str

    @classmethod
    def parse(cls, message: bytes) -> First:
        """ScramError names what is wrong with it."""
        try:
            text = message.decode("utf-8")
        except UnicodeDecodeError:
            raise ScramError("not UTF-8") from None
        found = _FIRST.fullmatch(text)
        if found is None:
            raise ScramError("not a first message (RFC 5802 section 7); extensions are not known here")
        if found[1].startswith("p="):
            raise ScramError("channel binding is not offered")
        name = prepared_or_same(_name(found[4]))
        if found[2] and prepared_or_same(_name(found[2][2:])) != name:
            raise ScramError("nobody acts for somebody else")
        return cls(text[: found.start(3)], found[3], name, found[5])


class Conversation:
    """The server's side after the first message. `candidates` are the keys that may answer, by what they are of."""

    def __init__(self, first: First, salt: bytes, iterations: int, candidates: Sequence[tuple[str, Keys]]) -> None:
        self._first = first
        self._candidates = candidates or (("", _nobody(salt, iterations)),)
        self._nonce = first.nonce + base64.b64encode(secrets.token_bytes(NONCE)).decode()
        self.challenge = f"r={self._nonce},s={base64.b64encode(salt).decode()},i={iterations}"

    def finish(self, message: bytes) -> tuple[str, bytes] | None:
        """Which keys' proof this is, and the server's final message; None where of none. ScramError."""
        try:
            found = _FINAL.fullmatch(message.decode("utf-8"))
            if found is None:
                raise ScramError("not a final message (RFC 5802 section 7)")
            binding, proof = base64.b64decode(found[2], validate=True), base64.b64decode(found[4], validate=True)
        except (UnicodeDecodeError, binascii.Error):
            raise ScramError("not base64 in UTF-8") from None
        if binding != self._first.gs2.encode() or len(proof) != hashlib.sha256().digest_size:
            raise ScramError("not the same header as in the first message, or no proof")
        if not hmac.compare_digest(found[3], self._nonce):
            raise ScramError("not the nonce of this conversation")
        signed = f"{self._first.bare},{self.challenge},{found[1]}".encode()
        matches = [(of, signature) for of, keys in self._candidates if (signature := keys.signature(proof, signed))]
        if not matches or not matches[0][0]:
            return None
        return matches[0][0], b"v=" + base64.b64encode(matches[0][1])


def _nobody(salt: bytes, iterations: int) -> Keys:
    return Keys(iterations, salt, secrets.token_bytes(32), secrets.token_bytes(32))


def _name(text: str) -> str:
    """saslname: "=2C" is a comma, "=3D" an equals sign, another "=" is an error."""
    if re.search("=(?!2C|3D)", text):
        raise ScramError("a name with an equals sign that is not =2C or =3D")
    return text.replace("=2C", ",").replace("=3D", "=")
