"""The running sensor: captures laid before it come out of its journal at the intake, once, whatever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy import demo
from deploy.capture import make_capture
from deploy.ports import Ports
from hudhud import codec
from hudhud.config import load
from hudhud.database import Database
from hudhud.entity import Registry
from hudhud.journal import Journal
from hudhud.settings import Sensor, Settings
from sensors import replay
from sensors.program import Program
from tests.sensors.traffic import START

NOW = START + 86_400.0


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "tour-r42.pcap"
    make_capture(path, run_id="r42")
    return path


def journalled(database: Database) -> list[dict[str, Any]]:
    return [codec.decode(record.document) for record in Journal(database, "sensor-1").read(0, 10_000)]


def test_a_replay_shifts_the_last_packet_to_now_and_notes_it(morning: Path, registry: Registry, tmp_path: Path) -> None:
    database = Database(tmp_path / "journal.db", replay.SCHEMA)
    done = replay.replay(morning, database, registry, Sensor(), NOW)
    events = journalled(database)
    assert done.events == len(events) > 300
    stamps = [datetime.fromisoformat(str(event["@timestamp"])) for event in events]
    assert abs(max(stamps).timestamp() - NOW) < 1
    assert all(event["hudhud"]["run"] == "r42" for event in events)
    assert {event["hudhud"]["replay_offset_s"] for event in events} == {round(done.offset_s)}
    database.close()


def test_a_replay_that_was_killed_goes_on_where_it_was(morning: Path, registry: Registry, tmp_path: Path) -> None:
    whole = Database(tmp_path / "whole.db", replay.SCHEMA)
    replay.replay(morning, whole, registry, Sensor(), NOW)
    database = Database(tmp_path / "journal.db", replay.SCHEMA)
    key = replay.key_of(morning)
    offset, _, _ = replay._begin(database, key, replay.replay(morning, whole, registry, Sensor(), NOW).offset_s)
    replay._write(database, key, [codec.encode(event) for event in journalled(whole)[:123]], done=False)
    later = replay.replay(morning, database, registry, Sensor(), NOW + 500)
    assert later.offset_s == offset
    assert journalled(database) == journalled(whole)
    replay.replay(morning, database, registry, Sensor(), NOW + 900)  # finished, but not put away: nothing is added
    assert len(journalled(database)) == len(journalled(whole))
    whole.close()
    database.close()


class Intake(ThreadingHTTPServer):
    """Keeps what is sent, as the intake's answer promises."""

    def __init__(self) -> None:
        self.sent: dict[int, dict[str, Any]] = {}
        self.repeated = 0
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Intake

    def do_POST(self) -> None:
        assert self.headers["Hudhud-Source"] == "sensor-1"
        for line in self.rfile.read(int(self.headers["Content-Length"])).splitlines():
            record = json.loads(line)
            self.server.repeated += record["sequence"] in self.server.sent
            self.server.sent[record["sequence"]] = record["document"]
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:
        """Silent."""


@pytest.fixture
def intake() -> Iterator[Intake]:
    server = Intake()
    yield server
    server.shutdown()
    server.server_close()


def lab(folder: Path, url: str) -> Settings:
    path = demo.make_lab(folder, Ports(22500), datetime.now(UTC))
    text = path.read_text()
    lines = [line for line in text.splitlines() if not line.startswith('url = "https://localhost')]
    path.write_text("\n".join(lines).replace("[intake]", f'[intake]\nurl = "{url}"'))
    return load(path).settings


def wait_until(fits: Callable[[], object], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if fits():
            return True
        time.sleep(0.05)
    return False


def test_a_capture_goes_the_whole_way_and_sigterm_is_clean(intake: Intake, morning: Path, tmp_path: Path) -> None:
    settings = lab(tmp_path / "lab", intake.url)
    config = tmp_path / "lab" / "hudhud.toml"
    command = [str(Path(sys.executable).with_name("hudhud"))]
    program = subprocess.Popen([*command, "sensor", "run", "--config", str(config)])
    try:
        state = settings.path("run", "sensor.json")
        assert wait_until(state.exists)
        assert json.loads(state.read_text())["pid"] == program.pid
        laid = subprocess.run(
            [*command, "sensor", "replay", str(morning), "--config", str(config)], check=False, capture_output=True
        )
        assert laid.returncode == 0
        lies = settings.path(settings.sensor.captures, morning.name)
        assert wait_until(lambda: not lies.exists())
        assert wait_until(lambda: any(_rule(one) == "HS-SMTP-EGRESS" for one in intake.sent.values()))
        assert wait_until(lambda: len(intake.sent) > 300)
    finally:
        program.send_signal(signal.SIGTERM)
    assert program.wait(20) == 0
    assert not settings.path("run", "sensor.json").exists()
    datasets = {one["event"]["dataset"] for one in intake.sent.values()}
    assert {"hudhud.alert", "hudhud.health", "hudhud.webmail", "hudhud.flow"} <= datasets
    assert intake.repeated == 0
    assert list(settings.path(settings.sensor.captures).rglob("*.pcap")) == []  # what is not needed is never kept


def _rule(document: dict[str, object]) -> str:
    rule = document.get("rule")
    return str(rule["id"]) if isinstance(rule, dict) else ""


async def test_without_a_collector_nothing_is_lost(intake: Intake, morning: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{probe.getsockname()[1]}"
    settings = lab(tmp_path / "lab", nowhere)
    lies = settings.path(settings.sensor.captures, morning.name)
    await _run_until(settings, lambda: not lies.exists(), morning)
    assert intake.sent == {}
    online = lab_with(settings, intake.url)
    await _run_until(online, lambda: len(intake.sent) > 300, None)
    assert sum(_rule(one) == "HS-SMTP-EGRESS" for one in intake.sent.values()) == 1


async def test_captures_are_kept_only_where_the_settings_say_so_and_closed(
    intake: Intake, morning: Path, tmp_path: Path
) -> None:
    import msgspec

    settings = lab(tmp_path / "lab", intake.url)
    settings = msgspec.structs.replace(settings, sensor=msgspec.structs.replace(settings.sensor, keep_captures=True))
    kept = settings.path(settings.sensor.captures, "done", morning.name)
    await _run_until(settings, kept.exists, morning)
    assert kept.read_bytes() == morning.read_bytes()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def lab_with(settings: Settings, url: str) -> Settings:
    import msgspec

    return msgspec.structs.replace(settings, intake=msgspec.structs.replace(settings.intake, url=url))


async def _run_until(settings: Settings, fits: Callable[[], object], capture: Path | None) -> None:
    program = Program(settings)
    if capture is not None:
        settings.path(settings.sensor.captures, capture.name).write_bytes(capture.read_bytes())
    running = asyncio.create_task(program.run())
    assert await asyncio.to_thread(wait_until, fits)
    os.kill(os.getpid(), signal.SIGTERM)  # the program's own handler takes it
    await asyncio.wait_for(running, 20)


def test_what_is_no_capture_is_put_aside_and_named(morning: Path, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "notes.pcap"
    path.write_bytes(b"these are my notes")
    database = Database(tmp_path / "journal.db", replay.SCHEMA)
    done = replay.replay(path, database, registry, Sensor(), NOW)
    assert (done.packets, done.events) == (0, 0)
    assert done.problem.startswith("not-a-capture")
    database.close()
