"""`hudhud console` as a process: ready, serving HTTPS, stopping cleanly, saying what keeps it from starting."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hudhud import tls
from hudhud.settings import Settings

START_S = 30.0


@pytest.fixture
def process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "deploy.main", "console", "--config", str(Path(settings.folder, "hudhud.toml"))]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    yield started
    if started.poll() is None:
        started.kill()
    started.communicate()


def ready(settings: Settings, process: subprocess.Popen[bytes]) -> dict[str, object]:
    until = time.monotonic() + START_S
    path = settings.path("run", "console.json")
    while time.monotonic() < until and process.poll() is None:
        if path.exists():
            found: dict[str, object] = json.loads(path.read_text())
            return found
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate()[1].decode())


def test_it_serves_https_until_it_is_told_to_stop(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    assert ready(settings, process) == {"pid": process.pid, "workers": [], "ready": True}
    context = tls.client_context(settings.path("tls", "ca.pem"))
    with httpx.Client(verify=context, base_url=f"https://{settings.console.listen}") as client:
        answer = client.get("/login")
        assert answer.status_code == 200
        assert "server" not in answer.headers
        process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors.decode()
    assert not settings.path("run", "console.json").exists()
    assert b"Traceback" not in output + errors


def test_it_speaks_nothing_older_than_tls_1_2_and_nothing_in_clear(
    settings: Settings, process: subprocess.Popen[bytes]
) -> None:
    ready(settings, process)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{settings.console.listen}/login")


@pytest.mark.parametrize("missing", ["people.toml", "keys/desk.key", "tls/console.pem", "releases/rules"])
def test_what_is_missing_is_named_in_one_line(settings: Settings, missing: str) -> None:
    path = settings.path(missing)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    words = [sys.executable, "-m", "deploy.main", "console", "--config", str(Path(settings.folder, "hudhud.toml"))]
    done = subprocess.run(
        words,
        capture_output=True,
        timeout=START_S,
        env={**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"},
        check=False,
    )
    assert done.returncode in {2, 3}
    last = done.stderr.decode().strip().splitlines()[-1]
    assert last.startswith("hudhud: ")
    assert Path(missing).name in last or "rules" in last
    assert "Traceback" not in done.stderr.decode()
