"""The people of the console: read anew when their file changes, what each role may see, and how far a person sees."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hudhud import log
from hudhud.people import People, Person, Role
from hudhud.toml import PlaceError

_log = log.get(__name__)

ALL_ROLES: frozenset[Role] = frozenset({"analyst", "officer", "administrator", "auditor"})
NATIONAL: frozenset[Role] = frozenset({"analyst", "administrator", "auditor"})  # who sees the whole country
ANALYSTS: frozenset[Role] = frozenset({"analyst"})
POSTMASTERS: frozenset[Role] = frozenset({"analyst", "administrator"})  # who decides on held mail
CASE_WORKERS: frozenset[Role] = frozenset({"analyst", "officer"})  # who may write into an incident
GRANTERS: frozenset[Role] = frozenset({"officer", "administrator"})  # who asks for and approves exemptions

MAX_VERIFICATIONS = 2  # passwords hashed at once; each takes 19 MiB and about 30 ms of one core


@dataclass(frozen=True, slots=True)
class Scope:
    """How far somebody sees: `entity` None is the whole country, "" is nothing (design §8.5)."""

    entity: str | None

    def covers(self, codes: Iterable[str]) -> bool:
        """Whether something that concerns these entities may be seen."""
        return self.entity is None or (self.entity != "" and self.entity in codes)


def scope(person: Person) -> Scope:
    """An officer who is nothing else sees her own entity only."""
    return Scope(None if person.roles & NATIONAL else person.entity or "")


class LivePeople:
    """people.toml as it is now; a file that cannot be read leaves the last good one in force."""

    def __init__(self, path: Path) -> None:
        """PlaceError or OSError when the file cannot be read the first time."""
        self._path, self._stamp = path, _stamp(path)
        self._people = People.load(path)
        self._turns = asyncio.Semaphore(MAX_VERIFICATIONS)

    def get(self, login: str) -> Person | None:
        """The person with that login, if there still is one."""
        return self._fresh().get(login)

    def all(self) -> list[Person]:
        """Everybody, by login."""
        return sorted(self._fresh(), key=lambda person: person.login)

    async def verify(self, login: str, password: str) -> Person | None:
        """The person if login and password fit. Costs the same for an unknown login; hashes in a thread."""
        people = self._fresh()
        async with self._turns:
            return await asyncio.to_thread(people.verify, login, password)

    def _fresh(self) -> People:
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._people = People.load(self._path)
            except (PlaceError, OSError) as error:
                _log.error("people.toml cannot be read, the last good one stays in force", problem=str(error))
        return self._people


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)
