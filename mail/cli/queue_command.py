"""`hudhud mail queue|held|explain|status`: asks the workers of this machine's relay by their sockets."""

from __future__ import annotations

import asyncio
import getpass
import re
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from hudhud import config as configuration
from hudhud.cli import Exit, Problem, err, out, out_json, table, visible
from mail.cli import queue_text
from mail.cli.words import _
from mail.node.asking import Down, Refused, ask_all, ask_owner
from mail.node.stopping import Stops

CONFIG: Final = Path(configuration.DEFAULT)
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MAX_BULK: Final = 10_000  # messages of one act

Flag = Parameter(negative=())
Reason = Annotated[str, Parameter(help="Why; it is recorded.")]

queue = App(name="queue", help="What waits for delivery: list, show, retry, hold, delete.")
held = App(name="held", help="What is held for a person to look at: list, show, release.")


@queue.command(name="list")
def list_queue(
    *,
    state: Annotated[str, Parameter(help="queued, held, delivered, failed, deleted or all.")] = "queued",
    sender: Annotated[str, Parameter(help="Part of the envelope sender.")] = "",
    recipient: Annotated[str, Parameter(help="Part of a recipient's address.")] = "",
    domain: Annotated[str, Parameter(help="The recipient's domain, exactly.")] = "",
    account: Annotated[str, Parameter(help="Part of the account that sent it.")] = "",
    rule: Annotated[str, Parameter(help="The rule that holds it.")] = "",
    older: Annotated[str, Parameter(help="Only what is older: 30m, 4h, 2d.")] = "",
    limit: Annotated[int, Parameter(help="At most so many messages.")] = 100,
    json: Annotated[bool, Flag] = False,
    config: Path = CONFIG,
) -> int:
    """List messages, the newest first. Exit code 1 where there are none."""
    wanted = {"state": state, "sender": sender, "recipient": recipient, "domain": domain, "account": account}
    return _show_list(config, {**wanted, "rule": rule, "older_than": _seconds(older), "limit": limit}, json=json)


@held.command(name="list")
def list_held(
    *,
    sender: Annotated[str, Parameter(help="Part of the envelope sender.")] = "",
    recipient: Annotated[str, Parameter(help="Part of a recipient's address.")] = "",
    rule: Annotated[str, Parameter(help="The rule that holds it.")] = "",
    older: Annotated[str, Parameter(help="Only what is older: 30m, 4h, 2d.")] = "",
    limit: Annotated[int, Parameter(help="At most so many messages.")] = 100,
    json: Annotated[bool, Flag] = False,
    config: Path = CONFIG,
) -> int:
    """List held messages, the newest first. Exit code 1 where there are none."""
    wanted = {"state": "held", "sender": sender, "recipient": recipient, "rule": rule}
    return _show_list(config, {**wanted, "older_than": _seconds(older), "limit": limit}, json=json)


@queue.command(name="show")
@held.command(name="show")
def explain(id: str, *, json: Annotated[bool, Flag] = False, config: Path = CONFIG) -> int:
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
    found = _run(ask_owner(_folder(config), {"act": "show", "actor": _actor(), "id": id}))
    if json:
        out_json(found)
    else:
        queue_text.explain(found)
    return Exit.DONE


@queue.command
def retry(
    ids: list[str] | None = None,
    /,
    *,
    all: Annotated[bool, Flag] = False,
    domain: Annotated[str, Parameter(help="With --all: only to this domain.")] = "",
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    config: Path = CONFIG,
) -> int:
    """Try messages now: those named, or all that wait."""
    chosen = _chosen(config, ids, {"state": "queued", "domain": domain} if all else None)
    return _act(config, "retry", chosen, ask=all and not yes)


@queue.command
def hold(ids: list[str], /, *, reason: Reason, config: Path = CONFIG) -> int:
    """Stop messages for a person to look at."""
    return _act(config, "hold", ids, reason=reason)


@queue.command
def delete(ids: list[str], /, *, reason: Reason, yes: Annotated[bool, Flag] = False, config: Path = CONFIG) -> int:
    """End messages without delivery, held or waiting; nobody is told."""
    return _act(config, "delete", ids, reason=reason, ask=not yes)


@held.command
def release(
    ids: list[str] | None = None,
    /,
    *,
    reason: Reason,
    rule: Annotated[str, Parameter(help="All that this rule holds.")] = "",
    recipient: Annotated[list[str] | None, Parameter(help="Only to these recipients.")] = None,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    config: Path = CONFIG,
) -> int:
    """Let held messages go on to their recipients; they are not held again."""
    chosen = _chosen(config, ids, {"state": "held", "rule": rule} if rule else None)
    return _act(config, "release", chosen, reason=reason, recipients=recipient, ask=bool(rule) and not yes)


