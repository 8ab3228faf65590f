"""Replays a capture into the sensor's journal: times shifted so that its last packet is now; once, even across a crash.

How far a capture has come stands in the same transaction as its events, so what was written is not written again.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hudhud import journal, log
from hudhud.database import Connection, Database
from hudhud.entity import Registry
from hudhud.event import Value
from hudhud.settings import Sensor
from sensors.flow import Limits
from sensors.observation import document
from sensors.watch import Watch
from sensors.wire import Block, Capture

SCHEMA = (
    journal.SCHEMA
    + """
CREATE TABLE IF NOT EXISTS replayed(
    capture TEXT PRIMARY KEY, offset_s REAL NOT NULL, events INTEGER NOT NULL, done INTEGER NOT NULL);
"""
)
BATCH = 500  # events of one transaction

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it; `offset_s` is what was added to the packets' times."""

    packets: int
    events: int
    offset_s: float
    problem: str


def limits_of(settings: Sensor) -> Limits:
    """The bounds that hudhud.toml sets."""
    return Limits(
        max_flows=settings.max_flows, established_s=settings.flow_timeout_s, max_stream_bytes=settings.max_stream_bytes
    )


def shifted(block: Block, offset_s: float) -> Block:
    """The block with all times moved. Pure."""
    return Block(
        block.link, block.data, [(time + offset_s, start, end, wire) for time, start, end, wire in block.records]
    )


def replay(path: Path, database: Database, registry: Registry, settings: Sensor, now: float) -> Replayed:
    """Read the capture at `path` into the journal; blocking. `now` is in seconds since 1970."""
    key, last = _look(path)
    run = path.stem.removeprefix("tour-")
    offset, skip, done = _begin(database, key, round(now - last, 6) if last else 0.0)
    if done:
        return Replayed(0, skip, offset, "")
    pending: list[bytes] = []
    numbers = itertools.count(1)

    def leave(time: float, fields: dict[str, Value]) -> None:
        if fields["event.kind"] == "alert":  # people look for a run by its name
            fields["event.reason"] = f"{fields['event.reason']} (replay {run})"
        if next(numbers) > skip:
            pending.append(document(time, fields))

    always: dict[str, Value] = {
        "observer.name": settings.name, "observer.type": "sensor",
        "hudhud.run": run, "hudhud.replay_offset_s": round(offset),
    }  # fmt: skip
    watch = Watch(
        leave, registry, limits=limits_of(settings), webmail_min_hosts=settings.webmail_min_hosts, always=always
    )
    with path.open("rb") as stream:
        capture = Capture(stream)
        for block in capture.blocks():
            watch.take(shifted(block, offset))
            while len(pending) >= BATCH:
                batch, pending[:] = pending[:BATCH], pending[BATCH:]
                _write(database, key, batch, done=False)
        watch.finish()
    _write(database, key, pending, done=True)
    problem = str(capture.problem or "")
    events = sum(watch.counts.values())
    _log.info(
        "replayed", capture=path.name, packets=capture.packets, events=events, offset_s=round(offset), problem=problem
    )
    return Replayed(capture.packets, events, offset, problem)


def forget(database: Database, key: str) -> None:
    """The capture was put away: laid again, it is replayed again."""
    database.commit_now(lambda connection: _execute(connection, "DELETE FROM replayed WHERE capture = ?", (key,)))


def key_of(path: Path) -> str:
    """What names a capture across restarts: its file name and content."""
    return _look(path)[0]


def _look(path: Path) -> tuple[str, float]:
    """The capture's key, and the time of its last packet (0: none)."""
    digest = hashlib.sha256(path.name.encode() + b"\0")
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    with path.open("rb") as stream:
        last = max((record[0] for block in Capture(stream).blocks() for record in block.records), default=0.0)
    return digest.hexdigest(), last


def _begin(database: Database, key: str, offset: float) -> tuple[float, int, bool]:
    """(offset, events already in the journal, whether it was finished)."""
    known = database.read("SELECT offset_s, events, done FROM replayed WHERE capture = ?", (key,))
    if known:
        [(before, events, done)] = known
        return float(before), int(events), bool(done)
    database.commit_now(
        lambda connection: _execute(connection, "INSERT INTO replayed VALUES (?, ?, 0, 0)", (key, offset))
    )
    return offset, 0, False


def _write(database: Database, key: str, batch: Sequence[bytes], *, done: bool) -> None:
    def work(connection: Connection) -> None:
        journal.append(connection, batch)
        _execute(
            connection,
            "UPDATE replayed SET events = events + ?, done = ? WHERE capture = ?",
            (len(batch), int(done), key),
        )

    database.commit_now(work)


def _execute(connection: Connection, statement: str, bindings: tuple[object, ...]) -> None:
    connection.execute(statement, bindings)
