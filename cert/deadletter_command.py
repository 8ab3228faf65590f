"""`hudhud cert deadletters`, `audit` and `status`: what went wrong, what people did, how things are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from cert import deadletter
from cert.deadletter import DeadLetter
from cert.office import DEFAULT, Config, Json, Limit, Office, at_work
from cert.store import StoreDown
from hudhud import cli, codec
from hudhud import config as configuration
from hudhud.chain import verify_all
from hudhud.cli import Exit, Problem
from hudhud.database import Database, DatabaseError
from hudhud.event import format_time
from hudhud.keys import KeyProblem, SigningKey
from hudhud.settings import Settings

deadletters = App(name="deadletters", help="What could not become an event, with its reason.")
audit = App(name="audit", help="The audit chains of this machine.")


def _files(settings: Settings) -> dict[str, Path]:
    """Where dead letters lie: those of the intake, and those of the desk."""
    return {"intake": settings.path("intake", "journal.db"), "desk": settings.path("desk", "deadletters.db")}


@deadletters.command(name="list")
def list_(*, limit: Limit = 100, config: Config = DEFAULT, json: Json = False) -> int:
    """List dead letters, the oldest first. Exit 1 where there are none."""
    found: list[tuple[str, DeadLetter]] = []
    for where, path in _files(configuration.load(config).settings).items():
        found += [(where, letter) for letter in deadletter.listed(path, limit=limit)]
    if json:
        for where, one in found:
            cli.out_json(_document(where, one))
    else:
        rows = [
            (f"{where}/{one.id}", format_time(one.at), one.source, one.sequence, one.state, one.reason)
            for where, one in found
        ]
        cli.table("", ("id", "time", "source", "sequence", "state", "reason"), rows)
    return Exit.DONE if found else Exit.NO


def _document(where: str, one: DeadLetter) -> dict[str, object]:
    return {
        "id": f"{where}/{one.id}", "time": format_time(one.at), "source": one.source, "sequence": one.sequence,
        "state": one.state, "reason": one.reason, "line": one.line.decode("utf-8", "replace"),
    }  # fmt: skip


@deadletters.command
def replay(
    ids: Annotated[list[str], Parameter(help="Ids as `list` shows them (intake/7), or: all.")],
    /,
    *,
    config: Config = DEFAULT,
) -> int:
    """Ask the desk to try dead letters again; it does so within seconds, and lists anew what fails again."""
    asked = 0
    for where, path in _files(configuration.load(config).settings).items():
        letters = deadletter.listed(path, ("dead",), 1_000_000 if ids == ["all"] else 100_000)
        chosen = [one.id for one in letters if ids == ["all"] or f"{where}/{one.id}" in ids]
        if chosen:
            database = Database(path, deadletter.SCHEMA)
            try:
                asked += deadletter.mark(database, chosen, "replay")
            finally:
                database.close()
    cli.out(f"{asked} dead letters will be tried again")
    return Exit.DONE if asked else Exit.NO


@audit.command(name="verify")
def verify_(*, config: Config = DEFAULT, json: Json = False) -> int:
    """Verify every audit chain of this machine: one changed byte is found. Exit 1 where something is wrong."""
    settings = configuration.load(config).settings
    keys = _public_keys(settings)
    if not keys:
        raise Problem(f"no key in {settings.path('keys')} to verify with")
    found = verify_all(settings.path("audit"), keys)
    for name, problems in found.items():
        if json:
            told = [{"line": one.line, "what": one.what} for one in problems]
            cli.out_json({"chain": name, "whole": not problems, "problems": told})
        else:
            for one in problems:
                cli.out(f"{name}:{one.line}: {one.what}")
            cli.out(f"{name}: {'whole' if not problems else f'{len(problems)} problems'}")
    return Exit.NO if any(found.values()) else Exit.DONE


def _public_keys(settings: Settings) -> list[bytes]:
    found = []
    for name in ("node", "desk"):
        try:
            found.append(SigningKey.load(settings.path("keys", f"{name}.key")).public)
        except KeyProblem:
            continue
    return found


def status(*, config: Config = DEFAULT, json: Json = False) -> int:
    """How the store, the intake's journal and the desk are. Exit 3 where the store is away."""
    settings = configuration.load(config).settings
    told: dict[str, object] = {"store": settings.store.kind, "store_problem": _store_problem(config)}
    told["desk"] = _state(settings.path("run", "desk.json"))
    told["backlog_events"] = _backlog(settings)
    told["dead_letters"] = sum(len(deadletter.listed(path, limit=100_000)) for path in _files(settings).values())
    if json:
        cli.out_json(told)
    else:
        cli.table("", ("what", "how"), lines_of("", told))
    return Exit.UNAVAILABLE if told["store_problem"] else Exit.DONE


def lines_of(prefix: str, value: Mapping[str, object]) -> list[tuple[str, str]]:
    """What is told, one line each: what is told of a part stands under its name."""
    found = []
    for name, one in value.items():
        if isinstance(one, Mapping) and one:
            found += lines_of(f"{prefix}{name}.", one)
        elif isinstance(one, bool):
            found.append((prefix + name, "yes" if one else "no"))
        elif isinstance(one, list | tuple):
            found.append((prefix + name, ", ".join(map(str, one)) or "–"))
        else:
            said = "–" if one is None or isinstance(one, Mapping) else str(one)
            found.append((prefix + name, said or "well"))
    return found


def _store_problem(path: Path) -> str:
    async def work(office: Office) -> str:
        try:
            return await office.store.health()
        except StoreDown as down:
            return str(down)

    return at_work(path, work)


def _state(path: Path) -> object:
    try:
        return codec.decode(path.read_bytes())
    except (OSError, codec.CodecError):
        return "not running"


def _backlog(settings: Settings) -> int | str:
    """How many events the journal keeps that the desk has not worked on."""
    from hudhud.database import open_reader, rows

    path = settings.path("intake", "journal.db")
    try:
        connection = open_reader(path)
    except DatabaseError as error:
        return str(error)
    try:
        from hudhud.journal import Cursor

        position = Cursor(settings.path("desk", "intake.cursor")).position
        return int(rows(connection, path, "SELECT count(*) FROM journal WHERE sequence > ?", (position,))[0][0])
    except DatabaseError as error:
        return str(error)
    finally:
        connection.close()
