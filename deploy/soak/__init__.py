"""`hudhud soak`: the long runs. Kills at random points under load; whatever was acknowledged must still come out."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from deploy.soak.tally import Line
from hudhud import log
from hudhud.cli import Exit, err, out, table

What = Literal["kills", "pipeline", "all"]


def soak(what: What = "all", /, *, points: int = 200, seed: int | None = None, quick: bool = False) -> int:
    """Kill the relay's and the pipeline's processes at random points under load; exit code 1 on any loss.

    Parameters
    ----------
    what
        kills: supervisor and workers of the relay. pipeline: intake and desk. all: both.
    points
        How often something is killed with SIGKILL, and started again.
    seed
        The same seed kills the same things after the same pauses; without it a new one is drawn and said.
    quick
        20 points.
    """
    log.configure("error", program="soak")
    drawn = random.randrange(1 << 32) if seed is None else seed  # noqa: S311 - a seed, no secret
    out(f"Seed: {drawn}")
    lines = asyncio.run(_run(what, 20 if quick else points, drawn))
    table(f"Soak: {what}", ("what", "figure", "as it must be"), [(one.what, one.figure, one.verdict) for one in lines])
    bad = [one for one in lines if one.good is False]
    for one in bad:
        err(f"{one.what}: {one.figure}")
    return Exit.NO if bad else Exit.DONE


async def _run(what: What, points: int, seed: int) -> Sequence[Line]:
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="hudhud-soak-") as text:
        if what in ("kills", "all"):
            from deploy.soak.kills import kill_relay

            lines += await kill_relay(Path(text) / "relay", points, seed)
        if what in ("pipeline", "all"):
            from deploy.soak.pipeline import kill_pipeline

            lines += await kill_pipeline(Path(text) / "pipeline", points, seed)
    return lines
