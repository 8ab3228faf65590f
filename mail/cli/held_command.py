"""`hudhud mail held`: what rules hold for a person to look at, and letting it go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from mail.cli.acting import Order, carry_out
from mail.cli.node import CONFIG, Flag, Ids, Reason
from mail.cli.queue_command import NOTHING, DryRun, Yes, explain, show_list
from mail.cli.which import Which

held = App(name="held", help="What is held for a person to look at: list, show, release.")
held.command(explain, name="show")


@held.command(name="list")
def list_held(
    *,
    which: Which = NOTHING,
    limit: Annotated[int, Parameter(help="At most so many messages.")] = 100,
    json: Flag = False,
    config: Path = CONFIG,
) -> int:
    """List held messages, the newest first. Exit code 1 where there are none."""
    return show_list(config, which.asked("held"), limit, json=json)


@held.command
def release(
    ids: Ids = None,
    /,
    *,
    reason: Reason,
    which: Which = NOTHING,
    to: Annotated[list[str] | None, Parameter(help="Only to these recipients.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Flag = False,
    config: Path = CONFIG,
) -> int:
    """Let held messages go on to their recipients, those named or all that fit; they are not held again."""
    order = Order("release", reason, yes=yes, dry_run=dry_run, json=json, recipients=to or ())
    return carry_out(config, order, ids or (), which)
