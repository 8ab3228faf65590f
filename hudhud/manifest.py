"""The two documents of a release, manifest and pointer, and the reading of its folder with suspicion."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

import msgspec

from hudhud import codec
from hudhud.event import EventError, parse_time
from hudhud.keys import NAME

KINDS: Final = ("registry", "policy", "exemptions", "suspensions", "rules")
MAX_FILES = 10_000  # in one release
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_RELEASE_BYTES = 256 * 1024 * 1024
MAX_PATH_BYTES = 255
MAX_JSON_BYTES = 8 * 1024 * 1024  # of a manifest or a pointer

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in its place must not block
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STEP = re.compile(r"[\w][\w .+@=-]*")  # one step of a file's path: begins with a letter or digit of any script
MANIFEST_DOMAIN = b"hudhud release 1\n"
_POINTER_DOMAIN = b"hudhud pointer 1\n"
S = TypeVar("S", bound=msgspec.Struct)


class ReleaseError(Exception):
    """A release that cannot go live: its kind, the place inside the kind's folder, and the problem."""

    def __init__(self, kind: str, place: str, problem: str) -> None:
        super().__init__(f"{kind}/{place}: {problem}")
        self.kind = kind
        self.place = place
        self.problem = problem


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a release is: `files` are path -> sha256 in hex; `created` is RFC 3339."""

    kind: str
    created: str
    author: str
    note: str
    files: dict[str, str]


class PointerDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a release live on a channel; `signatures` are key name -> hex."""

    kind: str
    channel: str
    serial: int
    digest: str
    published: str
    signatures: dict[str, str]

    def signed(self) -> bytes:
        """The bytes that the keys sign."""
        return _POINTER_DOMAIN + codec.canonical([self.kind, self.channel, self.serial, self.digest, self.published])


def home(folder: Path, kind: str) -> Path:
    """The folder of a kind; ReleaseError if there is no such kind."""
    if kind not in KINDS:
        raise ReleaseError(kind, "", f"is none of {', '.join(KINDS)}")
    return folder / kind


def slug(kind: str, channel: str) -> str:
    """The channel's name, which is safe in a file name."""
    if not NAME.fullmatch(channel):
        raise ReleaseError(kind, channel, "cannot name a channel")
    return channel


def check_path(kind: str, path: str) -> None:
    """Only plain relative paths: a release never writes or reads outside itself."""
    steps = path.split("/")
    plain = all(_STEP.fullmatch(step) for step in steps)
    if not plain or len(path.encode()) > MAX_PATH_BYTES or PurePosixPath(path).as_posix() != path:
        raise ReleaseError(kind, repr(path), "is no plain relative path")


def signatures(folder: Path, kind: str, digest: str) -> dict[str, str]:
    """Key name -> signature in hex over the manifest, as they lie there, not verified."""
    place = home(folder, kind) / digest / "signatures"
    try:
        names = sorted(path.name for path in place.iterdir())
    except OSError as error:
        raise ReleaseError(kind, f"{digest}/signatures", error.strerror or str(error)) from None
    return {
        name: read(folder, kind, f"{digest}/signatures/{name}", 1024).decode("ascii", "replace")
        for name in names
        if NAME.fullmatch(name)
    }


def read_manifest(folder: Path, kind: str, digest: str) -> bytes:
    """The manifest's bytes, which are what the digest says."""
    if not _DIGEST.fullmatch(digest):
        raise ReleaseError(kind, repr(digest), "is no digest")
    raw = read(folder, kind, f"{digest}/manifest.json")
    if hashlib.sha256(raw).hexdigest() != digest:
        raise ReleaseError(kind, f"{digest}/manifest.json", "is not what its digest says: it was changed")
    return raw


def content(folder: Path, kind: str, digest: str) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and files of a stored release, each checked against its hash."""
    place = f"{digest}/manifest.json"
    manifest = decode(kind, place, read_manifest(folder, kind, digest), Manifest)
    if manifest.kind != kind:
        raise ReleaseError(kind, place, f"is a release of {manifest.kind}")
    if len(manifest.files) > MAX_FILES:
        raise ReleaseError(kind, place, f"names more than {MAX_FILES} files")
    files: dict[str, bytes] = {}
    left = MAX_RELEASE_BYTES
    for path, expected in sorted(manifest.files.items()):
        check_path(kind, path)
        data = read(folder, kind, f"{digest}/files/{path}", min(MAX_FILE_BYTES, left))
        if hashlib.sha256(data).hexdigest() != expected:
            raise ReleaseError(kind, f"{digest}/files/{path}", "is not what the manifest says: it was changed")
        files[path] = data
        left -= len(data)
    return manifest, files


def read(folder: Path, kind: str, place: str, limit: int = MAX_JSON_BYTES) -> bytes:
    """The bytes of a plain file below the kind's folder; no step of the way may be a symbolic link."""
    path = home(folder, kind)
    try:
        for step in place.split("/"):
            path /= step
            if path.is_symlink():
                raise ReleaseError(kind, place, "leads through a symbolic link")
        with os.fdopen(os.open(path, _FLAGS), "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ReleaseError(kind, place, error.strerror or str(error)) from None
    if len(data) > limit:
        raise ReleaseError(kind, place, f"is larger than {limit} bytes")
    return data


def decode(kind: str, place: str, data: bytes, shape: type[S]) -> S:
    """JSON of exactly this shape."""
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise ReleaseError(kind, place, str(error)) from None


def moment(kind: str, place: str, text: str) -> datetime:
    """A time in a document."""
    try:
        return parse_time(text)
    except EventError as error:
        raise ReleaseError(kind, place, error.problem) from None
