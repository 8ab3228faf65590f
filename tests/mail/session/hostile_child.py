"""Run by attacks.py as a process of its own, whose memory is then measured: one worker with all its listeners."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import trustme
import uvloop

from hudhud import log

spec = importlib.util.spec_from_file_location("session_conftest", Path(__file__).with_name("conftest.py"))
assert spec is not None
assert spec.loader is not None
conftest = importlib.util.module_from_spec(spec)
sys.modules["session_conftest"] = conftest
spec.loader.exec_module(conftest)


async def main(folder: Path, changes: dict[str, Any]) -> None:
    """Says its ports, serves until its standard input ends."""
    async with conftest.starting(folder, trustme.CA())(**changes) as running:
        os.write(1, json.dumps(running.ports).encode() + b"\n")
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    log.configure("error")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
