"""What could not become an event, with its reason: visible, and replayed when the reason is mended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from hudhud.database import Connection, Database, open_reader, rows

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS dead_letters(
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, sequence INTEGER NOT NULL, digest TEXT NOT NULL,
    reason TEXT NOT NULL, line BLOB NOT NULL, at REAL NOT NULL, state TEXT NOT NULL DEFAULT 'dead',
    UNIQUE (source, sequence, digest));
CREATE INDEX IF NOT EXISTS dead_letters_state ON dead_letters(state, id);
"""
State = Literal["dead", "replay", "done"]
UNKNOWN: Final = -1  # the sequence of a line that does not tell it


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`line` as it came. `id` is 0 until it is kept."""

    source: str
    sequence: int
    reason: str
    line: bytes
    at: datetime
    id: int = 0
    state: State = "dead"


def bury(connection: Connection, letters: Iterable[DeadLetter]) -> int:
    """Keep letters inside the caller's transaction, each once; how many were new. A new reason replaces the old."""
    fresh = 0
    for letter in letters:
        digest = hashlib.sha256(letter.line).hexdigest()
        connection.execute(
            "INSERT OR IGNORE INTO dead_letters(source, sequence, digest, reason, line, at) VALUES (?, ?, ?, ?, ?, ?)",
            (letter.source, letter.sequence, digest, letter.reason, letter.line, letter.at.timestamp()),
        )
        if connection.changes():
            fresh += 1
        else:
            connection.execute(
                "UPDATE dead_letters SET reason = ?, state = 'dead' WHERE source = ? AND sequence = ? AND digest = ?",
                (letter.reason, letter.source, letter.sequence, digest),
            )
    return fresh


def mark(database: Database, ids: Sequence[int], state: State) -> int:
    """Ask for a replay, or say that it went well; how many letters that were there."""

    def work(connection: Connection) -> int:
        done = 0
        for identity in ids:
            connection.execute("UPDATE dead_letters SET state = ? WHERE id = ? AND state <> 'done'", (state, identity))
            done += connection.changes()
        return done

    return database.commit_now(work)


def listed(path: Path, states: Sequence[State] = ("dead", "replay"), limit: int = 100) -> list[DeadLetter]:
    """Letters in the file of another process, the oldest first; [] where there is no such file."""
    if not path.exists():
        return []
    connection = open_reader(path)
    try:
        marks = ",".join("?" * len(states))
        text = (
            "SELECT source, sequence, reason, line, at, id, state FROM dead_letters "  # noqa: S608 - question marks
            f"WHERE state IN ({marks}) ORDER BY id LIMIT ?"
        )
        return [_letter(row) for row in rows(connection, path, text, (*states, limit))]
    finally:
        connection.close()


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    from datetime import UTC

    source, sequence, reason, line, at, identity, state = row
    return DeadLetter(source, sequence, reason, bytes(line), datetime.fromtimestamp(at, UTC), identity, state)
