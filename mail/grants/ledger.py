"""All exemptions that were asked for and what was done with them: an append-only table, read by folding it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from hudhud import codec
from hudhud.database import Connection, Database
from mail.exempt import FILE, Exemption
from mail.grants.asking import Act, NotAllowed, Request, Status, moved, requested


def _(text: str) -> str:
    """Marks a text for the catalogue."""
    return text


SCHEMA = """
create table if not exists history(
  entry integer primary key autoincrement, exemption text not null, moment text not null,
  actor text not null, act text not null, reason text not null, document blob);
create index if not exists history_exemption on history(exemption);
create trigger if not exists history_kept before update on history begin select raise(abort, 'append-only'); end;
create trigger if not exists history_whole before delete on history begin select raise(abort, 'append-only'); end;
create table if not exists told(exemption text not null, what text not null, moment text not null,
  primary key(exemption, what));
"""

Row = tuple[str, str, str, str, str, bytes | None]


class Ledger:
    """The desk's. Whether a person may act is asked before (mail/grants/desk.py); here the rules of the acts hold."""

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
        """The first approval seconds it, the second of another person puts it in force; break-glass needs one."""
        return self.move(id, Act.APPROVE, actor, now, reason)

    def refuse(self, id: str, actor: str, now: datetime, reason: str) -> Request:
        return self.move(id, Act.REFUSE, actor, now, reason)

    def revoke(self, id: str, actor: str, now: datetime, reason: str) -> Request:
        return self.move(id, Act.REVOKE, actor, now, reason)

    def get(self, id: str) -> Request:
        """NotAllowed where there is no such exemption."""
        found = _fold(self._rows("where exemption = ?", (id,)))
        if id not in found:
            raise NotAllowed(_("there is no exemption {id}"), id=id)
        return found[id]

    def list(self, *, status: Status | None = None, entity: str | None = None) -> Sequence[Request]:
        """In the order of their requests."""
        everything = _fold(self._rows("", ())).values()
        return [r for r in everything if status in (None, r.status) and entity in (None, r.entity)]

    def move(self, id: str, act: Act, actor: str, now: datetime, reason: str) -> Request:
        """Any act; NotAllowed says which rule forbids it."""

        def work(connection: Connection) -> Request:
            rows = list(connection.execute(_SELECT + " where exemption = ? order by entry", (id,)))
            found = _fold(rows)
            if id not in found:
                raise NotAllowed(_("there is no exemption {id}"), id=id)
            after = moved(found[id], act, actor, now, reason)
            _append(connection, after, None)
            return after

        return self._database.commit_now(work)

    def is_told(self, id: str, what: str) -> bool:
        """Whether `what` was told of the exemption."""
        return bool(self._database.read("select 1 from told where exemption = ? and what = ?", (id, what)))

    def note_told(self, id: str, what: str, now: datetime) -> None:
        """From now on it is told."""

        def work(connection: Connection) -> None:
            connection.execute("insert or ignore into told values (?, ?, ?)", (id, what, now.isoformat()))

        self._database.commit_now(work)

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
