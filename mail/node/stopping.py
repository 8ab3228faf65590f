"""Rules that stopped themselves: which of them hold too much, and the node's list of them that every worker honours.

A rule that held more than its share of the last messages (rules/budget.py) stops until a release has another version of
it, or a person lets it run again; what it held before that moment is not counted against it a second time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from hudhud import codec, durable, log
from hudhud.database import DatabaseError, open_reader, rows
from hudhud.event import format_time, parse_time
from hudhud.settings import Budget as Limits
from mail.shelf.stored import number_at
from rules.budget import Budget

FILE: Final = "stopped.json"
_OUTCOMES: Final = "SELECT number, held_by FROM messages WHERE kind = 'mail' ORDER BY number DESC LIMIT ?"
_log = log.get(__name__)


class Stop(msgspec.Struct, frozen=True):
    """A rule that stopped: which version, when (RFC 3339), and how many of how many messages it held."""

    version: str
    at: str
    held: int
    window: int


class _Document(msgspec.Struct, frozen=True):
    stopped: dict[str, Stop] = {}
    since: dict[str, str] = {}  # rule -> from when on its outcomes count


class Stops:
    """The file stopped.json in the relay's folder; changes are made under a lock, readers see it whole."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._looked: tuple[int, int, int] | None = None
        self._document = _Document()
        self.refresh()

    @property
    def stopped(self) -> Mapping[str, Stop]:
        return self._document.stopped

    def refresh(self) -> bool:
        """Read it again where it changed; True when other rules are stopped now. A damaged file stops nothing."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            looked, document = None, _Document()
        else:
            looked = state.st_mtime_ns, state.st_ino, state.st_size
            document = self._document if looked == self._looked else self._read()
        before, self._looked, self._document = self._document, looked, document
        return before.stopped.keys() != document.stopped.keys()

    def stop(self, rule: str, stop: Stop) -> bool:
        """From now on the rule is stopped; False where it was already."""

        def change(document: _Document) -> _Document:
            return msgspec.structs.replace(document, stopped={**document.stopped, rule: stop})

        return self._change(lambda d: rule not in d.stopped, change)

    def let_run(self, rule: str, now: datetime) -> bool:
        """The rule runs again, and what it held until now is forgotten; False where it was not stopped."""

        def change(document: _Document) -> _Document:
            stopped = {name: stop for name, stop in document.stopped.items() if name != rule}
            return _Document(stopped, {**document.since, rule: format_time(now)})

        return self._change(lambda d: rule in d.stopped, change)

    def changed(self, versions: Mapping[str, str]) -> list[str]:
        """The stopped rules of which a release (rule -> version) has another version, or none any more."""
        return [rule for rule, stop in self.stopped.items() if versions.get(rule) != stop.version]

    def since(self) -> dict[str, int]:
        """Rule -> the first message number that counts."""
        return {rule: number_at(parse_time(text)) for rule, text in self._document.since.items()}

    def _change(self, wanted: Callable[[_Document], bool], change: Callable[[_Document], _Document]) -> bool:
        with self._locked():
            document = self._read()
            wants = wanted(document)
            if wants:
                durable.replace(self._path, codec.encode(change(document)), mode=durable.PRIVATE)
        self.refresh()
        return wants

    def _read(self) -> _Document:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Document)
        except FileNotFoundError:
            return _Document()
        except msgspec.DecodeError as error:
            _log.error("the list of stopped rules is damaged", file=str(self._path), problem=str(error))
            return _Document()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def over_budget(
    shards: Iterable[Path], limits: Limits, versions: Mapping[str, str], since: Mapping[str, int]
) -> dict[str, int]:
    """Rule -> how many of the node's last `window` messages it held, for each that held too many. Blocking.

    Only detection rules (`versions`: rule -> version) stop themselves, never the national policy.
    """
    outcomes: list[tuple[int, str]] = []
    for path in shards:
        try:
            connection = open_reader(path)
            try:
                outcomes += rows(connection, path, _OUTCOMES, (limits.window,))
            finally:
                connection.close()
        except DatabaseError as error:
            _log.error("outcomes cannot be read", shard=path.name, problem=error.what)
    budget, found = Budget(limits.share, limits.window), {}
    for number, held_by in sorted(outcomes)[-limits.window :]:
        rules = [] if held_by == "[]" else codec.decode(held_by)
        budget.record(rule for rule in rules if rule in versions and number >= since.get(rule, 0))
    for rule in versions:
        if budget.over(rule):
            found[rule] = budget.held(rule)
    return found
