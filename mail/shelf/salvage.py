"""Brings over from a damaged shard whatever can still be read of what nobody has received yet.

Each message is read by itself: one that lies on a damaged page is counted and stays in the file that was set apart,
for a person; the others are queued or held anew under their own queue ids.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hudhud import log
from hudhud.codec import CodecError
from hudhud.database import Connection, Database, DatabaseError, open_reader
from hudhud.database import rows as read_rows
from mail.shelf import rows
from mail.shelf.bodies import Bodies, BodyError
from mail.shelf.due import Read
from mail.shelf.stored import LIVE, queue_id

STEP = 200  # messages looked for at once

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """How many messages were brought over, and how many were seen but could not be read."""

    saved: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where messages are brought over to, and where the body files of the damaged shard are."""

    database: Database
    bodies: Bodies
    apart: Path
    shard: int


def salvage(kept: Path, apart: Path, database: Database, bodies: Bodies, shard: int) -> Salvaged:
    """Copy live messages from the damaged file `kept` (its body files are in `apart`) into the new shard. Blocking."""
    try:
        connection = open_reader(kept)
    except DatabaseError:
        return Salvaged()
    saved = lost = 0
    try:
        read, place = _reading(connection, kept), _Place(database, bodies, apart, shard)
        for number in sorted(_numbers(read)):
            try:
                saved += _bring(read, number, place)
            except (DatabaseError, BodyError, CodecError, ValueError, TypeError, OSError) as error:
                lost += 1
                _log.error("a message of a damaged shard cannot be read", number=number, problem=str(error))
    finally:
        connection.close()
    return Salvaged(saved, lost)


def _reading(connection: Connection, path: Path) -> Read:
    def read(query: str, bindings: Any = ()) -> list[tuple[Any, ...]]:
        return read_rows(connection, path, query, bindings)

    return read


def _numbers(read: Read) -> set[int]:
    """Numbers of messages with live recipients, found forwards and backwards, as far as the pages let us."""
    found: set[int] = set()
    for query in (
        "SELECT DISTINCT number FROM recipients WHERE number > ? AND state IN ('queued', 'held', 'unjudged')"
        " ORDER BY number LIMIT ?",
        "SELECT number FROM messages WHERE number > ? ORDER BY number LIMIT ?",
    ):
        found.update(_walk(read, query, -1))
    for query in (
        "SELECT DISTINCT number FROM recipients WHERE number < ? AND state IN ('queued', 'held', 'unjudged')"
        " ORDER BY number DESC LIMIT ?",
        "SELECT number FROM messages WHERE number < ? ORDER BY number DESC LIMIT ?",
    ):
        found.update(_walk(read, query, 1 << 62))
    return found


def _walk(read: Read, query: str, start: int) -> Iterator[int]:
    at, step = start, STEP
    while True:
        try:
            batch = [int(row[0]) for row in read(query, (at, step))]
        except DatabaseError:
            if step == 1:
                return
            step = 1  # up to the very page that is damaged
            continue
        yield from batch
        if len(batch) < step:
            return
        at = batch[-1]


def _bring(read: Read, number: int, to: _Place) -> int:
    """1 where the message was brought over, 0 where nobody waits for it."""
    live = [one for _, one in rows.recipients(read, number, LIVE)]
    if not live:
        return 0
    stored = rows.load(read, to.shard, number)
    body = rows.body(read, number)
    if stored is None or body is None:
        raise ValueError("its row or its body is gone")
    judged = read("SELECT judgement FROM messages WHERE number = ?", (number,))[0][0]
    if body.file is not None:
        shutil.move(to.apart / body.file, to.bodies.folder / body.file)
    data = to.bodies.read(queue_id(to.shard, number), body)
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        raise ValueError("its bytes are not those that were accepted")
    rules = {rule for one in live for rule in one.held_by}
    to.database.commit_now(lambda c: rows.insert(c, stored, live, body, judgement=judged, held_by=rules))
    return 1
