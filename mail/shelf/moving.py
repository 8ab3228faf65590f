"""Moves what is done out of a shard into the days of its trace, and forgets the days that are over.

The newest messages stay in the shard, whatever became of them: the rules' budget counts them. First they are on disk
in their day, then they leave the shard; a crash in between leaves them in both, and the next move writes them over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from hudhud import log
from hudhud.database import Connection, Database
from hudhud.settings import Spool as Limits
from mail.shelf.days import Batch, Days, day_of, kept_since
from mail.shelf.stored import LIVE, number_at

KEPT: Final = 1000  # newest messages that stay in the shard, at least (budget.window may ask for more)
REST: Final = timedelta(hours=1)  # what was received later than that stays too: an attempt may be under way
ROWS: Final = 200  # messages moved at once

_LIVE: Final = ", ".join(map(repr, LIVE))
_OLDEST_KEPT: Final = "SELECT number FROM messages WHERE kind = 'mail' ORDER BY number DESC LIMIT 1 OFFSET ?"
_DONE: Final = f"""SELECT number FROM messages m WHERE number > ? AND number < ? AND NOT EXISTS
    (SELECT 1 FROM recipients r WHERE r.number = m.number AND r.state IN ({_LIVE}))
    ORDER BY number LIMIT ?"""  # noqa: S608 - our words
_REFUSED: Final = "SELECT number, document FROM refusals WHERE number < ? ORDER BY number LIMIT ?"

_log = log.get(__name__)


class Moving:
    """One shard's; every call blocks, and is for one thread at a time."""

    def __init__(
        self, database: Database, days: Days, limits: Limits, *, kept: int = KEPT, rest: timedelta = REST
    ) -> None:
        self._database, self._days, self._limits, self._kept, self._rest = database, days, limits, kept, rest
        self._at = 0  # the last number that was looked at in this round

    def step(self, now: datetime, busy: Collection[int] = ()) -> int:
        """Move at most ROWS messages and as many refusals; how many of both. Those in `busy` are passed over."""
        rested = number_at(now - self._rest)
        return self._messages(rested, busy) + self._refusals(rested)

    def forget(self, now: datetime) -> None:
        """Drop the days past the retention; and the oldest ones, told as an error, where the trace grows too large."""
        gone = self._days.drop(kept_since(now, self._limits.trace_days))
        if gone:
            _log.info("forgot days past their retention", shard=self._days.shard, days=[str(day) for day in gone])
        while (day := self._days.drop_oldest(self._limits.trace_max_bytes, now.date())) is not None:
            _log.error(
                "the trace is larger than spool.trace_max_bytes: forgot its oldest day before its time",
                shard=self._days.shard,
                day=str(day),
            )

    def _messages(self, rested: int, busy: Collection[int]) -> int:
        newest = self._database.read(_OLDEST_KEPT, (max(self._kept - 1, 0),))
        until = min(newest[0][0], rested) if newest else 0
        found = [row[0] for row in self._database.read(_DONE, (self._at, until, ROWS))]
        self._at = found[-1] if len(found) == ROWS else 0
        numbers = [number for number in found if number not in busy]
        if not numbers:
            return 0
        marks = ", ".join(map(str, numbers))  # integers of ours
        batches: defaultdict[date, Batch] = defaultdict(Batch)
        for row in self._database.read(f"SELECT * FROM messages WHERE number IN ({marks})"):  # noqa: S608 - our words
            batches[day_of(row[0])].messages.append(row)
        for row in self._database.read(f"SELECT * FROM recipients WHERE number IN ({marks})"):  # noqa: S608 - our words
            batches[day_of(row[0])].recipients.append(row)
        self._write(batches, f"number IN ({marks})", ("recipients", "bodies", "messages"))
        return len(numbers)

    def _refusals(self, rested: int) -> int:
        found = self._database.read(_REFUSED, (rested, ROWS))
        if len(found) == ROWS and found[0][0] != found[-1][0]:  # those of one reference go together
            found = [row for row in found if row[0] != found[-1][0]]
        batches: defaultdict[date, Batch] = defaultdict(Batch)
        for number, document in found:
            batches[day_of(number)].refusals.append((number, document))
        if found:
            self._write(batches, f"number BETWEEN {found[0][0]} AND {found[-1][0]}", ("refusals",))
        return len(found)

    def _write(self, batches: Mapping[date, Batch], which: str, tables: Sequence[str]) -> None:
        for day, batch in batches.items():
            self._days.write(day, batch)

        def leave(connection: Connection) -> None:
            for table in tables:
                connection.execute(f"DELETE FROM {table} WHERE {which}")  # noqa: S608 - our words

        self._database.commit_now(leave)
