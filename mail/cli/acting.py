"""Acts of the command line on messages: those named, or all that fit, which are shown and agreed to first."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hudhud.cli import Exit, Problem, err, out, out_json, progress, visible
from mail.cli.node import actor, folder, run
from mail.cli.which import Which
from mail.cli.words import _
from mail.node.asking import ask, ask_all, ask_owner, sockets
from mail.node.many import NAMES, Name, together

BAR: int = 200  # messages from which on progress is shown
SHOWN: int = 10  # ids and domains that a question names
AGREED = ("yes", "نعم")


@dataclass(frozen=True)
class Order:
    """What is to be done, and how far without asking."""

    act: Name
    reason: str = ""
    silent: bool = False
    yes: bool = False
    dry_run: bool = False
    json: bool = False
    recipients: Sequence[str] = ()

    def words(self) -> dict[str, object]:
        return {"reason": self.reason, "silent": self.silent, "recipients": list(self.recipients)}


def carry_out(config: Path, order: Order, ids: Sequence[str], which: Which, *, all: bool = False) -> int:
    """Do it to each; exit code 1 where nothing, or not everything, was done."""
    if order.act not in NAMES or (order.act != "retry" and not order.reason.strip()):
        raise Problem(_("say why: a reason is needed"))
    if bool(ids) == (all or which.given()):
        raise Problem(_("name queue ids, or say by filters which messages are meant (resume, retry: or --all)"))
    if not ids:
        return _many(config, order, which)
    if order.dry_run:
        raise Problem(_("--dry-run is for filters"))
    if order.act == "delete" and not order.yes and not _agreed(order.act, ids):
        return Exit.NO
    return _named(config, order, ids)


def _named(config: Path, order: Order, ids: Sequence[str]) -> int:
    where, failed = folder(config), 0
    for queue_id in ids:
        try:
            done = run(ask_owner(where, {**order.words(), "act": order.act, "actor": actor(), "id": queue_id}))
        except Problem as problem:
            if problem.exit is Exit.UNAVAILABLE:
                raise
            failed += 1
            err(f"{queue_id}: {problem}")
            continue
        if order.json:
            out_json(done)
            continue
        out(f"{done['id']}: {order.act}: {', '.join(map(visible, done['recipients']))}")
        if done.get("told"):
            out(_("{id}: the sender is told", id=done["id"]))
        if done.get("late"):
            err(_("{id}: was being sent at this moment to {late}", id=done["id"], late=", ".join(done["late"])))
    return Exit.NO if failed or not ids else Exit.DONE


def _many(config: Path, order: Order, which: Which) -> int:
    where, token = folder(config), secrets.token_urlsafe(16)
    asked = {**which.asked(), "act": "many.preview", "do": order.act, "actor": actor(), "token": token}
    seen = together(run(ask_all(where, asked)))
    if order.dry_run and order.json:
        out_json({"act": order.act, **seen})
    else:
        _show(order.act, seen)
    if order.dry_run or not seen["count"]:
        return Exit.DONE if seen["count"] else Exit.NO
    if not order.yes and not _asked():
        return Exit.NO
    done = _do(where, order, token, int(str(seen["count"])))
    if order.json:
        out_json({"act": order.act, **done})
    else:
        out(_("{act}: {done} messages, {recipients} recipients", act=order.act, **_counts(done)))
        if done["told"]:
            out(_("{told} senders are told", told=done["told"]))
    for queue_id, why in done["failed"].items():
        err(f"{queue_id}: {why}")
    return Exit.NO if done["failed"] or not done["done"] else Exit.DONE


def _do(where: Path, order: Order, token: str, count: int) -> dict[str, Any]:
    """What was seen, worker by worker, some at a time."""
    sums: dict[str, Any] = {"done": 0, "recipients": 0, "told": 0, "failed": {}}
    words = {**order.words(), "act": "many.do", "do": order.act, "actor": actor(), "token": token}
    with progress(order.act, count) if count >= BAR else nullcontext() as bar:
        for path in sockets(where):
            left = 1
            while left:
                try:
                    answer = run(ask(path, words))
                except Problem as problem:
                    raise Problem(
                        _("{problem}; {done} messages were done", problem=problem, done=sums["done"]), problem.exit
                    ) from None
                left = answer["left"]
                for name in ("done", "recipients", "told"):
                    sums[name] += answer[name]
                sums["failed"] |= answer["failed"]
                if bar is not None:
                    bar.advance(answer["done"] + len(answer["failed"]))
    return sums


def _counts(done: Mapping[str, Any]) -> dict[str, Any]:
    return {"done": done["done"], "recipients": done["recipients"]}


def _show(act: str, seen: Mapping[str, Any]) -> None:
    """What would be touched, on standard error."""
    err(
        _(
            "{act}: {count} messages to {recipients} recipients",
            act=act,
            count=seen["count"],
            recipients=seen["recipients"],
        )
    )
    if not seen["count"]:
        return
    err(_("received from {oldest} to {newest}", oldest=seen["oldest"][:19], newest=seen["newest"][:19]))
    domains = [f"{visible(domain)} ({count})" for domain, count in list(seen["domains"].items())[:SHOWN]]
    err(_("domains: {domains}", domains=", ".join(domains) + (" …" if len(seen["domains"]) > SHOWN else "")))
    err(_("the oldest: {ids}", ids=", ".join(seen["ids"][:SHOWN]) + (" …" if seen["count"] > SHOWN else "")))


def _agreed(act: str, ids: Sequence[str]) -> bool:
    shown = ", ".join(ids[:SHOWN]) + (" …" if len(ids) > SHOWN else "")
    err(_("{act}: {count} messages: {ids}", act=act, count=len(ids), ids=shown))
    return _asked()


def _asked() -> bool:
    if not sys.stdin.isatty():
        err(_("Nothing was done; say --yes where nobody can be asked."))
        return False
    err(_("Go on? Write yes:"))
    return sys.stdin.readline().strip().lower() in AGREED
