from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.capture import make_capture
from hudhud.cli import Exit
from tests.sensors.test_wire import FRAME, pcap

HUDHUD = str(Path(sys.executable).with_name("hudhud"))


def hudhud(*words: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([HUDHUD, "sensor", *words], input=stdin, capture_output=True, check=False, timeout=60)


def test_read_writes_ndjson_to_standard_output_and_its_summary_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([FRAME]))
    done = hudhud("read", str(path), "--ndjson", "-")
    assert done.returncode == Exit.DONE
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"]["dataset"] for event in events] == ["hudhud.flow"]
    assert b"1 packets" in done.stderr


def test_read_takes_standard_input(tmp_path: Path) -> None:
    done = hudhud("read", "-", "--ndjson", str(tmp_path / "out"), stdin=pcap([FRAME]))
    assert done.returncode == Exit.DONE
    assert len((tmp_path / "out").read_bytes().splitlines()) == 1


def test_a_damaged_capture_is_named_and_the_answer_is_no(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(pcap([FRAME, FRAME])[:-3])
    done = hudhud("read", str(path))
    assert done.returncode == Exit.NO
    assert b"truncated-packet" in done.stderr
    assert b"1 packets" in done.stdout


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    done = hudhud("read", str(tmp_path / "none.pcap"))
    assert done.returncode == Exit.USAGE
    assert done.stderr.count(b"\n") == 1


def test_a_registry_with_a_mistake_names_its_place(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("[country]\ncode = 3\n")
    (tmp_path / "a.pcap").write_bytes(pcap([FRAME]))
    done = hudhud("read", str(tmp_path / "a.pcap"), "--registry", str(tmp_path / "registry.toml"))
    assert done.returncode == Exit.USAGE
    assert b"registry.toml:2" in done.stderr


def test_watching_without_a_registry_is_refused_with_the_reason() -> None:
    done = hudhud("watch", "lo")
    assert done.returncode == Exit.USAGE
    assert b"registry" in done.stderr


def test_with_the_registry_the_demo_mornings_staff_are_not_in_the_output(tmp_path: Path) -> None:
    make_capture(tmp_path / "demo.pcap")
    registry = Path(__file__).parents[2] / "hudhud" / "demo" / "registry.toml"
    done = hudhud("read", str(tmp_path / "demo.pcap"), "--registry", str(registry), "--ndjson", "-")
    assert done.returncode == Exit.DONE
    assert b"HS-SMTP-EGRESS" in done.stdout
    assert b'"192.0.2.113"' not in done.stdout


@pytest.mark.root
def test_an_interface_is_watched_by_its_ring(registry: object) -> None:
    import os
    import socket

    from sensors.live import LiveCapture

    if os.geteuid() != 0:
        pytest.skip("live capture needs root")
    capture = LiveCapture("lo", blocks=4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(50):
            sender.sendto(b"hudhud-live-test", ("127.0.0.1", 47_474))
    frames = [
        block.data[start:end] for _ in range(10) for block in capture.blocks(0.2) for _, start, end, _ in block.records
    ]
    capture.count()
    capture.close()
    assert sum(b"hudhud-live-test" in frame and frame[23] == 17 for frame in frames) == 50
    assert capture.drops == 0
