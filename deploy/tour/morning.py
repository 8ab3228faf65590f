"""The morning, act after act, and then what the response centre saw of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from deploy.programs import alive
from deploy.tour import acts, incidents, steps
from deploy.tour.lab import Lab, until
from deploy.tour.steps import Outcome, outcome
from hudhud.cli import Problem, progress

Act = Callable[[Lab], Awaitable[list[Outcome]]]

# In the order of the day. What is killed comes last, so that nothing else waits for it.
ACTS: tuple[tuple[str, Act], ...] = (
    ("ministry to ministry", steps.ministry_to_ministry),
    ("a citizen abroad", steps.citizen_and_answer),
    ("unsolicited abroad", steps.unsolicited_abroad),
    ("Reply-To and one of twelve", steps.leak_and_partial),
    ("dangerous attachments", steps.dangerous),
    ("the same lure to five", steps.campaign),
    ("a capture", acts.capture),
    ("an exemption", acts.exemption),
    ("a rule changed", acts.rule_changed),
    ("a rule that holds everything", acts.rule_stops_itself),
    ("a crash", acts.crash),
)
SEEN: tuple[tuple[str, Act], ...] = (
    ("incidents of attachments", incidents.dangerous),
    ("incident of the campaign", incidents.campaign),
    ("incidents of the capture", incidents.capture),
    ("use of the exemption", incidents.exemption),
    ("the stopped rule", incidents.stopped_rule),
)


async def morning(data: Path, run: str, *, broken: str) -> list[Outcome]:
    """Every act, whatever came of the one before; an act that fails to run at all is a line of the table too."""
    lab = Lab(data, run)
    found: list[Outcome] = []
    with progress("Tour", len(ACTS) + len(SEEN)) as bar:
        async with _without(lab, broken) as told:
            found += told
            for name, act in ACTS:
                found += await _tried(name, act, lab)
                bar.advance(1, name)
        for name, act in SEEN:
            found += await _tried(name, act, lab)
            bar.advance(1, name)
    return found


async def _tried(name: str, act: Act, lab: Lab) -> list[Outcome]:
    try:
        return await act(lab)
    except Exception as error:
        return [outcome(name, "runs", False, f"{type(error).__name__}: {error}"[:300])]


@contextlib.asynccontextmanager
async def _without(lab: Lab, broken: str) -> AsyncIterator[list[Outcome]]:
    """The store is down from here on, and back at the end."""
    if not broken:
        yield []
        return
    if lab.settings.store.kind != "elastic":
        raise Problem("--break store needs a lab with --store elastic: SQLite is a file, not a server")
    hold = lab.data / "run" / "elastic.hold"
    hold.touch()
    pids = lab.pids("elastic")
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    dead = await until(lambda: not any(map(alive, pids)) or None, 60)
    told = outcome(
        "the store is taken away", "down for all that follows", dead and pids, "stopped" if dead else "still up"
    )
    try:
        yield [told]
    finally:
        hold.unlink(missing_ok=True)
        await until(lambda: (lab.ready("elastic") and any(map(alive, lab.pids("elastic")))) or None, 180)
        await asyncio.sleep(1)
