"""Opens one shard of the spool: takes its lock, sets a damaged file apart, sweeps up what a crash left."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hudhud import log
from hudhud.clock import Clock
from hudhud.database import Database, DatabaseDamaged
from mail.bodies import Bodies
from mail.stored import SCHEMA

_log = log.get(__name__)


class ShardTaken(Exception):  # noqa: N818 - a state of the world: its owner lives
    """Another process owns the shard."""


@dataclass(frozen=True, slots=True)
class Shard:
    """An open shard. `damaged` is where a file was set apart when it was opened, "" for none."""

    number: int
    database: Database
    bodies: Bodies
    lock: int
    damaged: str = ""

    def close(self) -> None:
        """Finish what waits, close, give the shard up."""
        self.database.close()
        os.close(self.lock)


def open_shard(folder: Path, number: int, key: bytes, clock: Clock) -> Shard:
    """The shard `shard-<number>.db` of the relay's folder, made where there is none. ShardTaken while another has it.

    A damaged file is moved aside whole, with the body files it may name, for a person to look at; the shard begins
    anew, so that the rest goes on.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = _lock(folder / f"shard-{number}.lock")
    try:
        bodies, path, damaged = Bodies(folder / "bodies", key), folder / f"shard-{number}.db", ""
        try:
            database = Database(path, SCHEMA)
        except DatabaseDamaged as error:
            damaged = _set_apart(path, bodies, number, clock)
            _log.error("shard damaged: set apart, beginning anew", shard=number, problem=error.what, kept=damaged)
            database = Database(path, SCHEMA)
        swept = _sweep(database, bodies, number)
        if swept:
            _log.info("removed bodies that no message names", shard=number, files=swept)
        return Shard(number, database, bodies, lock, damaged)
    except BaseException:
        os.close(lock)
        raise


def shard_numbers(folder: Path) -> Iterator[int]:
    """Every shard that lies in the folder, in order."""
    names = (path.stem.removeprefix("shard-") for path in folder.glob("shard-*.db"))
    yield from sorted(int(name) for name in names if name.isdigit())


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ShardTaken(path.stem) from None
    return descriptor


def _set_apart(path: Path, bodies: Bodies, number: int, clock: Clock) -> str:
    stamp = clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    bodies.set_apart(number, stamp)
    return str(kept)


def _sweep(database: Database, bodies: Bodies, number: int) -> int:
    """Body files whose transaction never came to be: nobody was told 250 for them."""
    named = {row[0] for row in database.read("SELECT file FROM bodies WHERE file IS NOT NULL")}
    strays = bodies.files(number) - named
    bodies.drop(strays)
    return len(strays)
