"""The international link: when no foreign next hop answers, foreign mail's life stands still until one does again.

What the node's workers saw is in one file that each of them adds to; it outlives a restart, for the pauses count as
long as a message that saw them lives.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import msgspec

from hudhud import codec, durable, log
from hudhud.clock import Clock
from hudhud.settings import Delivery as Limits
from mail.shelf.stored import time_of

FILE: Final = "link.json"
LOOK_S: Final = 5.0  # seconds between two looks into the file
FRESH_S: Final = 60.0  # a success is written down so often while nothing fails
KEPT_S: Final = 60 * 86_400.0  # how long a pause is remembered
MAX_FAILED: Final = 1000  # destinations of which a failure is remembered

Change = Literal["link-cut", "link-back"]
_log = log.get(__name__)


class State(msgspec.Struct):
    """Times in seconds since 1970. `failed`: destination -> its first failure since the last success."""

    good: float = 0.0
    failed: dict[str, float] = {}
    cut: float | None = None
    cuts: list[tuple[float, float]] = []


class Link:
    """One worker's view. Feed it `heard`, ask it to `look` now and then."""

    def __init__(self, folder: Path, limits: Limits, clock: Clock) -> None:
        self._path, self._limits, self._clock = folder / FILE, limits, clock
        self._looked = float("-inf")
        self._good: float | None = None  # news that are not in the file yet
        self._failed: dict[str, float] = {}
        self._state = self._read()

    @property
    def cut_since(self) -> datetime | None:
        """Since when the link is cut; None while it is up."""
        return time_of(self._state.cut) if self._state.cut is not None else None

    def paused(self, since: datetime, now: datetime) -> timedelta:
        """How long the link was cut between the two moments."""
        start, end = since.timestamp(), now.timestamp()
        cuts = [*self._state.cuts, *([(self._state.cut, end)] if self._state.cut is not None else [])]
        return timedelta(seconds=sum(max(0.0, min(end, until) - max(start, at)) for at, until in cuts))

    def heard(self, destination: str, *, good: bool) -> None:
        """A foreign next hop answered, or it (or the DNS for it) did not."""
        now = self._clock.now().timestamp()
        if good:
            self._good = now
            self._failed.clear()
            if self._state.cut is not None:
                self._looked = float("-inf")  # tell the others at the next look
        elif len(self._failed) < MAX_FAILED:
            self._failed.setdefault(destination, now)

    def look(self) -> Change | None:
        """Share what was heard, every LOOK_S seconds; the change if it is this worker that found it."""
        if self._clock.monotonic() - self._looked < LOOK_S:
            return None
        self._looked = self._clock.monotonic()
        try:
            with self._locked():
                state = self._read()
                before = codec.encode(state)
                change = self._merge(state)
                if codec.encode(state) != before:
                    durable.replace(self._path, codec.encode(state))
        except OSError as error:
            _log.error("the state of the international link cannot be kept", problem=str(error))
            return None
        self._state = state
        self._good, self._failed = None, {}
        return change

    def status(self) -> dict[str, object]:
        """For people."""
        since = self.cut_since
        return {"state": "cut" if since else "up", **({"since": since.isoformat()} if since else {})}

    # inside

    def _merge(self, state: State) -> Change | None:
        """Add this worker's news to the node's state."""
        now = self._clock.now().timestamp()
        if not state.good:
            state.good = now  # from here on a silence counts
        heard = self._good or 0.0
        if heard - state.good >= FRESH_S or (heard > state.good and (state.failed or state.cut is not None)):
            state.good, state.failed = heard, {}
        for destination, at in self._failed.items():
            if at >= state.good and len(state.failed) < MAX_FAILED:
                state.failed.setdefault(destination, at)
        state.cuts = [one for one in state.cuts if one[1] > now - KEPT_S]
        cut = self._is_cut(state, now)
        if cut and state.cut is None:
            first = min(state.failed.values(), default=now)
            state.cut = now if self._limits.link == "cut" else max(first, state.good)
            return "link-cut"
        if not cut and state.cut is not None:
            state.cuts.append((state.cut, now))
            state.cut, state.failed = None, {}
            return "link-back"
        return None

    def _is_cut(self, state: State, now: float) -> bool:
        if self._limits.link != "auto":
            return self._limits.link == "cut"
        if state.cut is not None:
            return state.good <= state.cut
        quiet = now - state.good >= self._limits.link_minutes * 60
        return quiet and len(state.failed) >= self._limits.link_destinations

    def _read(self) -> State:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except (OSError, msgspec.DecodeError) as error:
            _log.error("the state of the international link cannot be read: it counts as up", problem=str(error))
            return State()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
