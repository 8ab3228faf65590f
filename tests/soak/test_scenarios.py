"""A small seeded part of each long run: full disk, next hop away, DNS down, clock wrong. Nothing lost, nothing twice.

And whoever ends a soak is rid of it: none of its programs and folders stays.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.soak.disk import disk_full
from deploy.soak.guard import marked
from deploy.soak.hop import hop_away
from deploy.soak.jumps import clock_jumps, library
from deploy.soak.names import dns_down
from deploy.soak.tally import Line
from hudhud.cli import Problem

SEED = 20_261_124
pytestmark = pytest.mark.timeout(180)


def judged(lines: list[Line], at_least: int) -> None:
    assert [f"{one.what}: {one.figure}" for one in lines if one.good is False] == []
    assert sum(one.good is True for one in lines) >= at_least, lines


@pytest.mark.root
async def test_a_full_disk_puts_clients_off_and_loses_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system is mounted only by root")
    try:
        lines = await disk_full(tmp_path, 1, SEED)
    except Problem as problem:
        pytest.skip(str(problem))
    judged(lines, 4)
    assert "452" in next(one.figure for one in lines if one.what == "messages put off")


async def test_what_comes_while_the_next_hop_is_away_arrives_when_it_is_back(tmp_path: Path) -> None:
    judged(await hop_away(tmp_path, 3.0), 4)


async def test_without_dns_national_mail_flows_and_foreign_mail_waits(tmp_path: Path) -> None:
    judged(await dns_down(tmp_path, 3.0), 5)


@pytest.mark.system
async def test_a_clock_that_jumps_by_a_day_loses_nothing(tmp_path: Path) -> None:
    if library() is None:
        pytest.skip("libfaketime is not there: apt install faketime")
    judged(await clock_jumps(tmp_path, 1, SEED, wrong=(1, -1)), 4)


def test_a_soak_that_is_told_to_end_leaves_nothing_behind(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "deploy.main", "soak", "kills", "--points", "1000", "--seed", "1"]
    mark = f"HUDHUD_TEST={tmp_path}"
    environment = {**os.environ, "HUDHUD_TEST": str(tmp_path), "TMPDIR": str(tmp_path)}
    soak = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(marked(mark)) < 8:  # soak, sink, collector, three loads, supervisor, a worker
        assert soak.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    soak.send_signal(signal.SIGTERM)
    assert soak.wait(30) == 130
    assert marked(mark) == []
    assert list(tmp_path.glob("hudhud-soak-*")) == []
