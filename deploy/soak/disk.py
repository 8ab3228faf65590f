"""The spool's disk runs full, by our mail and then by somebody else's file: clients are put off, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from deploy.bench import lab, sink
from deploy.bench.system import found
from deploy.soak.place import accepted, all_there, loaded, refusals
from deploy.soak.restart import compiled
from deploy.soak.tally import Line, lines, tally
from hudhud.cli import Problem, progress

MiB = 1024 * 1024
DISK, KEPT = 32 * MiB, 8 * MiB  # the file system, and what the relay keeps free of it
FULL_S = 60.0  # in which the load fills it
DELIVERED_S = 120.0
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "relay": {"workers": 2},
    "spool": {"folder": "small/relay", "min_free_bytes": KEPT},
    "delivery": {"first_retry_s": 1.0, "max_retry_s": 2.0, "breaker_s": 1.0},
    "node": {"log_level": "error"},
}


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own at `folder`; Problem where it cannot be mounted."""
    folder.mkdir(parents=True)
    words = ("-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", str(folder))
    mounted = subprocess.run([found("mount") or "mount", *words], capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise Problem(f"no small file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([found("umount") or "umount", "--lazy", str(folder)], check=False)


async def disk_full(folder: Path, rounds: int, seed: int) -> list[Line]:
    """A lab in `folder` whose disk is full so many times; the lines of the table."""
    if os.geteuid() != 0:
        return [Line("full disk", "left out: only root can mount a small file system")]
    dice = random.Random(seed)  # noqa: S311 - the same each time
    with small_disk(folder / "small"):
        made = lab.make(folder, changes=SETTINGS)
        async with compiled(folder), lab.relaying(folder, made, arrivals=True) as running:
            order = running.submission()
            orders = [
                msgspec.structs.replace(order, size="10k", sessions=4, rate=30.0),
                msgspec.structs.replace(order, size="400k", sessions=4, rate=20.0),
            ]
            moments: list[float] = []
            full: list[int] = []
            async with loaded(orders) as results:
                with progress("full disk", rounds) as bar:
                    for _ in range(rounds):
                        full.append(await _round(running, folder / "small", dice, moments))
                        bar.advance(1)
            wanted = accepted(results)
            arrivals = await all_there(running, wanted, DELIVERED_S)
    return [
        Line("full by mail, then by a file to the last octet", f"{rounds} times (seed {seed})"),
        refusals(results, ("452", "451", "421")),  # 421: a message that could not even be read to its end
        Line("messages that came after room was made", " + ".join(map(str, full)), all(full)),
        *lines(tally(wanted, arrivals, moments)),
    ]


async def _round(running: lab.RelayLab, disk: Path, dice: random.Random, moments: list[float]) -> int:
    """The hop is away, the spool fills; a file takes the rest; the hop is back; the file goes. How many came then."""
    loop = asyncio.get_running_loop()
    running.sink.away()
    moments.append(loop.time())
    until = loop.time() + FULL_S
    while _free(disk) > KEPT + MiB and loop.time() < until:
        await asyncio.sleep(0.05)
    await asyncio.sleep(dice.uniform(0.5, 1.5))
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65_536))
    running.sink.back()
    await asyncio.sleep(dice.uniform(1.0, 3.0))
    filler.unlink()
    before = sink.read_counts(running.counters).messages
    await lab.arrived(running.counters, before + 20, 30.0)
    return sink.read_counts(running.counters).messages - before


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
