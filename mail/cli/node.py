"""Asks the relay of this machine in the name of who sits at the terminal; what it says no to becomes a clear line."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from hudhud import config as configuration
from hudhud.cli import Exit, Problem
from mail.cli.words import _
from mail.node.asking import Down, Refused, ask_all

CONFIG: Final = Path(configuration.DEFAULT)
PAGE: Final = 500  # messages asked for at once

Flag = Annotated[bool, Parameter(negative=())]
Reason = Annotated[str, Parameter(help="Why; it is recorded.")]
Ids = Annotated[list[str] | None, Parameter(help="Queue ids, as the SMTP reply and the headers have them.")]


def folder(config: Path) -> Path:
    """Where the relay's sockets are."""
    settings = configuration.load(config).settings
    return settings.path(settings.spool.folder)


def actor() -> str:
    """Who sits at this terminal, as the machine knows it."""
    return f"{getpass.getuser()}@shell"


def run(asking: Coroutine[Any, Any, Any]) -> Any:
    """What the relay answers; Problem where it does not, or says no."""
    try:
        return asyncio.run(asking)
    except Down as down:
        raise Problem(
            _("the relay does not run here ({why}); start it with `hudhud relay`", why=down), Exit.UNAVAILABLE
        ) from None
    except Refused as refused:
        raise Problem(str(refused), Exit.NO if refused.status in (403, 404, 409, 410) else Exit.USAGE) from None


def listed(config: Path, act: str, wanted: Mapping[str, object], limit: int) -> Sequence[Mapping[str, Any]]:
    """At most `limit` messages, the newest first, a page after the other."""
    where, found, cursor = folder(config), list[Mapping[str, Any]](), ""
    while len(found) < limit:
        size = min(PAGE, limit - len(found))
        asked = {"actor": actor(), "act": act, **wanted, "limit": size, "cursor": cursor}
        answers = run(ask_all(where, asked))
        page = sorted((one for answer in answers for one in answer), key=by_time, reverse=True)[:size]
        found += page
        if len(page) < size:
            break
        cursor = page[-1]["id"]
    return found


def by_time(one: Mapping[str, Any]) -> str:
    """The queue id without its shard grows with time."""
    return str(one["id"]).partition("-")[2]
