"""The whole house on one machine, as a newcomer starts it, with a real morning driven through it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bench.lab import free_ports

READY_S = 120


def hudhud(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.main", *words], capture_output=True, text=True, timeout=timeout, check=False
    )


def start(data: Path, base: int, *more: str) -> subprocess.Popen[bytes]:
    with (data.parent / "up.log").open("ab") as log:
        words = ["up", "--data", str(data), "--port-base", str(base), *more]
        started = subprocess.Popen([sys.executable, "-m", "deploy.main", *words], stdout=log, stderr=log)
    deadline = time.monotonic() + READY_S
    while not (data / "run" / "up.json").exists():
        assert started.poll() is None, (data.parent / "up.log").read_text()[-3000:]
        assert time.monotonic() < deadline, (data.parent / "up.log").read_text()[-3000:]
        time.sleep(0.1)
    return started


def stop(started: subprocess.Popen[bytes]) -> int:
    started.send_signal(signal.SIGINT)
    return started.wait(60)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    data = tmp_path_factory.mktemp("morning") / "lab"
    started = start(data, free_ports().base)
    yield data
    assert stop(started) in (0, 130)
    leftovers = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _mentions(p, str(data))]
    assert leftovers == [], "a program of the house outlived `hudhud up`"


def _mentions(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False


@pytest.mark.timeout(420)
def test_the_tour_comes_out_as_printed(lab: Path) -> None:
    ran = hudhud("tour", "--data", str(lab), "--json")
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    wrong = [row for row in rows if not row["good"]]
    assert ran.returncode == 0, wrong or ran.stderr[-2000:]
    assert len(rows) >= 30


@pytest.mark.timeout(420)
def test_a_second_tour_asserts_only_itself(lab: Path) -> None:
    ran = hudhud("tour", "--data", str(lab), "--json")
    assert ran.returncode == 0, [row for row in map(json.loads, ran.stdout.splitlines()) if not row["good"]]


@pytest.mark.timeout(120)
def test_after_the_morning_every_list_can_be_read_by_people_and_machines(lab: Path) -> None:
    config = ("--config", str(lab / "hudhud.toml"))
    for words in (
        ("mail", "queue", "list"), ("mail", "held", "list"), ("mail", "status"), ("cert", "incidents", "list"),
        ("rules", "list"), ("registry", "show"), ("config", "show"),
    ):  # fmt: skip
        shown = hudhud(*words, *config)
        assert shown.returncode in (0, 1), (words, shown.stderr)
        machine = hudhud(*words, *config, "--json")
        assert machine.returncode == shown.returncode, (words, machine.stderr)
        assert all(isinstance(json.loads(line), dict) for line in machine.stdout.splitlines()), words


def test_the_audit_chains_are_whole_and_a_changed_byte_is_found(lab: Path, tmp_path: Path) -> None:
    config = ("--config", str(lab / "hudhud.toml"))
    whole = hudhud("audit", "verify", *config)
    assert whole.returncode == 0, whole.stdout
    chain = max((lab / "audit").glob("*.chain"), key=lambda path: path.stat().st_size)
    data = bytearray(chain.read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / chain.name
    broken.write_bytes(data)
    assert hudhud("audit", "verify", str(broken), *config).returncode == 1


@pytest.mark.timeout(240)
def test_a_second_start_finds_its_data_again(tmp_path: Path) -> None:
    data, base = tmp_path / "lab", free_ports().base
    first = start(data, base)
    secret = (data / "demo.json").read_text()
    other = hudhud("up", "--data", str(data), "--port-base", str(base))
    assert other.returncode == 2
    assert "runs already" in other.stderr
    assert stop(first) in (0, 130)
    second = start(data, base)
    assert (data / "demo.json").read_text() == secret
    assert stop(second) in (0, 130)
    assert not any(os.kill(pid, 0) is None for pid in _pids(data) if Path(f"/proc/{pid}").exists())


def _pids(data: Path) -> list[int]:
    return [json.loads(path.read_text()).get("pid", 0) for path in (data / "run").glob("*.json")]


@pytest.mark.elastic
@pytest.mark.timeout(900)
def test_the_same_morning_on_elasticsearch_with_the_store_away_all_the_time(tmp_path: Path) -> None:
    words = (
        "up",
        "--data",
        str(tmp_path / "lab"),
        "--port-base",
        str(free_ports().base),
        "--store",
        "elastic",
        "--tour",
    )
    ran = hudhud(*words, "--break", "store", timeout=880)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1500:]
