"""Exemptions: who may write to whom abroad, until when; requested by one, approved by two others, never open-ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from hudhud import codec, toml
from hudhud.database import Connection, Database
from hudhud.entity import a_label

FILE = "exemptions.json"
APPROVERS = 2  # distinct people, neither the applicant
MAX_DAYS = 366  # days; a longer need is asked for again

ExemptionError = toml.PlaceError


class Status(StrEnum):
    REQUESTED = "requested"
    SECONDED = "seconded"  # one approver of two
    APPROVED = "approved"
    REFUSED = "refused"
    REVOKED = "revoked"


class Act(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"
    REVOKE = "revoke"


MOVES: Final[Mapping[tuple[Status, Act], Status]] = {
    (Status.REQUESTED, Act.APPROVE): Status.SECONDED,
    (Status.REQUESTED, Act.REFUSE): Status.REFUSED,
    (Status.REQUESTED, Act.REVOKE): Status.REVOKED,
    (Status.SECONDED, Act.APPROVE): Status.APPROVED,
    (Status.SECONDED, Act.REFUSE): Status.REFUSED,
    (Status.SECONDED, Act.REVOKE): Status.REVOKED,
    (Status.APPROVED, Act.REVOKE): Status.REVOKED,
}


class NotAllowed(Exception):  # noqa: N818 - it is an answer to a person, not a fault
    """An act that the rules of exemptions forbid; the message says which and why."""


class Exemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What two approvers allowed: `sender` and `recipient` are an address or a domain (A-label); `max_size` octets."""

    id: str
    sender: str
    recipient: str
    starts: datetime
    ends: datetime
    reason: str
    document: str
    applicant: str
    approvers: tuple[str, ...] = ()
    max_size: int | None = None
    classification: str = ""

    def in_force(self, now: datetime) -> bool:
        """By the clock of whoever asks: each node its own."""
        return self.starts <= now < self.ends

    def fits(self, size: int | None) -> bool:
        """Whether a message of `size` octets (None: not yet known) is within it."""
        return self.max_size is None or size is None or size <= self.max_size


@dataclass(frozen=True, slots=True)
class Request:
    """An exemption on its way: its status and who did what."""

    exemption: Exemption
    status: Status
    entity: str
    history: tuple[tuple[datetime, str, str, str], ...] = ()

    def moves(self) -> frozenset[Act]:
        """The acts that its status allows."""
        return frozenset(act for status, act in MOVES if status is self.status)


def normal_scope(text: str) -> str:
    """An address or domain in the form that is compared; ValueError where it is neither or covers a whole suffix."""
    local, at, domain = text.strip().rpartition("@")
    name = a_label(domain)
    if "." not in name:
        raise ValueError(f"{text!r} covers more than a domain")
    if at and (not local or any(c.isspace() for c in local)):
        raise ValueError(f"{text!r} is not an address")
    return f"{local.lower()}@{name}" if at else name


def requested(exemption: Exemption, entity: str, now: datetime) -> Request:
    """Pure. A new request; NotAllowed where it is open-ended, over already, or has no reason or document."""
    for name in ("reason", "document", "applicant"):
        if not str(getattr(exemption, name)).strip():
            raise NotAllowed(f"an exemption needs a {name}")
    if exemption.ends <= max(now, exemption.starts):
        raise NotAllowed("the exemption would end before it begins")
    if exemption.ends - exemption.starts > timedelta(days=MAX_DAYS):
        raise NotAllowed(f"an exemption lasts at most {MAX_DAYS} days; this one would last longer")
    if exemption.max_size is not None and exemption.max_size <= 0:
        raise NotAllowed("the size is a number of octets above zero")
    try:
        scope = msgspec.structs.replace(
            exemption, sender=normal_scope(exemption.sender), recipient=normal_scope(exemption.recipient), approvers=()
        )
    except ValueError as error:
        raise NotAllowed(str(error)) from None
    entry = (now, exemption.applicant, "request", exemption.reason)
    return Request(scope, Status.REQUESTED, entity, (entry,))


def moved(request: Request, act: Act, actor: str, now: datetime, reason: str = "") -> Request:
    """Pure. The request after `actor` did `act`; NotAllowed says which rule forbids it."""
    after = MOVES.get((request.status, act))
    if after is None:
        raise NotAllowed(f"{request.exemption.id} is {request.status}: it cannot be {_DONE[act]}")
    exemption = request.exemption
    if act is Act.APPROVE:
        if actor.casefold() == exemption.applicant.casefold():
            raise NotAllowed("nobody approves an exemption of their own")
        if actor.casefold() in {name.casefold() for name in exemption.approvers}:
            raise NotAllowed(f"{actor} has approved it already: the second approver is another person")
        if exemption.ends <= now:
            raise NotAllowed(f"{exemption.id} is over since {exemption.ends.isoformat()}")
        exemption = msgspec.structs.replace(exemption, approvers=(*exemption.approvers, actor))
    elif not reason.strip():
        raise NotAllowed(f"say why it is {_DONE[act]}")
    return replace(
        request, exemption=exemption, status=after, history=(*request.history, (now, actor, str(act), reason))
    )


_DONE = {Act.APPROVE: "approved", Act.REFUSE: "refused", Act.REVOKE: "revoked"}

