"""When and from where each app password was used last: a small file a worker, beside accounts.toml's own truth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from hudhud import codec, durable, log

EVERY_S: Final = 60.0  # at most so often it is written
KEPT: Final = 10_000  # app passwords that one worker remembers

_log = log.get(__name__)


class Use(msgspec.Struct, frozen=True):
    """`at` is when, `ip` from where."""

    at: datetime
    ip: str


class Used:
    """One worker's: kept in memory, written now and then and at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._uses = dict(_read(path))
        self._written = 0.0

    def note(self, app: str, now: datetime, ip: str) -> None:
        """It was used. Never raises: what is lost is a date."""
        self._uses.pop(app, None)
        self._uses[app] = Use(now, ip)
        if len(self._uses) > KEPT:
            del self._uses[next(iter(self._uses))]
        if not 0 <= now.timestamp() - self._written < EVERY_S:
            self._written = now.timestamp()
            self.write()

    def write(self) -> None:
        if not self._uses:
            return
        try:
            durable.replace(self._path, codec.encode(self._uses), mode=durable.PRIVATE)
        except OSError as error:
            _log.warning("the last uses of app passwords are not written", problem=str(error))


def path_of(folder: Path, worker: int) -> Path:
    """Where a worker keeps them, in the relay's folder."""
    return folder / f"apps-{worker}.json"


def last_uses(folder: Path) -> Mapping[str, Use]:
    """The last use of each app password, by its number ("address id"), over all workers."""
    found: dict[str, Use] = {}
    for path in folder.glob("apps-*.json"):
        for app, use in _read(path).items():
            if app not in found or found[app].at < use.at:
                found[app] = use
    return found


def _read(path: Path) -> Mapping[str, Use]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Use])
    except (OSError, ValueError, msgspec.MsgspecError):
        return {}
