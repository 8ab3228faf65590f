"""`hudhud soak`: the long runs. Whatever goes wrong under load, what was acknowledged must still come out, once."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from deploy.soak.tally import Line
from hudhud import log
from hudhud.cli import Exit, err, out, table

What = Literal["kills", "pipeline", "disk", "hop", "dns", "clock", "all"]
ALL: tuple[What, ...] = ("kills", "pipeline", "disk", "dns", "clock", "hop")
QUICK = 20  # kills; the other runs are as short


def soak(
    what: What = "all",
    /,
    *,
    points: int = 200,
    seed: int | None = None,
    rounds: int = 10,
    away: float = 3600.0,
    quick: bool = False,
) -> int:
    """Break things under load, again and again; exit code 1 where anything was lost or came twice without a reason.

    Parameters
    ----------
    what
        kills: supervisor and workers of the relay. pipeline: intake and desk. disk: the spool's disk is full (as root).
        hop: the next hop is down. dns: the DNS is down. clock: it jumps by a day (with libfaketime). all: one after
        the other.
    points
        kills, pipeline: how often something is killed with SIGKILL, and started again.
    seed
        The same seed breaks the same things after the same pauses; without it a new one is drawn and said.
    rounds
        disk, clock: how often.
    away
        hop: seconds for which the next hop is down; dns: a thirtieth of it.
    quick
        20 kills, one round, seconds instead of an hour.
    """
    from deploy.soak.guard import guarded

    log.configure("error", program="soak")
    drawn = random.randrange(1 << 32) if seed is None else seed  # noqa: S311 - a seed, no secret
    out(f"Seed: {drawn}")
    if quick:
        points, rounds, away = QUICK, 1, 15.0
    chosen = ALL if what == "all" else (what,)
    with tempfile.TemporaryDirectory(prefix="hudhud-soak-", ignore_cleanup_errors=True) as folder:
        lines = guarded(_all(chosen, Path(folder), points=points, seed=drawn, rounds=rounds, away=away))
    rows = [(name, one.what, one.figure, one.verdict) for name, one in lines]
    table(f"Soak: {what}, seed {drawn}", ("run", "what", "figure", "as it must be"), rows)
    bad = [(name, one) for name, one in lines if one.good is False]
    for name, one in bad:
        err(f"{name}: {one.what}: {one.figure}")
    return Exit.NO if bad else Exit.DONE


async def _all(
    chosen: Sequence[What], folder: Path, *, points: int, seed: int, rounds: int, away: float
) -> list[tuple[What, Line]]:
    found: list[tuple[What, Line]] = []
    for what in chosen:
        lines = await _run(what, folder / what, points=points, seed=seed, rounds=rounds, away=away)
        for line in lines:
            out(f"{what}: {line.what}: {line.figure}")  # seen at once, and kept where a later run breaks off
        found += [(what, line) for line in lines]
    return found


async def _run(what: What, folder: Path, *, points: int, seed: int, rounds: int, away: float) -> list[Line]:
    if what == "pipeline":
        from deploy.soak.pipeline import kill_pipeline

        return await kill_pipeline(folder, points, seed)
    if what == "disk":
        from deploy.soak.disk import disk_full

        return await disk_full(folder, rounds, seed)
    if what == "hop":
        from deploy.soak.hop import hop_away

        return await hop_away(folder, away)
    if what == "dns":
        from deploy.soak.names import dns_down

        return await dns_down(folder, max(away / 30, 10.0))
    if what == "clock":
        from deploy.soak.jumps import clock_jumps

        return await clock_jumps(folder, rounds, seed)
    from deploy.soak.kills import kill_relay

    return await kill_relay(folder, points, seed)