SCHEMA = """
create table if not exists history(
  entry integer primary key autoincrement, exemption text not null, moment text not null,
  actor text not null, act text not null, reason text not null, document blob);
create index if not exists history_exemption on history(exemption);
create trigger if not exists history_kept before update on history begin select raise(abort, 'append-only'); end;
create trigger if not exists history_whole before delete on history begin select raise(abort, 'append-only'); end;
"""

Row = tuple[str, str, str, str, str, bytes | None]


class Ledger:
    """All requests and what was done with them: an append-only table, read by folding it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = Database(path, SCHEMA)

    def close(self) -> None:
        self._database.close()

    def request(self, exemption: Exemption, entity: str, now: datetime) -> Request:
        """Writes a request under a new id (whatever id it carries); NotAllowed where it cannot be."""

        def work(connection: Connection) -> Request:
            count = next(iter(connection.execute("select count(distinct exemption) from history")))[0]
            asked = requested(msgspec.structs.replace(exemption, id=f"EX-{now:%Y}-{int(count) + 1:04}"), entity, now)
            document = codec.encode({"entity": entity, "exemption": asked.exemption})
            _append(connection, asked, document)
            return asked

        return self._database.commit_now(work)

    def approve(self, id: str, actor: str, now: datetime, reason: str = "") -> Request:
        """The first approval seconds it, the second of another person puts it in force."""
        return self._move(id, Act.APPROVE, actor, now, reason)

    def refuse(self, id: str, actor: str, now: datetime, reason: str) -> Request:
        return self._move(id, Act.REFUSE, actor, now, reason)

    def revoke(self, id: str, actor: str, now: datetime, reason: str) -> Request:
        return self._move(id, Act.REVOKE, actor, now, reason)

    def get(self, id: str) -> Request:
        """NotAllowed where there is no such exemption."""
        found = _fold(self._rows("where exemption = ?", (id,)))
        if id not in found:
            raise NotAllowed(f"there is no exemption {id!r}")
        return found[id]

    def list(self, *, status: Status | None = None, entity: str | None = None) -> Sequence[Request]:
        """In the order of their requests."""
        everything = _fold(self._rows("", ())).values()
        return [r for r in everything if status in (None, r.status) and entity in (None, r.entity)]

    def _move(self, id: str, act: Act, actor: str, now: datetime, reason: str) -> Request:
        def work(connection: Connection) -> Request:
            rows = list(connection.execute(_SELECT + " where exemption = ? order by entry", (id,)))
            found = _fold(rows)
            if id not in found:
                raise NotAllowed(f"there is no exemption {id!r}")
            after = moved(found[id], act, actor, now, reason)
            _append(connection, after, None)
            return after

        return self._database.commit_now(work)

    def _rows(self, where: str, bindings: tuple[str, ...]) -> Iterable[Row]:
        rows: list[Row] = self._database.read(f"{_SELECT} {where} order by entry", bindings)
        return rows


_SELECT = "select exemption, moment, actor, act, reason, document from history"


def _append(connection: Connection, request: Request, document: bytes | None) -> None:
    moment, actor, act, reason = request.history[-1]
    connection.execute(
        "insert into history(exemption, moment, actor, act, reason, document) values (?, ?, ?, ?, ?, ?)",
        (request.exemption.id, moment.isoformat(), actor, act, reason, document),
    )


def _fold(rows: Iterable[Row]) -> dict[str, Request]:
    """The requests that a history tells of."""
    found: dict[str, Request] = {}
    for key, moment, actor, act, reason, document in rows:
        now = datetime.fromisoformat(moment)
        if document is not None:
            value = codec.decode(document)
            exemption = msgspec.convert(value["exemption"], Exemption)
            found[key] = Request(exemption, Status.REQUESTED, value["entity"], ((now, actor, act, reason),))
        else:
            found[key] = moved(found[key], Act(act), actor, now, reason)
    return found


def release_files(ledger: Ledger, now: datetime) -> dict[str, bytes]:
    """The content of an exemptions release: what is approved and not over at `now`."""
    live = [r.exemption for r in ledger.list(status=Status.APPROVED) if r.exemption.ends > now]
    return {FILE: codec.canonical(live)}


def parse_exemptions(files: Mapping[str, bytes]) -> tuple[Exemption, ...]:
    """The exemptions of a release; ExemptionError names the file and the entry. No file: none."""
    if FILE not in files:
        return ()
    try:
        found = msgspec.json.decode(files[FILE], type=list[Exemption])
    except msgspec.DecodeError as error:
        raise ExemptionError(FILE, 0, "", str(error)) from None
    for index, exemption in enumerate(found):
        if len({name.casefold() for name in exemption.approvers} - {exemption.applicant.casefold()}) < APPROVERS:
            raise ExemptionError(FILE, 0, f"[{index}].approvers", f"{exemption.id} lacks {APPROVERS} approvers")
        if exemption.ends <= exemption.starts or exemption.ends - exemption.starts > timedelta(days=MAX_DAYS):
            raise ExemptionError(FILE, 0, f"[{index}].ends", f"{exemption.id} is open-ended or ends before it begins")
        if exemption.starts.tzinfo is None or exemption.ends.tzinfo is None:
            raise ExemptionError(FILE, 0, f"[{index}]", f"{exemption.id}: times need a zone")
    return tuple(found)
