"""Suspended checks: a content check that breaks is turned to tagging for some hours, by two people; it ends by itself.

What two people decided travels as a signed release, like exemptions. The national policy is not in the table: for that
there are exemptions and the body's own policy, each with its own rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from hudhud import codec, toml
from hudhud.database import Connection, Database

FILE: Final = "suspensions.json"
KIND: Final = "suspensions"
MAX_HOURS: Final = 24  # of one suspension; a longer need is decided on again
LAPSE_HOURS: Final = 24  # a request that nobody approved by then is over

CHECKS: Final = ("content", "mime", "impersonation", "dmarc")
"""What may be suspended: checks of what a message contains or claims. Closed: a new one is a line here."""

POLICY: Final = frozenset(
    {
        "national", "leak", "answer", "exemption", "recipient", "routed", "inbound",
        "system", "forwarding", "onward", "house", "unlisted", "mentions",
    }
)  # fmt: skip
"""The national policy and what keeps the relay from being open: never."""

SuspensionError = toml.PlaceError


class NotAllowed(Exception):  # noqa: N818 - it is an answer to a person, not a fault
    """An act that the rules of suspensions forbid; the message says which and why."""


class Suspension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What two people decided: findings of `check` only tag, from `starts` to `ends`."""

    id: str
    check: str
    starts: datetime
    ends: datetime
    reason: str
    applicant: str
    approver: str

    def in_force(self, now: datetime) -> bool:
        """By the clock of whoever asks: each node its own."""
        return self.starts <= now < self.ends


class Status(StrEnum):
    REQUESTED = "requested"
    SUSPENDED = "suspended"
    RESUMED = "resumed"


class Act(StrEnum):
    APPROVE = "approve"
    RESUME = "resume"


MOVES: Final[Mapping[tuple[Status, Act], Status]] = {
    (Status.REQUESTED, Act.APPROVE): Status.SUSPENDED,
    (Status.REQUESTED, Act.RESUME): Status.RESUMED,
    (Status.SUSPENDED, Act.RESUME): Status.RESUMED,
}


@dataclass(frozen=True, slots=True)
class Request:
    """A suspension on its way. Until it is approved `suspension` has the times it would have had at once."""

    suspension: Suspension
    status: Status
    seconds: float
    history: tuple[tuple[datetime, str, str, str], ...] = field(default=())

    def over(self, now: datetime) -> bool:
        """Whether it ended by itself, or lapsed before anybody approved it."""
        if self.status is Status.REQUESTED:
            return now >= self.suspension.starts + timedelta(hours=LAPSE_HOURS)
        return self.status is Status.SUSPENDED and now >= self.suspension.ends


def suspendable(check: str) -> str:
    """Pure. The check's name; NotAllowed says why it can never be suspended, or that there is no such check."""
    name = check.strip().lower()
    if name in CHECKS:
        return name
    if name in POLICY:
        raise NotAllowed(
            f"{name} is national policy and is never suspended; an exemption (`hudhud mail exempt request`) or the"
            " body's own policy is the lawful way"
        )
    raise NotAllowed(f"{check!r} is no check that may be suspended; these are: {', '.join(CHECKS)}")


def requested(id: str, check: str, seconds: float, *, applicant: str, reason: str, now: datetime) -> Request:
    """Pure. A new request; NotAllowed where the check is none of the table, or it would be too long or unexplained."""
    name = suspendable(check)
    if not reason.strip():
        raise NotAllowed("say why: a reason is needed")
    if not 60 <= seconds <= MAX_HOURS * 3600:
        raise NotAllowed(f"a suspension lasts between one minute and {MAX_HOURS} hours")
    asked = Suspension(id, name, now, now + timedelta(seconds=seconds), reason.strip(), applicant, "")
    return Request(asked, Status.REQUESTED, seconds, ((now, applicant, "suspend", reason),))


def moved(request: Request, act: Act, actor: str, now: datetime, reason: str = "") -> Request:
    """Pure. The request after `actor` did `act`; NotAllowed says which rule forbids it."""
    one, after = request.suspension, MOVES.get((request.status, act))
    if after is None or request.over(now):
        state = "over" if request.over(now) else str(request.status)
        raise NotAllowed(f"{one.id} is {state}: there is nothing to {act}")
    if act is Act.APPROVE:
        if actor.casefold() == one.applicant.casefold():
            raise NotAllowed("nobody approves a suspension of their own: a second person does")
        ends = now + timedelta(seconds=request.seconds)
        one = msgspec.structs.replace(one, approver=actor, starts=now, ends=ends)
    return Request(one, after, request.seconds, (*request.history, (now, actor, str(act), reason)))


