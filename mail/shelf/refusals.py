"""What was refused, of a message or all of it: its events by reference, so that the reference can be explained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hudhud import codec
from hudhud.database import Connection
from mail.verdict import Disposition, Verdict

SCHEMA = """
CREATE TABLE IF NOT EXISTS refusals(number INTEGER NOT NULL, document BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS refusals_number ON refusals(number);
"""
"""Part of each shard's schema: number is the reference without its shard, document the event as the journal has it."""

MAX_ROWS = 200_000  # per shard; beyond it the oldest go, so that a flood of refused mail does not fill the disk

Read = Callable[..., Sequence[Sequence[object]]]


def remember(connection: Connection, number: int, documents: Iterable[bytes]) -> None:
    """Inside the caller's transaction."""
    connection.executemany("INSERT INTO refusals VALUES (?, ?)", [(number, one) for one in documents])


def remember_some(connection: Connection, number: int, verdicts: Iterable[Verdict], events: Iterable[bytes]) -> None:
    """Of a stored message's events those of recipients that were refused; inside the caller's transaction."""
    if any(one.disposition is Disposition.REJECT for one in verdicts):
        remember(connection, number, [one for one in events if _action(one) == "refused"])


def _action(document: bytes) -> object:
    event = codec.decode(document).get("event")
    return event.get("action") if isinstance(event, dict) else None


def expire(connection: Connection, before: int) -> None:
    """Forget what is older than the number `before`, and the oldest beyond MAX_ROWS; in the caller's transaction."""
    connection.execute("DELETE FROM refusals WHERE number < ?", (before,))
    connection.execute(
        "DELETE FROM refusals WHERE rowid <= (SELECT max(rowid) FROM refusals) - ?",
        (MAX_ROWS,),
    )


def find(read: Read, reference: str, number: int) -> dict[str, object] | None:
    """The refusal with that reference as one JSON-able object; None where there was none, or it is no longer kept."""
    found = documents(read, number)
    return {"id": reference, "state": "refused", "events": found} if found else None


def documents(read: Read, number: int) -> list[object]:
    """The events of what was refused under that reference."""
    found = read("SELECT document FROM refusals WHERE number = ? ORDER BY rowid", (number,))
    return [codec.decode(bytes(row[0])) for row in found if isinstance(row[0], bytes)]
