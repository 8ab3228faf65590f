"""`hudhud tour`: a real morning through a running lab, with real clients, and a table of what came of it."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Literal

from deploy.programs import running
from hudhud import log
from hudhud.cli import Exit, Problem, out, out_json, table


def tour(*, data: Path = Path("var"), break_: Literal["", "store"] = "", json: bool = False) -> int:
    """Drive a real morning through a running `hudhud up`; exit code 0 only if all came out as printed.

    Parameters
    ----------
    data
        The data folder of the running lab.
    break_
        What is taken away for the whole tour: store (a lab with --store elastic). Mail must not notice.
    json
        One JSON object a line of the table.
    """
    log.configure("warning", program="tour")
    folder = data.resolve()
    if running(folder / "run" / "relay.json") is None:
        raise Problem(f"no lab runs in {folder}; start one with `hudhud up`, or give its --data", Exit.UNAVAILABLE)
    from deploy.tour.morning import morning

    run = secrets.token_hex(4)
    outcomes = asyncio.run(morning(folder, run, broken=break_))
    good = sum(1 for one in outcomes if one.good)
    for one in outcomes if json else ():
        out_json(one)
    if not json:
        rows = [(one.step, one.expected, one.seen, "yes" if one.good else "NO") for one in outcomes]
        table(f"Tour {run}", ("what", "expected", "came", "as expected"), rows)
        out(f"{good} of {len(outcomes)} as expected")
    return Exit.DONE if good == len(outcomes) else Exit.NO