SCHEMA = """
create table if not exists suspensions(entry integer primary key, suspension text not null, moment text not null,
  actor text not null, act text not null, reason text not null, document blob);
create trigger if not exists suspensions_kept before update on suspensions
  begin select raise(abort, 'append-only'); end;
create trigger if not exists suspensions_whole before delete on suspensions
  begin select raise(abort, 'append-only'); end;
"""
_SELECT = "select suspension, moment, actor, act, reason, document from suspensions order by entry"

Row = tuple[str, str, str, str, str, bytes | None]


class Ledger:
    """All requests and what was done with them: an append-only table, read by folding it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = Database(path, SCHEMA)

    def close(self) -> None:
        self._database.close()

    def request(self, check: str, seconds: float, *, applicant: str, reason: str, now: datetime) -> Request:
        """Writes a request under a new id; NotAllowed where it cannot be."""

        def work(connection: Connection) -> Request:
            count = len(_fold(connection.execute(_SELECT)))
            asked = requested(
                f"SU-{now:%Y}-{count + 1:04}", check, seconds, applicant=applicant, reason=reason, now=now
            )
            _append(connection, asked, codec.encode({"check": asked.suspension.check, "seconds": seconds}))
            return asked

        return self._database.commit_now(work)

    def move(self, id: str, act: Act, actor: str, now: datetime, reason: str = "") -> Request:
        """Approve or resume; NotAllowed says why not."""

        def work(connection: Connection) -> Request:
            found = _fold(connection.execute(_SELECT))
            if id not in found:
                raise NotAllowed(f"there is no suspension {id!r}")
            after = moved(found[id], act, actor, now, reason)
            _append(connection, after, None)
            return after

        return self._database.commit_now(work)

    def list(self) -> Sequence[Request]:
        """In the order of their requests."""
        return list(_fold(self._database.read(_SELECT)).values())


def _append(connection: Connection, request: Request, document: bytes | None) -> None:
    moment, actor, act, reason = request.history[-1]
    connection.execute(
        "insert into suspensions(suspension, moment, actor, act, reason, document) values (?, ?, ?, ?, ?, ?)",
        (request.suspension.id, moment.isoformat(), actor, act, reason, document),
    )


def _fold(rows: Iterable[Row]) -> dict[str, Request]:
    """The requests that a history tells of."""
    found: dict[str, Request] = {}
    for key, moment, actor, act, reason, document in rows:
        now = datetime.fromisoformat(moment)
        if document is not None:
            value = codec.decode(document)
            found[key] = requested(key, value["check"], value["seconds"], applicant=actor, reason=reason, now=now)
        else:
            found[key] = moved(found[key], Act(act), actor, now, reason)
    return found


def release_files(ledger: Ledger, now: datetime) -> dict[str, bytes]:
    """The content of a release: what is in force at `now`."""
    live = [r.suspension for r in ledger.list() if r.status is Status.SUSPENDED and r.suspension.ends > now]
    return {FILE: codec.canonical(live)}


def parse_suspensions(files: Mapping[str, bytes]) -> tuple[Suspension, ...]:
    """The suspensions of a release; SuspensionError names the entry that breaks a rule of theirs. No file: none."""
    if FILE not in files:
        return ()
    try:
        found = msgspec.json.decode(files[FILE], type=list[Suspension])
    except msgspec.DecodeError as error:
        raise SuspensionError(FILE, 0, "", str(error)) from None
    for index, one in enumerate(found):
        if problem := _problem(one):
            raise SuspensionError(FILE, 0, f"[{index}]", f"{one.id} {problem}")
    return tuple(found)


def _problem(one: Suspension) -> str:
    if one.check not in CHECKS:
        return f"suspends {one.check!r}, which is none of {', '.join(CHECKS)}"
    if not one.approver or one.approver.casefold() == one.applicant.casefold():
        return "lacks a second person"
    if one.starts.tzinfo is None or one.ends.tzinfo is None:
        return "has times without a zone"
    if not timedelta() < one.ends - one.starts <= timedelta(hours=MAX_HOURS):
        return f"lasts longer than {MAX_HOURS} hours, or ends before it begins"
    return ""
