"""Where a worker's time goes: with HUDHUD_BENCH_PROFILE=FOLDER every relay worker of a bench runs under cProfile.

Only the event loop's thread is seen; profiled figures are not comparable with others. `python -m deploy.bench.profile
FOLDER` prints what took longest.
"""

from __future__ import annotations

import os
import pstats
import sys
from pathlib import Path

VARIABLE = "HUDHUD_BENCH_PROFILE"

# Python runs sitecustomize.py of its path before anything else.
_HOOK = """
import atexit, cProfile, os, pathlib
_words = pathlib.Path("/proc/self/cmdline").read_bytes().split(b"\\0")
if b"mail.worker" in _words:
    _profile = cProfile.Profile()
    def _leave():
        _profile.disable()
        _profile.dump_stats(os.path.join({folder!r}, f"worker-{{os.getpid()}}.prof"))
    atexit.register(_leave)
    _profile.enable()
"""


def prepare() -> None:
    """Where the variable is set, workers that are started from now on are profiled."""
    named = os.environ.get(VARIABLE)
    if not named:
        return
    folder = Path(named).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_HOOK.format(folder=str(folder)))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def main(folder: Path) -> None:
    """The functions that took longest by themselves, then with what they call, of all workers together."""
    paths = sorted(map(str, folder.glob("*.prof")))
    stats = pstats.Stats(paths[0], stream=sys.stdout)
    stats.add(*paths[1:])
    stats.sort_stats("tottime").print_stats(45)
    stats.sort_stats("cumtime").print_stats(90)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
