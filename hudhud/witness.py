"""Where the other audit chains of a folder stand: what a checkpoint writes down of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hudhud import chain, codec, durable, log

MAX_CHAINS = 256  # witnessed in one checkpoint, which stays far below chain.MAX_LINE_BYTES
TAIL_BYTES = 1024 * 1024  # read of a chain; the longest record and a half-written one fit in it

_log = log.get(__name__)


def siblings(own: Path) -> list[dict[str, object]]:
    """The state of every `*.chain` beside `own` that has a whole record; its cost does not grow with the chains.

    What is told is on disk first: else a power cut could take from the other chain what this one is sure of.
    """
    others = sorted(path for path in own.parent.glob("*.chain") if path.name != own.name)
    found: list[dict[str, object]] = []
    for path in others:
        if len(found) == MAX_CHAINS:
            _log.error("audit chains not witnessed", first=path.name, limit=MAX_CHAINS)
            break
        try:
            seen = _state(path)
        except (OSError, ValueError, KeyError, TypeError) as error:  # that chain's own check says what is wrong with it
            _log.error("audit chain not witnessed", file=path.name, problem=str(error))
            continue
        if seen is not None:
            found.append(seen)
    if found:
        try:
            durable.sync_folder(own.parent)  # the heads' names
        except OSError as error:
            _log.error("audit chains not witnessed", problem=str(error))
            return []
    return found


def _state(path: Path) -> dict[str, object] | None:
    """The last whole record, None before the first. The writer may be in the middle of the next: that is not looked at.

    The .head is read first: it is never ahead of its chain.
    """
    head = _head_number(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
        whole = tail[: tail.rfind(b"\n") + 1]
        if not whole:
            return None
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    last = whole[whole.rfind(b"\n", 0, -1) + 1 : -1]
    number = int(codec.decode(last)["n"])
    return {"chain": path.name, "records": number, "digest": hashlib.sha256(last).hexdigest(), "head": head}


def _head_number(path: Path) -> int:
    try:
        return int(codec.decode(chain.head_path(path).read_bytes())["n"])
    except FileNotFoundError:
        return 0
