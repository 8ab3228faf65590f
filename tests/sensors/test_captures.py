"""Every public capture is read: no exception, no hang; the demo capture tells what it was made for."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from deploy.capture import make_capture
from hudhud import codec
from hudhud.entity import Registry
from hudhud.event import parse
from sensors.reading import read
from tests.conformance import sensor as conformance

HANG_S = 30.0  # for one capture
WHOLE_S = 90.0


def is_capture(path: Path) -> bool:
    return path.is_file() and any(mark in path.name for mark in (".pcap", ".cap", ".trace", ".dmp"))


def test_every_public_capture_is_read_without_exception_or_hang(
    shared_data: Path, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(path for path in (shared_data / "sensors").rglob("*") if is_capture(path))
    problems: Counter[str] = Counter()
    packets = events = 0
    slowest, began = 0.0, time.monotonic()
    for path in files:
        before = time.monotonic()
        for known in (None, registry):
            with (tmp_path / "out.ndjson").open("wb") as out:
                summary = read([(path.name, lambda path=path: path.open("rb"))], out, known)
        packets += summary.packets
        events += sum(summary.events.values())
        problems.update(problem.name for _, problem in summary.problems)
        slowest = max(slowest, time.monotonic() - before)
    took = time.monotonic() - began
    with capsys.disabled():
        print(
            f"\n{len(files)} captures, {packets:,} packets, each read twice in {took:.1f} s (slowest {slowest:.2f} s); "
            f"{events:,} events with the registry; damaged: {dict(problems) or 'none'}"
        )
    assert len(files) > 900
    assert slowest < HANG_S
    assert took < WHOLE_S


def test_public_expectations_are_met(shared_data: Path) -> None:
    scores = conformance.score(shared_data / "sensors" / "pcap")
    least = {
        "suricata dns type": 1.0, "suricata http host": 0.99, "suricata http method": 0.99, "suricata smtp helo": 1.0,
        "suricata smtp from": 0.95, "suricata smtp to": 1.0, "suricata tls sni": 1.0, "suricata tls ja3": 1.0,
        "suricata tls ja3s": 1.0, "zeek dns rcode": 1.0, "zeek flow": 1.0, "zeek http host": 0.94,
        "zeek smtp from": 1.0,
        "zeek smtp to": 1.0, "zeek tls sni": 1.0, "zeek ssh software": 1.0,
    }  # fmt: skip
    found = {f"{source} {name}": one.found / one.expected for (source, name), one in scores.items()}
    assert {name: found[name] for name in least if found[name] < least[name]} == {}


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "demo.pcap"
    make_capture(path, run_id="r42")
    return path


def events_of(path: Path, registry: Registry | None, out: Path) -> list[dict[str, object]]:
    with out.open("wb") as stream:
        read([(path.name, lambda: path.open("rb"))], stream, registry)
    return [codec.decode(line) for line in out.read_bytes().splitlines()]


def test_the_demo_capture_tells_what_it_was_made_for(morning: Path, registry: Registry, tmp_path: Path) -> None:
    found = [parse(event).fields for event in events_of(morning, registry, tmp_path / "out")]
    alerts = {str(one["rule.id"]): one for one in found if "rule.id" in one}
    assert set(alerts) == {"HS-SMTP-EGRESS", "HS-WEBMAIL-COUNT", "HS-DNS-TUNNEL", "HS-PORT-SCAN"}
    assert alerts["HS-SMTP-EGRESS"]["organization.id"] == "FIN"
    assert "r42" in str(alerts["HS-SMTP-EGRESS"]["hudhud.smtp.helo"])
    assert (alerts["HS-WEBMAIL-COUNT"]["organization.id"], alerts["HS-WEBMAIL-COUNT"]["hudhud.webmail.hosts"]) == (
        "HEA",
        9,
    )
    assert alerts["HS-DNS-TUNNEL"]["organization.id"] == "EDU"
    assert alerts["HS-PORT-SCAN"]["organization.id"] == "INT"
    assert "webmail.freemail.example" not in str(found)
    for number in range(112, 128):
        assert f"192.0.2.{number}'" not in str(found)


def test_the_demo_capture_is_the_same_for_the_same_seed(morning: Path, tmp_path: Path) -> None:
    make_capture(tmp_path / "again.pcap", run_id="r42")
    assert (tmp_path / "again.pcap").read_bytes() == morning.read_bytes()
    make_capture(tmp_path / "other.pcap", run_id="r42", seed=2)
    assert (tmp_path / "other.pcap").read_bytes() != morning.read_bytes()


def test_every_line_is_an_event_with_an_id_of_its_own(morning: Path, tmp_path: Path) -> None:
    events = [parse(event) for event in events_of(morning, None, tmp_path / "out")]
    assert len({event.id for event in events}) == len(events) > 500
    assert {str(event.fields["event.dataset"]) for event in events} == {
        "hudhud.flow",
        "hudhud.dns",
        "hudhud.tls",
        "hudhud.smtp",
    }
    hellos = [event.fields for event in events if event.fields["event.dataset"] == "hudhud.tls"]
    assert {"tls.client.server_name", "tls.client.ja3", "tls.client.ja4", "tls.server.ja3s"} <= set(hellos[0])
