"""The value compiled from the live release: swapped whole, and the old one kept when the new one is no good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from hudhud import durable, log, release
from hudhud.release import Release, ReleaseError, Trust

T = TypeVar("T")

RETRY_S = 5.0  # how soon a pointer that failed is tried again though it did not change: its files may still arrive

_log = log.get(__name__)


class Live(Generic[T]):
    """What `compile` makes of the live release of `kind`. Raises at the start only: when no release ever was good.

    `problem` says why the newest is not live (None: it is). `swaps` and `failures` count. With the pointer at the
    start no good, the newest older one of the history that is good is live. `seen` is an optional file that keeps the
    highest serial across restarts, so that a restarted node does not take an older pointer either.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        trust: Trust,
        compile: Callable[[Release], T],
        *,
        channel: str = "enforce",
        seen: Path | None = None,
    ) -> None:
        self.problem: str | None = None
        self.swaps = 0
        self.failures = 0
        self._folder, self._kind, self._trust, self._channel = folder, kind, trust, channel
        self._compile = compile
        self._pointer = release.pointer_path(folder, kind, channel)
        self._lock = threading.Lock()
        self._looked: tuple[int, int, int] | None = None
        self._retry_at = 0.0
        self._highest = _Highest(seen)
        self._state = self._begin()

    @property
    def value(self) -> T:
        """Take it once for a piece of work: the next look may see another."""
        return self._state[1]

    @property
    def release(self) -> Release:
        """What `value` was compiled from."""
        return self._state[0]

    @property
    def state(self) -> tuple[Release, T]:
        """Both at once, of the same moment."""
        return self._state

    def refresh(self) -> bool:
        """Look for a newer release; True when swapped. Never raises; one stat when nothing changed. Any thread."""
        try:
            looked = self._look()
        except OSError as error:
            return self._keep(f"{self._pointer}: {error.strerror or error}")
        if looked == self._looked and (self.problem is None or time.monotonic() < self._retry_at):
            return False
        with self._lock:
            try:
                return self._swap(looked)
            except Exception as error:  # whatever a broken release makes the compiler raise, the old one stays
                self._looked = looked
                return self._keep(str(error) or type(error).__name__)

    def _look(self) -> tuple[int, int, int]:
        state = self._pointer.stat()
        return state.st_mtime_ns, state.st_ino, state.st_size

    def _swap(self, looked: tuple[int, int, int]) -> bool:
        fresh = release.load(self._folder, self._kind, self._trust, channel=self._channel)
        self._check_serial(fresh)
        current, value = self._state
        if fresh.digest != current.digest:
            value = self._compile(fresh)
        swapped = (fresh.serial, fresh.digest) != (current.serial, current.digest)
        self._state = (fresh, value)
        self._highest.keep(fresh.serial)
        self._looked, self.problem = looked, None
        if swapped:
            self.swaps += 1
            _log.info("release live", kind=self._kind, serial=fresh.serial, digest=fresh.digest, author=fresh.author)
        return swapped

    def _check_serial(self, fresh: Release) -> None:
        if fresh.serial < self._highest.serial:
            problem = f"serial {fresh.serial} is older than {self._highest.serial}, which was seen before"
            raise ReleaseError(self._kind, self._pointer.name, problem)

    def _keep(self, problem: str) -> bool:
        self.failures += 1
        self._retry_at = time.monotonic() + RETRY_S
        if problem != self.problem:
            _log.error("release refused, keeping the old one", kind=self._kind, problem=problem)
        self.problem = problem
        return False

    def _begin(self) -> tuple[Release, T]:
        try:
            self._looked = self._look() if self._pointer.exists() else None
            fresh = release.load(self._folder, self._kind, self._trust, channel=self._channel)
            self._check_serial(fresh)
            value = self._compile(fresh)
        except Exception as error:
            self._keep(str(error) or type(error).__name__)
            older = self._last_good()
            if older is None:
                raise
            return older
        self._highest.keep(fresh.serial)
        return fresh, value

    def _last_good(self) -> tuple[Release, T] | None:
        for pointer in sorted(
            release.history(self._folder, self._kind, self._channel), key=lambda one: one.serial, reverse=True
        ):
            try:
                older = release.load(
                    self._folder, self._kind, self._trust, channel=self._channel, serial=pointer.serial
                )
                return older, self._compile(older)
            except Exception as error:
                _log.error("release refused", kind=self._kind, serial=pointer.serial, problem=str(error))
        return None


class _Highest:
    """The highest serial ever seen, in a file where one is given."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        text = path.read_text("ascii", "replace").strip() if path is not None and path.exists() else ""
        self.serial = int(text) if text.isascii() and text.isdecimal() else 0

    def keep(self, serial: int) -> None:
        if serial <= self.serial:
            return
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            durable.replace(self._path, f"{serial}\n".encode())
        self.serial = serial
