"""The relay of the bench, standing for somebody else's load: `hudhud bench relay --serve PORT`.

For a comparison that loads every system itself: it takes mail in clear on that loopback port from bench.example and
hands what is for dest.example to a sink on loopback, until it is interrupted.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path

from deploy.bench import bodies, lab, yararules
from hudhud.cli import out

NEXT_HOP = 2526  # the sink's port in the shared comparison


def serve(port: int, *, workers: int) -> None:
    """Stand until SIGINT or SIGTERM."""
    asyncio.run(_serve(port, workers))


async def _serve(port: int, workers: int) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="hudhud-bench-") as folder:
        data = Path(folder) / "lab"
        changes: dict[str, dict[str, object]] = {"relay": {"workers": workers, "mx": [f"127.0.0.1:{port}"]}}
        settings = lab.make(data, rules={yararules.PACK: yararules.rules()}, changes=changes, next_hop=NEXT_HOP)
        async with lab.relaying(data, settings):
            out(f"{bodies.SENDER} to {bodies.RECIPIENT} on 127.0.0.1:{port}, next hop 127.0.0.1:{NEXT_HOP}")
            await stop.wait()
