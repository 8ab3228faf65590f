"""The audit chain of one writing process: what people did, in lines that nobody can change unseen.

A record is on disk (fsync) before `record` returns. `hudhud.chain` has the form and the check. What a power cut left
of an unacknowledged last line is moved into the next start, not thrown away. Every checkpoint witnesses where the other
chains of the folder stand, so that none of them is rewound or removed unseen.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import threading
import time
from datetime import datetime
from pathlib import Path

from hudhud import chain, codec, durable, log, witness
from hudhud.chain import Head, Problem, verify
from hudhud.clock import SYSTEM, Clock
from hudhud.event import format_time
from hudhud.keys import SigningKey

__all__ = ["Audit", "AuditError", "Head", "Problem", "head", "verify"]

CHECKPOINT_RECORDS = 100  # records between two signed checkpoints
MAX_VALUE_BYTES = 64 * 1024  # of `before`, `after`; a larger one is kept as its keyed hash
MAX_TEXT_CHARACTERS = 4096  # of actor, act, subject, reason; what is longer is cut, and says so
LOCK_WAIT_S = 5.0  # how long another process may hold the chain
TORN_BYTES = 4096  # kept of an unfinished last line

_log = log.get(__name__)


class AuditError(Exception):
    """The chain at `path` cannot be written; the act it should record must not happen."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class Audit:
    """Continues the chain at `path`, or begins it, signing its checkpoints with `key`. One process at a time."""

    def __init__(
        self, path: Path, key: SigningKey, writer: str, *, clock: Clock = SYSTEM, lock_wait_s: float = LOCK_WAIT_S
    ) -> None:
        self.path = path
        self._key = key
        self._writer = writer
        self._clock = clock
        self._secret = key.derive("audit values")
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, durable.PRIVATE)
        try:
            self._hold(lock_wait_s)
            torn = self._cut_torn()
            self._head = head(path)
            self._size = os.fstat(self._file).st_size
            self._since = 0
            if new:
                durable.sync_folder(path.parent)
            self._checkpoint("start", **({"torn": torn.decode("utf-8", "replace")} if torn else {}))
        except BaseException:
            os.close(self._file)
            raise

    def record(
        self,
        actor: str,
        act: str,
        subject: str,
        *,
        reason: str = "",
        before: object = None,
        after: object = None,
        personal: bool = False,
        now: datetime,
    ) -> str:
        """Write that `actor` did `act` to `subject`; returns the record's hash. Blocking (one fsync), any thread.

        `before` and `after` are values JSON can hold; with `personal` they are kept as keyed hashes only, which can be
        compared with a known value (`hashed`) for as long as the key exists, and never read. AuditError if not written.
        """
        fields: dict[str, object] = {
            "kind": "act",
            "time": format_time(now),
            "writer": self._writer,
            "actor": _short(actor),
            "act": _short(act),
            "subject": _short(subject),
        }
        if reason:
            fields["reason"] = _short(reason)
        for name, value in (("before", before), ("after", after)):
            if value is not None:
                fields[name] = self._kept(value, personal)
        with self._lock:
            digest = self._append(fields)
            self._since += 1
            if self._since >= CHECKPOINT_RECORDS:
                try:
                    self._checkpoint("periodic")
                except AuditError as error:  # the act is recorded; the next one signs
                    _log.error("audit checkpoint not written", problem=str(error))
        return digest

    def hashed(self, value: object) -> str:
        """The keyed hash (HMAC-SHA256, hex) that stands for a personal value; also good for a `subject`."""
        return hmac.digest(self._secret, codec.canonical(value), hashlib.sha256).hex()

    def close(self) -> None:
        """Sign the end and let the chain go; a second close does nothing."""
        with self._lock:
            if self._file < 0:
                return
            try:
                self._checkpoint("close")
            finally:
                os.close(self._file)
                self._file = -1

    def _kept(self, value: object, personal: bool) -> object:
        encoded = codec.canonical(value)
        if personal or len(encoded) > MAX_VALUE_BYTES:
            return {"hmac": hmac.digest(self._secret, encoded, hashlib.sha256).hex(), "bytes": len(encoded)}
        return value

    def _checkpoint(self, why: str, **more: str) -> None:
        fields: dict[str, object] = {
            "kind": "checkpoint", "time": format_time(self._clock.now()), "writer": self._writer, "why": why, **more,
        }  # fmt: skip
        if seen := witness.siblings(self.path):
            fields["witnesses"] = seen
        self._append({**fields, "key": self._key.name}, signed=True)
        self._since = 0

    def _append(self, fields: dict[str, object], *, signed: bool = False) -> str:
        """One line at the end, forced to disk; when that fails, the file is as it was before."""
        if self._file < 0:
            raise AuditError(self.path, "is closed")
        body = {"n": self._head.records + 1, "previous": self._head.digest, **fields}
        line = chain.seal(body, codec.encode, self._key.sign if signed else None)
        try:
            _write_whole(self._file, line + b"\n")
            os.fsync(self._file)
        except OSError as error:
            self._undo()
            raise AuditError(self.path, error.strerror or str(error)) from error
        self._size += len(line) + 1
        self._head = Head(self._head.records + 1, hashlib.sha256(line).hexdigest())
        if signed:
            self._keep_head(line + b"\n")
        return self._head.digest

    def _undo(self) -> None:
        """Take a half-written line off again; where even that fails, nothing more is written."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            os.close(self._file)
            self._file = -1

    def _keep_head(self, line: bytes) -> None:
        try:
            durable.replace(chain.head_path(self.path), line, mode=durable.PRIVATE)
        except OSError as error:  # the chain itself is written; only a later cut would be noticed less well
            _log.error("audit head not written", file=str(self.path), problem=str(error))

    def _hold(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise AuditError(self.path, "is being written by another process") from None
                time.sleep(0.02)

    def _cut_torn(self) -> bytes:
        """Take an unfinished last line off: it was never acknowledged. What it said goes into the next checkpoint."""
        end = os.fstat(self._file).st_size
        whole = _last_line_feed(self._file, end) + 1
        if whole == end:
            return b""
        torn = os.pread(self._file, min(end - whole, TORN_BYTES), whole)
        os.ftruncate(self._file, whole)
        return torn


def head(path: Path) -> Head:
    """Where the chain stands: reads the whole file once, checks nothing (see `verify`)."""
    records, last = 0, b""
    with path.open("rb") as file:
        for line in file:
            records, last = records + 1, line
    return Head(records, hashlib.sha256(last.removesuffix(b"\n")).hexdigest() if records else chain.START)


def _short(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()  # what came from outside may hold lone surrogates
    return text if len(text) <= MAX_TEXT_CHARACTERS else text[:MAX_TEXT_CHARACTERS] + "… (cut)"


def _write_whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _last_line_feed(descriptor: int, end: int) -> int:
    """The offset of the last line feed before `end`, -1 if there is none."""
    while end > 0:
        begin = max(0, end - 65_536)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found
        end = begin
    return -1
