"""What runs inside a worker while it is measured: every few milliseconds of CPU it notes the stack of the event loop.

Started by sitecustomize (see deploy/bench/profile.py). CPU time, not the wall clock, decides when it looks, so other
programs on the machine do not show. Standard library only: it is loaded before anything else.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

STEP_S = 0.004  # of the process's CPU; the kernel's clock is no finer
MAX_DEPTH = 60  # frames


class Sampler:
    """`folder` gets stacks-<pid>.json when the process ends: samples by stack, CPU milliseconds by thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stacks: Counter[tuple[str, ...]] = Counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, STEP_S, STEP_S)
        atexit.register(self._leave)

    def _look(self, _number: int, frame: FrameType | None) -> None:
        stack: list[str] = []
        while frame is not None and len(stack) < MAX_DEPTH:
            code = frame.f_code
            stack.append(f"{code.co_filename}:{code.co_qualname}")
            frame = frame.f_back
        self._stacks[tuple(reversed(stack))] += 1

    def _leave(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        found = {
            "threads": {f"{thread.name}": _cpu_ms(thread.native_id) for thread in threading.enumerate()},
            "stacks": [[count, list(stack)] for stack, count in self._stacks.items()],
        }
        (self._folder / f"stacks-{os.getpid()}.json").write_text(json.dumps(found))


def _cpu_ms(thread: int | None) -> float:
    try:
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0
