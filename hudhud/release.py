"""Signed, content-addressed releases: what makes a registry, a policy, exemptions or rules live, and rolls it back.

    folder/<kind>/<digest>/manifest.json      canonical JSON; the digest is its sha256
    folder/<kind>/<digest>/files/…            each named in the manifest with its sha256
    folder/<kind>/<digest>/signatures/<key>   over the manifest: who stands for the content (one trusted key at least)
    folder/<kind>/<channel>.json              the pointer: serial and digest, signed by as many distinct trusted keys
                                              as the kind's threshold: who says that it goes live
    folder/<kind>/history/<channel>.<serial>.json   every pointer that was published

A roll-back is a newer pointer to an older digest. Everything read is checked; nothing is taken in part.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from hudhud import codec, durable
from hudhud.event import format_time
from hudhud.keys import KeyProblem, SigningKey, verified
from hudhud.manifest import (
    KINDS,
    MANIFEST_DOMAIN,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_RELEASE_BYTES,
    Manifest,
    PointerDocument,
    ReleaseError,
    check_path,
    content,
    decode,
    home,
    moment,
    read,
    read_manifest,
    signatures,
    slug,
)
from hudhud.settings import Releases

__all__ = ["KINDS", "KeyProblem", "Pointer", "Release", "ReleaseError", "SigningKey", "Trust", "approve", "history"]
__all__ += ["load", "pointer_path", "propose", "publish", "sign", "write"]

THRESHOLDS: Final[Mapping[str, int]] = {"rules": 2}  # where Trust names none; other kinds 1


@dataclass(frozen=True, slots=True)
class Release:
    """Verified content. `serial` is the pointer's; `signers` are the trusted keys on manifest or pointer, sorted."""

    kind: str
    digest: str
    serial: int
    created: datetime
    author: str
    note: str
    signers: tuple[str, ...]
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Trust:
    """`keys`: name -> raw ed25519 public key; `thresholds`: kind -> how many distinct keys a pointer needs."""

    keys: Mapping[str, bytes]
    thresholds: Mapping[str, int]

    @classmethod
    def of(cls, settings: Releases) -> Trust:
        """Whom hudhud.toml's [releases] trusts."""
        keys = {name: base64.b64decode(text, validate=True) for name, text in settings.keys.items()}
        return cls(keys, settings.thresholds)

    def threshold(self, kind: str) -> int:
        """How many distinct keys make a release of `kind` live; 1 at least."""
        return max(1, self.thresholds.get(kind, THRESHOLDS.get(kind, 1)))


@dataclass(frozen=True, slots=True)
class Pointer:
    """One act of publishing, as the history lists it; `signers` are those it names, not yet verified."""

    kind: str
    channel: str
    serial: int
    digest: str
    published: datetime
    signers: tuple[str, ...]


def write(
    folder: Path,
    kind: str,
    files: Mapping[str, bytes],
    *,
    author: str,
    note: str,
    now: datetime,
    keys: Sequence[SigningKey],
) -> str:
    """Store a release and sign its manifest; returns the digest. Not live yet. ReleaseError, OSError."""
    place = home(folder, kind)
    if len(files) > MAX_FILES or sum(map(len, files.values())) > MAX_RELEASE_BYTES:
        raise ReleaseError(kind, "new release", f"more than {MAX_FILES} files or {MAX_RELEASE_BYTES} bytes")
    for path, data in files.items():
        check_path(kind, path)
        if len(data) > MAX_FILE_BYTES:
            raise ReleaseError(kind, path, f"is larger than {MAX_FILE_BYTES} bytes")
    hashes = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    raw = codec.canonical(Manifest(kind, format_time(now), author, note, hashes))
    digest = hashlib.sha256(raw).hexdigest()
    place.mkdir(parents=True, exist_ok=True)
    if not (place / digest).exists():
        _store(place, digest, raw, files)
    for key in keys:
        sign(folder, kind, digest, key)
    return digest


def sign(folder: Path, kind: str, digest: str, key: SigningKey) -> None:
    """Add `key`'s signature to the manifest: its holder stands for the content."""
    raw = read_manifest(folder, kind, digest)
    place = home(folder, kind) / digest / "signatures"
    place.mkdir(exist_ok=True)
    durable.replace(place / key.name, key.sign(MANIFEST_DOMAIN + raw).hex().encode())


def publish(
    folder: Path, kind: str, digest: str, *, channel: str = "enforce", now: datetime, keys: Sequence[SigningKey]
) -> None:
    """Point `channel` at a stored release, which is read and checked first. Give at least threshold distinct keys."""
    content(folder, kind, digest)
    with _locked(folder, kind):
        pointer = _next_pointer(folder, kind, channel, digest, now)
        _go_live(folder, _signed(pointer, keys))


def propose(folder: Path, kind: str, digest: str, *, channel: str = "enforce", now: datetime, key: SigningKey) -> None:
    """Ask for a release to go live, where its threshold needs other people's keys: see `approve`."""
    content(folder, kind, digest)
    with _locked(folder, kind):
        pointer = _signed(_next_pointer(folder, kind, channel, digest, now), (key,))
        durable.replace(_pending_path(folder, kind, channel), codec.canonical(pointer))


def approve(folder: Path, kind: str, *, channel: str = "enforce", key: SigningKey, trust: Trust) -> bool:
    """Add `key` to what was proposed; True when that was enough and it is live. ReleaseError if it was overtaken."""
    with _locked(folder, kind):
        path = _pending_path(folder, kind, channel)
        pointer = _signed(decode(kind, path.name, read(folder, kind, path.name), PointerDocument), (key,))
        if pointer.serial != _last_serial(folder, kind, channel) + 1:
            raise ReleaseError(kind, path.name, "was overtaken by another release: propose it again")
        if len(_distinct(pointer.signed(), pointer.signatures, trust)) < trust.threshold(kind):
            durable.replace(path, codec.canonical(pointer))
            return False
        _go_live(folder, pointer)
        path.unlink()
        return True


