"""Where a worker's CPU goes: with HUDHUD_BENCH_PROFILE=FOLDER every relay worker of a bench is sampled.

`python -m deploy.bench.profile FOLDER` prints the share of each stage of the budget, then of functions. Samples are of
the event loop's thread and fall by CPU time; the other threads are shown with the CPU that each used.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from deploy.bench import sampler
from hudhud.cli import out

VARIABLE: Final = "HUDHUD_BENCH_PROFILE"
SHOWN: Final = 60  # functions

# Python runs sitecustomize.py of its path before anything else; there the project may not be importable yet.
_HOOK = """
import importlib.util, pathlib
if b"mail.worker" in pathlib.Path("/proc/self/cmdline").read_bytes().split(b"\\0"):
    _spec = importlib.util.spec_from_file_location("hudhud_bench_sampler", {module!r})
    _module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)
    _module.Sampler(pathlib.Path({folder!r})).start()
"""

# By the innermost frame that is one of these: a path of ours, or a function in it.
STAGES: Final = (
    ("<frozen importlib", "start"),
    ("mail/worker.py:run", "start"),
    ("mail/live.py", "start"),
    ("mail/node/", "watch"),
    ("hudhud/ship.py", "ship"),
    ("mail/content/examine.py:Examiner._scan", "yara"),
    ("rules/yara.py", "yara"),
    ("mail/content/", "readings"),
    ("mail/message.py", "readings"),
    ("mail/sign.py", "signature"),
    ("mail/spool.py", "spool and event"),
    ("mail/shelf/", "spool and event"),
    ("mail/tell/", "spool and event"),
    ("mail/trace.py", "spool and event"),
    ("mail/carry/ledger.py", "spool and event"),
    ("mail/carry/outcome.py", "spool and event"),
    ("hudhud/database.py", "spool and event"),
    ("hudhud/journal.py", "spool and event"),
    ("mail/dispatch.py", "delivery"),
    ("mail/delivery.py", "delivery"),
    ("mail/carry/", "delivery"),
    ("mail/route.py", "delivery"),
    ("mail/judging.py", "policy"),
    ("mail/judge.py", "policy"),
    ("mail/checks/", "policy"),
    ("mail/facts.py", "policy"),
    ("mail/national.py", "policy"),
    ("mail/policy.py", "policy"),
    ("mail/dns.py", "policy"),
    ("mail/relay.py", "session and DATA"),
    ("mail/limits.py", "session and DATA"),
    ("mail/listener.py", "session and DATA"),
    ("mail/dialog.py", "session and DATA"),
    ("mail/session/", "session and DATA"),
)
_OTHERS: Final = "event loop"


def prepare() -> None:
    """Where the variable is set, workers that are started from now on are sampled."""
    named = os.environ.get(VARIABLE)
    if not named:
        return
    folder = Path(named).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_HOOK.format(folder=str(folder), module=sampler.__file__))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def stage_of(stack: Sequence[str]) -> str:
    """The stage that a stack (outermost first, "path:function") belongs to."""
    for frame in reversed(stack):
        for mark, stage in STAGES:
            if f"/{mark}" in frame or frame.startswith(mark):
                return stage
    return _OTHERS


def shares(stacks: Iterable[tuple[int, Sequence[str]]]) -> Counter[str]:
    """Samples by stage."""
    found: Counter[str] = Counter()
    for count, stack in stacks:
        found[stage_of(stack)] += count
    return found


def main(folder: Path) -> None:
    """All workers together. Milliseconds are of CPU since the worker's start; the stage "start" is not shown."""
    stacks: list[tuple[int, list[str]]] = []
    threads: Counter[str] = Counter()
    for path in sorted(folder.glob("stacks-*.json")):
        found = json.loads(path.read_text())
        stacks += ((count, stack) for count, stack in found["stacks"] if stage_of(stack) != "start")
        threads.update(found["threads"])
    total = sum(count for count, _ in stacks) or 1
    out(f"{total} samples of the event loop's threads")
    for stage, count in shares(stacks).most_common():
        out(f"{count / total:7.1%}  {stage}")
    own: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for count, stack in stacks:
        own[_short(stack[-1])] += count
        for frame in set(map(_short, stack)):
            inside[frame] += count
    for title, functions in (("with what they call", inside), ("by themselves", own)):
        out(f"\nfunctions, {title}")
        for name, count in functions.most_common(SHOWN):
            out(f"{count / total:7.1%}  {name}")
    out("\nCPU ms by thread, start included")
    for name, used in threads.most_common(20):
        out(f"{used:9.0f}  {name}")


def _short(frame: str) -> str:
    path, _, function = frame.rpartition(":")
    return f"{'/'.join(Path(path).parts[-2:])}:{function}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
