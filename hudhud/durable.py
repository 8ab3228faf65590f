"""Files that are whole or not there: written beside, forced to disk, then moved into place."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PRIVATE = 0o600
SHARED = 0o644


def replace(path: Path, data: bytes, *, mode: int = SHARED) -> None:
    """Put `data` at `path` at once: a reader, or a power cut, sees the old bytes or the new, never a part. OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        create(beside, data, mode=mode)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def create(path: Path, data: bytes, *, mode: int = SHARED) -> None:
    """Write a new file and force it to disk; FileExistsError if it is there. The folder is the caller's to sync."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to disk (a new file's own fsync does not promise its name, fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
