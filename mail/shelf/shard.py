"""Opens one shard of the spool: takes its lock, sets a damaged file apart, sweeps up what a crash left."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hudhud import log
from hudhud.clock import Clock
from hudhud.database import Database, DatabaseDamaged, DatabaseError
from mail.shelf.bodies import Bodies
from mail.shelf.salvage import Salvaged, salvage
from mail.shelf.stored import SCHEMA

_log = log.get(__name__)


class ShardTaken(Exception):  # noqa: N818 - a state of the world: its owner lives
    """Another process owns the shard."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What was found when the shard was opened: where the file is kept, what was wrong, what was brought over."""

    kept: str
    problem: str
    salvaged: Salvaged


@dataclass(frozen=True, slots=True)
class Shard:
    """An open shard."""

    number: int
    database: Database
    bodies: Bodies
    lock: int
    damage: Damage | None = None

    def close(self) -> None:
        """Finish what waits, close, give the shard up."""
        self.database.close()
        os.close(self.lock)


def open_shard(folder: Path, number: int, key: bytes, clock: Clock) -> Shard:
    """The shard `shard-<number>.db` of the relay's folder, made where there is none. ShardTaken while another has it.

    A damaged file is set apart whole with the body files it may name, for a person to look at; what can still be read
    of its live messages is brought over into a new one, so that the rest goes on.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = _lock(folder / f"shard-{number}.lock")
    try:
        bodies, path, damage = Bodies(folder / "bodies", key), folder / f"shard-{number}.db", None
        try:
            database = _open(path)
        except DatabaseDamaged as error:
            database, damage = _anew(path, bodies, number, clock, error.what)
        _suspicion(path).unlink(missing_ok=True)
        swept = _sweep(database, bodies, number)
        if swept:
            _log.info("removed bodies that no message names", shard=number, files=swept)
        return Shard(number, database, bodies, lock, damage)
    except BaseException:
        os.close(lock)
        raise


def suspect(path: Path) -> None:
    """The open shard at `path` proved to be damaged: the next opening reads it whole, whatever its size."""
    _suspicion(path).touch()


def _open(path: Path) -> Database:
    database = Database(path, SCHEMA)
    if _suspicion(path).exists():
        wrong = _problems(database)
        if wrong:
            database.close()
            raise DatabaseDamaged(path, "; ".join(wrong))
    return database


def _problems(database: Database) -> list[str]:
    try:
        return database.check()
    except DatabaseError as error:
        return [error.what]


def _anew(path: Path, bodies: Bodies, number: int, clock: Clock, problem: str) -> tuple[Database, Damage]:
    stamp = clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    apart = bodies.set_apart(number, stamp)
    database = Database(path, SCHEMA)
    found = salvage(kept, apart, database, bodies, number)
    _log.error(
        "shard damaged: set apart, its readable messages brought over",
        shard=number,
        problem=problem,
        kept=str(kept),
        saved=found.saved,
        lost=found.lost,
    )
    return database, Damage(str(kept), problem, found)


def _suspicion(path: Path) -> Path:
    return path.with_suffix(".suspect")


def shard_numbers(folder: Path) -> Iterator[int]:
    """Every shard that lies in the folder, in order."""
    names = (path.stem.removeprefix("shard-") for path in folder.glob("shard-*.db"))
    yield from sorted(int(name) for name in names if name.isdigit())


def is_free(folder: Path, number: int) -> bool:
    """Whether nobody owns the shard in this moment."""
    try:
        os.close(_lock(folder / f"shard-{number}.lock"))
    except ShardTaken:
        return False
    return True


def set_apart(folder: Path, number: int) -> list[str]:
    """The names of that shard's files that were found damaged and kept for a person to look at."""
    names = (path.name for path in folder.glob(f"shard-{number}.db.damaged-*"))
    return sorted(name for name in names if not name.endswith(("-wal", "-shm")))


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ShardTaken(path.stem) from None
    return descriptor


def _sweep(database: Database, bodies: Bodies, number: int) -> int:
    """Body files whose transaction never came to be: nobody was told 250 for them."""
    named = {row[0] for row in database.read("SELECT file FROM bodies WHERE file IS NOT NULL")}
    strays = bodies.files(number) - named
    bodies.drop(strays)
    return len(strays)
