"""`hudhud bench`: measures relay, sensor or pipeline; progress, a table of medians, the machine, one JSON line."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from cyclopts import Parameter

from hudhud.cli import Exit, out, out_json

What = Literal["relay", "sensor", "pipeline"]


def bench(
    what: What,
    /,
    *,
    quick: bool = False,
    peers: bool = False,
    full: bool = False,
    serve: int = 0,
    json_only: Annotated[bool, Parameter(help="Only the last line: the JSON object.")] = False,
) -> int:
    """Measure relay, sensor or pipeline; the last line is one JSON object.

    Parameters
    ----------
    what
        relay: mail end to end into a sink. sensor: a mixed capture. pipeline: events to alerts, both stores.
    quick
        Fewer and smaller rounds: under five minutes on two cores.
    peers
        Beside it, in the same rounds, what is installed of the programs that people know. Absent ones are named.
    full
        pipeline: also the searches over ten million events, which takes an hour.
    serve
        relay: measure nothing; stand on that loopback port for another program's load, until interrupted.
    """
    if serve:
        return _serve(serve)
    with _stdout_to_null() if json_only else contextlib.nullcontext():
        out(f"Machine: {_machine()}")
        figures = _runner(what)(quick=quick, peers=peers, full=full)
    out_json(figures)
    return Exit.DONE


def _serve(port: int) -> int:
    from deploy.bench import relay, serving

    serving.serve(port, workers=relay.WORKERS)
    return Exit.DONE


def _machine() -> str:
    from deploy.bench.environment import machine

    return machine()


def _runner(what: What) -> Callable[..., dict[str, object]]:
    """Loads only what is measured."""
    if what == "relay":
        from deploy.bench import relay

        return relay.run
    if what == "sensor":
        from deploy.bench import sensor

        return sensor.run
    from deploy.bench import pipeline

    return pipeline.run


@contextlib.contextmanager
def _stdout_to_null() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123 - the platform's name
        yield
    sys.stdout.flush()
