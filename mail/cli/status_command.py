"""`hudhud mail status`: what the relay of this machine says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hudhud.cli import Exit, out, out_json, table
from mail.cli.node import CONFIG, Flag, actor, folder, run
from mail.cli.words import _
from mail.node.asking import ask_all
from mail.node.stopping import Stops


def status(*, json: Flag = False, config: Path = CONFIG) -> int:
    """Show what the relay of this machine says of itself: workers, queue, stopped rules."""
    place = folder(config)
    workers = run(ask_all(place, {"act": "status", "actor": actor()}))
    shards = [shard for worker in workers for shard in worker["shards"]]
    stops = Stops(place)
    told: dict[str, Any] = {
        "workers": workers,
        "queued": sum(shard["queued"] for shard in shards),
        "held": sum(shard["held"] for shard in shards),
        "unjudged": sum(shard["unjudged"] for shard in shards),
        "suspended": workers[0].get("suspended", []) if workers else [],
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
    suspended = {one["id"]: one for worker in workers for one in worker.get("suspended", [])}
    for one in suspended.values():
        out(_("The check {check} only tags until {ends} ({id})", **one))
    for stop in told["stopped"]:
        out(_("Rule {rule} stopped itself at {at}: it held {held} messages", **stop))
    for problem in {problem for worker in workers for problem in worker["problems"]}:
        out(_("Not live: {problem}", problem=problem))
    return Exit.DONE
