"""What every command of `hudhud cert` begins with: settings, store, desk; and how its errors are told."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, TypeVar

from cyclopts import Parameter
from cyclopts.validators import Number

from cert.desk import Desk, NotFound
from cert.incident import MoveError
from cert.moment import span
from cert.opening import open_store
from cert.store import QueryError, Stale, Store, StoreDown
from hudhud import config
from hudhud.audit import Audit, AuditError
from hudhud.cli import Exit, Problem
from hudhud.clock import SYSTEM
from hudhud.database import DatabaseError
from hudhud.event import Event, Value, format_time
from hudhud.keys import KeyProblem, SigningKey
from hudhud.people import People
from hudhud.settings import Settings

T = TypeVar("T")

Config = Annotated[Path, Parameter(name="--config", help="The configuration.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="NDJSON for lists, one object for one thing.")]
Actor = Annotated[str, Parameter(name="--actor", help="Who acts; the name of the user by default. It is recorded.")]
Limit = Annotated[int, Parameter(name="--limit", validator=Number(gte=1), help="At most so many.")]
DEFAULT: Final = Path("hudhud.toml")
CHAIN: Final = "cert.chain"


@dataclass(frozen=True, slots=True)
class Office:
    """What a command works with."""

    settings: Settings
    store: Store
    desk: Callable[[], Desk]  # opens the audit chain, which only one process may write at a time


def at_work(path: Path, work: Callable[[Office], Awaitable[T]]) -> T:
    """Run `work` with the store of that configuration; its errors become one clear line and an exit code."""
    try:
        return asyncio.run(_at_work(path, work))
    except NotFound as error:
        raise Problem(f"there is no incident {error}", Exit.NO) from None
    except (Stale, MoveError, ValueError) as error:
        raise Problem(str(error), Exit.NO if isinstance(error, Stale | MoveError) else Exit.USAGE) from None
    except StoreDown as error:
        raise Problem(f"the store is away: {error}", Exit.UNAVAILABLE) from None
    except (DatabaseError, AuditError, KeyProblem) as error:
        raise Problem(str(error), Exit.UNAVAILABLE) from None


async def _at_work(path: Path, work: Callable[[Office], Awaitable[T]]) -> T:
    settings = config.load(path).settings
    async with AsyncExitStack() as stack:
        store = open_store(settings)
        stack.push_async_callback(store.close)

        def desk() -> Desk:
            key = SigningKey.load(settings.path("keys", "node.key"))
            audit = Audit(settings.path("audit", CHAIN), key, "cert")
            stack.callback(audit.close)
            return Desk(store, audit, SYSTEM)

        try:
            return await work(Office(settings, store, desk))
        except QueryError as error:
            raise Problem(f"the query: {error}") from None


def actor_or_user(actor: str) -> str:
    """The named actor, else the user of this process."""
    return actor or f"{getpass.getuser()} (command line)"


def known_person(settings: Settings, login: str) -> str:
    """The login of somebody in people.toml, or "" for nobody. Problem where no such person is known."""
    place = settings.path("people.toml")
    try:
        people = People.load(place)
    except OSError as error:
        raise Problem(f"{place}: {error.strerror}", Exit.UNAVAILABLE) from None
    if login and people.get(login) is None:
        known = ", ".join(sorted(person.login for person in people))
        raise Problem(f"{place.name} has nobody named {login!r}; it has {known or 'nobody at all'}", Exit.NO)
    return login


def moment(text: str) -> datetime | None:
    """A time of the command line: 2026-11-23, now-1h …; None for "". Problem where it is none."""
    if not text:
        return None
    try:
        return span(text, SYSTEM.now())[0]
    except ValueError as error:
        raise Problem(str(error)) from None


def nested(event: Event) -> dict[str, object]:
    """The event as a nested ECS document; what it has under `hudhud.other` stays flat, as names may clash there."""
    document: dict[str, object] = {"@timestamp": format_time(event.timestamp)}
    for name, value in event.fields.items():
        _place(document, name, value)
    return document


def _place(document: dict[str, object], name: str, value: Value) -> None:
    branch = document
    path = name.split(".") if not name.startswith("hudhud.other.") else ["hudhud", "other", name[13:]]
    for step in path[:-1]:
        below = branch.setdefault(step, {})
        assert isinstance(below, dict)
        branch = below
    branch[path[-1]] = value
