"""The use log of exemptions: which message went abroad by which, written in the transaction of the message itself.

It outlives the traces: whoever renews an exemption, or reviews one, sees every use of this node in its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from hudhud.database import Connection, open_reader, rows
from mail.verdict import Disposition, Verdict, exempting

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS uses(
  exemption TEXT NOT NULL, number INTEGER NOT NULL, recipient BLOB NOT NULL, moment REAL NOT NULL,
  reference TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (exemption, number, recipient)) WITHOUT ROWID;
"""
"""Part of each shard's schema: number is that of the message, reference its queue id, moment seconds since 1970."""

_SELECT: Final = (
    "SELECT exemption, moment, reference, recipient, size FROM uses WHERE ?1 IN ('', exemption)"
    " ORDER BY moment DESC LIMIT ?2"
)
KEPT: Final = timedelta(days=400)  # past the longest exemption
MAX_SHOWN: Final = 10_000  # uses of one node that are read


@dataclass(frozen=True, slots=True)
class Use:
    """A message that went, or was held to go, by an exemption."""

    exemption: str
    moment: datetime
    reference: str
    recipient: str
    size: int


class Named(Protocol):
    """The message that is stored (mail/shelf/stored.py)."""

    @property
    def number(self) -> int: ...
    @property
    def queue_id(self) -> str: ...
    @property
    def size(self) -> int: ...


def remember(connection: Connection, stored: Named, verdicts: Iterable[Verdict], now: datetime) -> None:
    """The uses of one message, inside the caller's transaction; a repeated one changes nothing."""
    used = [
        (one, stored.number, verdict.recipient, now.timestamp(), stored.queue_id, stored.size)
        for verdict in verdicts
        if verdict.disposition < Disposition.DEFER and (one := exempting(verdict))
    ]
    if used:
        connection.executemany("INSERT OR IGNORE INTO uses VALUES (?, ?, ?, ?, ?, ?)", used)
        connection.execute("DELETE FROM uses WHERE moment < ?", ((now - KEPT).timestamp(),))


def of_node(folder: Path, exemption: str = "") -> Sequence[Use]:
    """The node's uses (of one exemption, or of all), newest first, from every shard. Blocking. DatabaseError."""
    found: list[Use] = []
    for path in sorted(folder.glob("shard-*.db")):
        with closing(open_reader(path)) as reader:
            if not rows(reader, path, "SELECT 1 FROM sqlite_master WHERE name = 'uses'"):
                continue  # of a version before; the relay adds the table when it starts
            for name, moment, reference, recipient, size in rows(reader, path, _SELECT, (exemption, MAX_SHOWN)):
                when = datetime.fromtimestamp(moment, UTC)
                found.append(Use(name, when, reference, bytes(recipient).decode("utf-8", "replace"), size))
    return sorted(found, key=lambda one: one.moment, reverse=True)


def counted(uses: Iterable[Use]) -> Mapping[str, tuple[int, datetime]]:
    """How often each exemption was used, and when last."""
    found: dict[str, tuple[int, datetime]] = {}
    for one in uses:
        count, last = found.get(one.exemption, (0, one.moment))
        found[one.exemption] = count + 1, max(last, one.moment)
    return found