def status(*, json: Annotated[bool, Flag] = False, config: Path = CONFIG) -> int:
    """Show what the relay of this machine says of itself: workers, queue, stopped rules."""
    folder = _folder(config)
    workers = _run(ask_all(folder, {"act": "status", "actor": _actor()}))
    shards = [shard for worker in workers for shard in worker["shards"]]
    stops = Stops(folder)
    told: dict[str, Any] = {
        "workers": workers,
        "queued": sum(shard["queued"] for shard in shards),
        "held": sum(shard["held"] for shard in shards),
        "stopped": [{"rule": r, "version": s.version, "at": s.at, "held": s.held} for r, s in stops.stopped.items()],
    }
    if json:
        out_json(told)
        return Exit.DONE
    rows = [
        (w["number"], w["pid"], shard["shard"], shard["queued"], shard["held"], shard["shipping_problem"] or "–")
        for w in workers
        for shard in w["shards"]
    ]
    columns = (_("Worker"), _("Process"), _("Shard"), _("Queued"), _("Held"), _("Intake"))
    table(_("Relay"), columns, rows)
    for stop in told["stopped"]:
        out(_("Rule {rule} stopped itself at {at}: it held {held} messages", **stop))
    for problem in {problem for worker in workers for problem in worker["problems"]}:
        out(_("Not live: {problem}", problem=problem))
    return Exit.DONE


# inside


def _folder(config: Path) -> Path:
    settings = configuration.load(config).settings
    return settings.path(settings.spool.folder)


def _actor() -> str:
    """Who sits at this terminal, as the machine knows it."""
    return f"{getpass.getuser()}@shell"


def _run(asking: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(asking)
    except Down as down:
        raise Problem(
            _("the relay does not run here ({why}); start it with `hudhud relay`", why=down), Exit.UNAVAILABLE
        ) from None
    except Refused as refused:
        raise Problem(str(refused), Exit.NO if refused.status in (404, 409, 410) else Exit.USAGE) from None


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)([smhd])", text) if text else None
    if text and found is None:
        raise Problem(_("{text!r} is no age; write for example 30m, 4h or 2d", text=text))
    return float(found[1]) * UNITS[found[2]] if found else 0.0


def _list(config: Path, wanted: Mapping[str, object]) -> list[Mapping[str, Any]]:
    answers = _run(ask_all(_folder(config), {"act": "list", "actor": _actor(), **wanted}))
    found = [one for answer in answers for one in answer]
    return sorted(found, key=lambda one: str(one["received"]), reverse=True)[: int(str(wanted.get("limit", MAX_BULK)))]


def _show_list(config: Path, wanted: Mapping[str, object], *, json: bool) -> int:
    found = _list(config, wanted)
    if json:
        for one in found:
            out_json(one)
    elif found:
        columns = (
            _("Id"),
            _("Received"),
            _("State"),
            _("Sender"),
            _("Recipients"),
            _("Size, octets"),
            _("Held by / last reply"),
        )
        table("", columns, [queue_text.row(one) for one in found])
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO


def _chosen(config: Path, ids: list[str] | None, wanted: Mapping[str, object] | None) -> Sequence[str]:
    if wanted is None and not ids:
        raise Problem(_("name queue ids, or say which messages are meant"))
    return [*(ids or []), *([str(one["id"]) for one in _list(config, {**wanted, "limit": MAX_BULK})] if wanted else [])]


def _act(
    config: Path,
    act: str,
    ids: Sequence[str],
    *,
    reason: str = "",
    recipients: list[str] | None = None,
    ask: bool = False,
) -> int:
    """Do it to each; exit code 1 where nothing, or not everything, was done."""
    if ask and ids and not _agreed(act, ids):
        return Exit.NO
    folder, failed = _folder(config), 0
    for queue_id in ids:
        request = {"act": act, "actor": _actor(), "id": queue_id, "reason": reason, "recipients": recipients}
        try:
            done = _run(ask_owner(folder, request))
            out(f"{done['id']}: {act}: {', '.join(map(visible, done['recipients']))}")
        except Problem as problem:
            if problem.exit is Exit.UNAVAILABLE:
                raise
            failed += 1
            err(f"{queue_id}: {problem}")
    return Exit.NO if failed or not ids else Exit.DONE


def _agreed(act: str, ids: Sequence[str]) -> bool:
    err(
        _(
            "{act}: {count} messages: {ids}",
            act=act,
            count=len(ids),
            ids=", ".join(ids[:10]) + (" …" if len(ids) > 10 else ""),
        )
    )
    if not sys.stdin.isatty():
        err(_("Nothing was done; say --yes where nobody can be asked."))
        return False
    err(_("Go on? Write yes:"))
    return sys.stdin.readline().strip().lower() in ("yes", "نعم")
