"""Bodies on disk: small ones in the shard, large ones in files that are forced to disk first, held ones encrypted.

A held body has a key of its own (AES-256-GCM), wrapped by the node's key, before it reaches the disk under a name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hudhud import durable

INLINE_BYTES = 256 * 1024  # a body up to this size lies in the shard itself
KEY_BYTES = 32
_NONCE = 12


class BodyError(Exception):
    """A body that cannot be read: its bytes are not those that were written, or the system does not give them now."""


class BodyGone(BodyError):  # noqa: N818 - a kind of BodyError
    """A body that is not there any more."""


@dataclass(frozen=True, slots=True)
class Body:
    """Where a body lies: `data` in the shard or `file` beside it; with `key` (wrapped) it is encrypted."""

    data: bytes | None
    file: str | None
    key: bytes | None


class Bodies:
    """The bodies of one shard. `folder` is shared by all shards; a file's name is its message's queue id."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self.folder, self._key = folder, AESGCM(key)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, queue_id: str, data: bytes, *, sealed: bool) -> Body:
        """Blocking. A large body is on disk when this returns; OSError where it cannot be."""
        wrapped = None
        if sealed:
            key = os.urandom(KEY_BYTES)
            data = _encrypt(AESGCM(key), data, queue_id)
            wrapped = _encrypt(self._key, key, queue_id)
        if len(data) <= INLINE_BYTES:
            return Body(data, None, wrapped)
        name = f"{queue_id}.sealed" if sealed else queue_id
        try:
            durable.create(self.folder / name, data, mode=durable.PRIVATE)
            durable.sync_folder(self.folder)
        except FileExistsError:  # another's: whoever writes it needs it
            raise
        except BaseException:
            (self.folder / name).unlink(missing_ok=True)
            raise
        return Body(None, name, wrapped)

    def read(self, queue_id: str, body: Body) -> bytes:
        """Blocking. The bytes that were written; BodyError where they are not there."""
        try:
            data = body.data if body.file is None else (self.folder / body.file).read_bytes()
        except FileNotFoundError:
            raise BodyGone(f"{queue_id}: the file of the body is gone") from None
        except OSError as error:
            raise BodyError(f"{queue_id}: {error.strerror}") from None
        if data is None:
            raise BodyGone(f"{queue_id}: the body is gone")
        if body.key is None:
            return data
        try:
            return _decrypt(AESGCM(_decrypt(self._key, body.key, queue_id)), data, queue_id)
        except (InvalidTag, ValueError):
            raise BodyError(f"{queue_id}: the held body does not open with this node's key") from None

    def drop(self, names: Iterable[str]) -> None:
        """Delete files; blocking."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def files(self, shard: int) -> set[str]:
        """The names of that shard's files."""
        return {path.name for path in self.folder.glob(f"{shard:x}-*")}

    def set_apart(self, shard: int, stamp: str) -> Path:
        """Move that shard's files out of the way, beside a damaged shard that may still name them; where to."""
        apart = self.folder / f"damaged-{stamp}"
        for name in self.files(shard):
            apart.mkdir(exist_ok=True, mode=0o700)
            (self.folder / name).rename(apart / name)
        return apart


def _encrypt(key: AESGCM, data: bytes, queue_id: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + key.encrypt(nonce, data, queue_id.encode())


def _decrypt(key: AESGCM, data: bytes, queue_id: str) -> bytes:
    return key.decrypt(data[:_NONCE], data[_NONCE:], queue_id.encode())


def wrapping_key(node_key: Path) -> bytes:
    """The 32 bytes that wrap bodies' keys, derived (HKDF, RFC 5869) from the node's private key file (PEM)."""
    private = serialization.load_pem_private_key(node_key.read_bytes(), password=None)
    secret = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=b"hudhud held bodies").derive(secret)
