"""Ed25519 keys (RFC 8032) that sign releases and audit chains, each in a file of its own."""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hudhud import durable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of a key: it becomes a file name


class KeyProblem(Exception):  # noqa: N818 - KeyError is taken
    """A key file that cannot be used: `path` and why. Never shows the key."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class SigningKey:
    """A private key and its `name` (that of its file without the ending); `public` is the raw 32 bytes."""

    __slots__ = ("_private", "name", "public")

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a key")
        self.name = name
        self._private = private
        self.public: bytes = private.public_key().public_bytes_raw()

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """From a PEM file that only its owner can read; KeyProblem otherwise."""
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise KeyProblem(path, "is open to others: chmod 600")
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise KeyProblem(path, error.strerror or str(error)) from None
        except (ValueError, TypeError):
            raise KeyProblem(path, "is no private key in PEM without a passphrase") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyProblem(path, "is not an ed25519 key")
        return cls(path.stem, private)

    @classmethod
    def generate(cls, path: Path) -> SigningKey:
        """A new key in a new file, mode 0600; FileExistsError rather than replace one."""
        private = Ed25519PrivateKey.generate()
        key = cls(path.stem, private)
        path.parent.mkdir(parents=True, exist_ok=True)
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        durable.create(path, pem, mode=durable.PRIVATE)
        durable.sync_folder(path.parent)
        return key

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of the signature over `data`."""
        return self._private.sign(data)

    def derive(self, purpose: str) -> bytes:
        """A secret of 32 bytes for `purpose`, gone when the key is gone."""
        return hmac.digest(self._private.private_bytes_raw(), b"hudhud derive\0" + purpose.encode(), hashlib.sha256)

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r})"


def verified(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the raw public key made this signature over `data`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
