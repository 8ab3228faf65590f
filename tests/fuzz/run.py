"""Fuzz with atheris (libFuzzer): `python tests/fuzz/run.py session|envelope|content|balancer [-max_total_time=600]`.

Everything behind the target goes to libFuzzer: -runs, -seed, -max_total_time (seconds), a folder of inputs. A failure
is written as crash-…; give its name to run it again.
"""

from __future__ import annotations

import atexit
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris


def main() -> None:
    """The libFuzzer loop; it ends the process."""
    from hudhud import log

    log.configure("critical")
    with atheris.instrument_imports(include=["mail", "idna"], enable_loader_override=False):
        spec = importlib.util.spec_from_file_location("fuzz_targets", Path(__file__).with_name("targets.py"))
        assert spec is not None
        assert spec.loader is not None
        targets = importlib.util.module_from_spec(spec)
        sys.modules["fuzz_targets"] = targets
        spec.loader.exec_module(targets)
    name = sys.argv.pop(1)
    run: Callable[[bytes], None]
    if name == "session":
        ground = targets.Ground()

        def run(data: bytes) -> None:
            targets.session(data, ground)
    else:
        run = {"envelope": targets.envelope, "content": targets.content, "balancer": targets.balancer}[name]
    seeds = Path(tempfile.mkdtemp(prefix="seeds-"))
    for number, seed in enumerate(targets.SEEDS[name]):
        (seeds / str(number)).write_bytes(seed)
    atexit.register(shutil.rmtree, seeds, ignore_errors=True)
    atheris.Setup([*sys.argv, f"-dict={Path(__file__).with_name('words.dict')}", str(seeds)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