def load(folder: Path, kind: str, trust: Trust, *, channel: str = "enforce", serial: int | None = None) -> Release:
    """The live release of `channel` (or what it was at `serial`), every signature and hash verified. ReleaseError."""
    place = f"{slug(kind, channel)}.json" if serial is None else f"history/{slug(kind, channel)}.{serial:08d}.json"
    pointer = decode(kind, place, read(folder, kind, place), PointerDocument)
    if (pointer.kind, pointer.channel) != (kind, channel) or (serial is not None and serial != pointer.serial):
        raise ReleaseError(kind, place, f"was signed for {pointer.kind}/{pointer.channel}, serial {pointer.serial}")
    publishers = _distinct(pointer.signed(), pointer.signatures, trust)
    if len(publishers) < trust.threshold(kind):
        named = ", ".join(sorted(publishers)) or "none"
        raise ReleaseError(kind, place, f"signed by {named}; needs {trust.threshold(kind)} distinct trusted keys")
    manifest, files = content(folder, kind, pointer.digest)
    raw = read_manifest(folder, kind, pointer.digest)
    authors = _distinct(MANIFEST_DOMAIN + raw, signatures(folder, kind, pointer.digest), trust)
    if not authors:
        raise ReleaseError(kind, f"{pointer.digest}/signatures", "no trusted key stands for this content")
    signers = tuple(sorted(publishers | authors))
    created = moment(kind, f"{pointer.digest}/manifest.json", manifest.created)
    return Release(kind, pointer.digest, pointer.serial, created, manifest.author, manifest.note, signers, files)


def history(folder: Path, kind: str, channel: str | None = None) -> list[Pointer]:
    """Every pointer published (of one channel, or of all), oldest first; without the unreadable."""
    found: list[Pointer] = []
    for path in (home(folder, kind) / "history").glob("*.json"):
        place = f"history/{path.name}"
        with contextlib.suppress(ReleaseError):
            one = decode(kind, place, read(folder, kind, place), PointerDocument)
            published = moment(kind, place, one.published)
            found.append(Pointer(kind, one.channel, one.serial, one.digest, published, tuple(sorted(one.signatures))))
    return sorted((one for one in found if channel in (None, one.channel)), key=lambda one: (one.published, one.serial))


def pointer_path(folder: Path, kind: str, channel: str = "enforce") -> Path:
    """The file whose change says that something new may be live."""
    return home(folder, kind) / f"{slug(kind, channel)}.json"


def _pending_path(folder: Path, kind: str, channel: str) -> Path:
    return home(folder, kind) / f"{slug(kind, channel)}.pending"


def _store(home: Path, digest: str, manifest: bytes, files: Mapping[str, bytes]) -> None:
    staging = home / f".new-{secrets.token_hex(8)}"
    try:
        (staging / "files").mkdir(parents=True)
        (staging / "signatures").mkdir()
        for path, data in files.items():
            (staging / "files" / path).parent.mkdir(parents=True, exist_ok=True)
            durable.create(staging / "files" / path, data)
        durable.create(staging / "manifest.json", manifest)
        for place, _, _ in os.walk(staging):
            durable.sync_folder(Path(place))
        staging.rename(home / digest)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    durable.sync_folder(home)


@contextlib.contextmanager
def _locked(folder: Path, kind: str) -> Iterator[None]:
    """One publisher at a time, or two would give the same serial."""
    place = home(folder, kind)
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _last_serial(folder: Path, kind: str, channel: str) -> int:
    past = re.compile(re.escape(channel) + r"\.(\d+)\.json")
    names = (path.name for path in (home(folder, kind) / "history").glob("*.json"))
    serials = [int(found[1]) for found in map(past.fullmatch, names) if found]
    path = pointer_path(folder, kind, channel)
    if path.exists():
        serials.append(decode(kind, path.name, read(folder, kind, path.name), PointerDocument).serial)
    return max(serials, default=0)


def _next_pointer(folder: Path, kind: str, channel: str, digest: str, now: datetime) -> PointerDocument:
    return PointerDocument(kind, channel, _last_serial(folder, kind, channel) + 1, digest, format_time(now), {})


def _signed(pointer: PointerDocument, keys: Sequence[SigningKey]) -> PointerDocument:
    more = {key.name: key.sign(pointer.signed()).hex() for key in keys}
    return msgspec.structs.replace(pointer, signatures={**pointer.signatures, **more})


def _go_live(folder: Path, pointer: PointerDocument) -> None:
    place = home(folder, pointer.kind)
    data = codec.canonical(pointer)
    (place / "history").mkdir(exist_ok=True)
    durable.replace(place / "history" / f"{pointer.channel}.{pointer.serial:08d}.json", data)
    durable.replace(pointer_path(folder, pointer.kind, pointer.channel), data)


def _distinct(data: bytes, signatures: Mapping[str, str], trust: Trust) -> set[str]:
    """Names of trusted keys whose signature is right; a key under two names counts once."""
    names: dict[bytes, str] = {}
    for name, text in signatures.items():
        public = trust.keys.get(name)
        if public is None or not re.fullmatch(r"[0-9a-f]{128}", text):
            continue
        if verified(public, bytes.fromhex(text), data):
            names.setdefault(public, name)
    return set(names.values())
