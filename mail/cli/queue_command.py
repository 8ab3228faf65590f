"""`hudhud mail queue` and `explain`: what waits for delivery, and the postmaster's acts on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from hudhud.cli import Exit, err, out_json, table
from mail.cli import queue_text
from mail.cli.acting import Order, carry_out
from mail.cli.node import CONFIG, Flag, Ids, Reason, actor, folder, listed, run
from mail.cli.which import Which
from mail.cli.words import _
from mail.node.asking import ask_owner

NOTHING: Final = Which()

Yes = Annotated[bool, Parameter(negative=(), help="Do not ask.")]
DryRun = Annotated[bool, Parameter(negative=(), help="Only show what would be touched.")]

queue = App(name="queue", help="What waits for delivery: list, show, hold, resume, retry, delete.")


@queue.command(name="list")
def list_queue(
    *,
    state: Annotated[str, Parameter(help="queued, held, unjudged, delivered, failed, deleted or all.")] = "queued",
    which: Which = NOTHING,
    limit: Annotated[int, Parameter(help="At most so many messages.")] = 100,
    json: Flag = False,
    config: Path = CONFIG,
) -> int:
    """List messages, the newest first. Exit code 1 where there are none."""
    return show_list(config, which.asked(state), limit, json=json)


@queue.command(name="show")
def explain(id: str, /, *, json: Flag = False, config: Path = CONFIG) -> int:
    """Explain a message: each finding with its rule, version and facts, each recipient with its attempts.

    Parameters
    ----------
    id
        The queue id, as the SMTP reply and the headers have it.
    json
        One object.
    config
        The hudhud.toml of the relay.
    """
    found = run(ask_owner(folder(config), {"act": "show", "actor": actor(), "id": id}))
    if json:
        out_json(found)
    else:
        queue_text.explain(found)
    return Exit.DONE


@queue.command
def hold(
    ids: Ids = None,
    /,
    *,
    reason: Reason,
    which: Which = NOTHING,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Flag = False,
    config: Path = CONFIG,
) -> int:
    """Take waiting messages out of delivery, those named or all that fit. Their verdicts stay as they are."""
    return carry_out(config, Order("hold", reason, yes=yes, dry_run=dry_run, json=json), ids or (), which)


@queue.command
def resume(
    ids: Ids = None,
    /,
    *,
    reason: Reason,
    which: Which = NOTHING,
    all: Annotated[bool, Parameter(negative=(), help="All that were taken out of delivery.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Flag = False,
    config: Path = CONFIG,
) -> int:
    """Put back what was taken out of delivery. What a rule holds stays: `hudhud mail held release` lets it go."""
    return carry_out(config, Order("resume", reason, yes=yes, dry_run=dry_run, json=json), ids or (), which, all=all)


@queue.command
def retry(
    ids: Ids = None,
    /,
    *,
    which: Which = NOTHING,
    all: Annotated[bool, Parameter(negative=(), help="All that wait.")] = False,
    reason: Annotated[str, Parameter(help="Why; it is recorded.")] = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Flag = False,
    config: Path = CONFIG,
) -> int:
    """Try messages now: those named, all that fit, or all that wait."""
    return carry_out(config, Order("retry", reason, yes=yes, dry_run=dry_run, json=json), ids or (), which, all=all)


@queue.command
def delete(
    ids: Ids = None,
    /,
    *,
    reason: Reason,
    which: Which = NOTHING,
    silent: Annotated[bool, Parameter(negative=(), help="Do not tell the sender.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Flag = False,
    config: Path = CONFIG,
) -> int:
    """End messages without delivery, held or waiting. A sender of ours is told by a DSN, without the reason."""
    order = Order("delete", reason, silent=silent, yes=yes, dry_run=dry_run, json=json)
    return carry_out(config, order, ids or (), which)


def show_list(config: Path, wanted: dict[str, object], limit: int, *, json: bool) -> int:
    """Messages as NDJSON or a table; exit code 1 where there are none."""
    found = listed(config, "list", wanted, limit)
    if json:
        for one in found:
            out_json(one)
    elif found:
        columns = (
            *(_("Id"), _("Received"), _("State"), _("Sender"), _("Recipients"), _("Size, octets")),
            _("Held by / last reply"),
        )
        table("", columns, [queue_text.row(one) for one in found])
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO
