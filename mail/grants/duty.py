"""Who is on duty: the roster of approvers and their deputies, duty.toml beside people.toml.

wait_minutes = 15                    # how long a deputy waits for whoever is before
[[duty]]
entity = "FIN"                       # a body's own; without it: for every body that has none at the moment
from = 2026-11-24T06:00:00Z
until = 2026-11-25T06:00:00Z
first = "dalia"
deputies = ["ziad", "omar"]          # the first after 15 minutes, the second after 30
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from hudhud import toml

FILE: Final = "duty.toml"
RosterError = toml.PlaceError


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody's time on duty. Logins are those of people.toml."""

    starts: datetime = msgspec.field(name="from")
    until: datetime
    first: str
    deputies: tuple[str, ...] = ()
    entity: str = ""


class Roster(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All turns. None at all: any granter decides, as without a roster."""

    wait_minutes: float = 15.0
    duty: tuple[Turn, ...] = ()

    def now(self, entity: str, moment: datetime) -> Turn | None:
        """Who is on duty for the body: its own turn before that of all bodies."""
        found = [one for one in self.duty if one.starts <= moment < one.until and one.entity in (entity, "")]
        return max(found, key=lambda one: (one.entity != "", one.starts), default=None)

    def from_when(self, turn: Turn, login: str, asked: datetime) -> datetime | None:
        """From when on that person may decide on what was asked for then; None for nobody of the turn."""
        names = [name.casefold() for name in (turn.first, *turn.deputies)]
        if login.casefold() not in names:
            return None
        return asked + timedelta(minutes=self.wait_minutes * names.index(login.casefold()))


def load(path: Path) -> Roster:
    """The roster of a file; an empty one where there is none. RosterError names file, line and key."""
    if not path.exists():
        return Roster()
    document, where = toml.read(path.name, path.read_bytes())
    roster = toml.convert(document, Roster, file=path.name, where=where)
    if not 1 <= roster.wait_minutes <= 24 * 60:
        raise RosterError(path.name, toml.line_of("wait_minutes", where), "wait_minutes", "is between 1 and 1440")
    for number, one in enumerate(roster.duty):
        key = f"duty[{number}]"
        if one.starts.tzinfo is None or one.until.tzinfo is None or one.until <= one.starts:
            raise RosterError(path.name, toml.line_of(key, where), key, "needs two times with their zone, in order")
    return roster
