"""The harness counts right: what it sends, what arrives, what it costs. Nothing here is about speed."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from deploy.bench import collector, events, lab, load, message, process, sigmarules, sink, traffic, yararules
from deploy.bench.environment import Others, machine
from deploy.bench.matching import filled_up
from deploy.bench.relay import CASES, Measured, Round, figures, quantile
from hudhud import codec, config, tls
from hudhud.clock import SYSTEM
from rules.matcher import Matcher
from rules.ruleset import compile_ruleset
from rules.sigma import parse_event_rules

SENDER, RECIPIENT = "amal@finance.saba.example", "salim@interior.saba.example"
OCTETS = {"2k": 2_048, "10k": 10_240, "100k": 102_400, "400k": 409_600}


@pytest.mark.parametrize("size", message.SIZES)
def test_messages_have_their_size_and_their_own_number(size: message.Size) -> None:
    templates = message.templates(size, SENDER, RECIPIENT)
    assert len(templates) == message.VARIANTS
    for number, template in enumerate(templates):
        data = template.fill(number)
        assert abs(len(data) - OCTETS[size]) < OCTETS[size] * 0.05
        assert message.number_of(data) == number
        assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
        assert b"\r\n." not in data.replace(b"\r\n..", b"")
        assert b"@@" not in data
    assert templates[0].fill(1) != templates[0].fill(2)


def test_the_rules_are_a_thousand_and_fit_no_message() -> None:
    yara = compile_ruleset({yararules.PACK: yararules.rules()}, "x").yara
    assert len(yara.rules) == yararules.COUNT
    assert yararules.rules() == yararules.rules()
    for size in message.SIZES[:2]:
        for template in message.templates(size, SENDER, RECIPIENT):
            assert yara.scan(template.fill(1), externals={}) == ()


def test_the_event_rules_are_read_and_copies_ask_for_other_letters() -> None:
    rules, _ = parse_event_rules({sigmarules.PACK: sigmarules.rules(count=40)})
    assert len(rules) == 40
    grown = filled_up(rules, 100)
    assert len({rule.id for rule in grown}) == 100
    fields = {"event.dataset": "hudhud.dns", "dns.question.name": "evil"}
    text = b"""title: a
id: 00000000-0000-4000-8000-000000000001
logsource: {product: hudhud, service: dns}
detection: {selection: {dns.question.name|contains: evil}, condition: selection}
"""
    original, _ = parse_event_rules({"a.yml": text})
    assert [rule.id for rule in Matcher(filled_up(original, 5)).match(fields)] == [original[0].id]


def test_events_are_ordinary_and_some_mail_is_held() -> None:
    lines = [codec.decode(line) for line in events.documents(3000, SYSTEM.now())]
    assert {one["event"]["dataset"] for one in lines} == {f"hudhud.{kind}" for kind in set(events.MIX)}
    held = [one for one in lines if one["event"]["kind"] == "alert"]
    assert 5 <= len(held) <= 40
    assert all(one["@timestamp"].endswith("Z") for one in lines)
    assert all(
        one["event"]["action"] == "held" for one in map(codec.decode, events.documents(5, SYSTEM.now(), kind="held"))
    )


@pytest.mark.parametrize(("protocol", "per_session"), [("smtp", 1), ("smtp", 7), ("lmtp", 1)])
async def test_the_sink_counts_what_the_load_sends(
    tmp_path: Path, free_port: int, protocol: str, per_session: int
) -> None:
    count = 30
    async with lab.sinking([sink.Port(free_port)], tmp_path, arrivals=True) as standing:
        counters = standing.counters
        order = load.Order(
            port=free_port, count=count, sessions=4, per_session=per_session, sender=SENDER, recipients=(RECIPIENT,),
            size="2k", first=100,
        )  # fmt: skip
        result = await lab.sending(order)
        assert sorted(result.accepted) == list(range(100, 100 + count))
        assert len(result.accept_ms) == count
        assert (result.refused, result.unknown, result.broken) == ([], [], 0)
        assert await lab.arrived(counters, count, 5.0) is not None
        seen = sink.read_counts(counters)
        assert (seen.messages, seen.again, seen.strange, seen.signed) == (count, 0, 0, 0)
        await lab.sending(msgspec.structs.replace(order, count=5))
        assert sink.read_counts(counters).again == 5
        assert await lab.arrived(counters, 1000, 0.05) is None
    arrivals = sink.read_arrivals(tmp_path / "sink.arrivals")
    assert len(arrivals) == count
    assert {len(moments) for moments in arrivals.values()} == {1, 2}
    assert message.identity(100) in arrivals


async def test_the_load_keeps_its_rate_and_notes_who_turned_it_away(free_port: int) -> None:
    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        while line := await reader.readline():
            writer.write(b"550 5.7.1 no\r\n" if line.startswith(b"RCPT") else b"250 ok\r\n")
            if line.startswith(b"QUIT"):
                break
        writer.close()

    server = await asyncio.start_server(turn_away, "127.0.0.1", free_port)
    order = load.Order(
        port=free_port,
        count=20,
        sessions=3,
        per_session=5,
        sender=SENDER,
        recipients=(RECIPIENT,),
        size="2k",
        rate=40.0,
    )
    result = await lab.sending(order)
    server.close()
    assert (len(result.refused), result.accepted) == (20, [])
    assert result.refused[0] == "550 5.7.1 no"
    assert 0.4 < result.ended - result.begun < 5.0


async def test_a_patient_load_outlives_a_server_that_goes_away(tmp_path: Path, free_port: int) -> None:
    order = load.Order(
        port=free_port, count=1_000_000, sessions=3, sender=SENDER, recipients=(RECIPIENT,), size="2k", patient=True
    )
    helper = await lab.Helper.start("deploy.bench.load", order)
    await asyncio.sleep(0.5)
    async with lab.sinking([sink.Port(free_port)], tmp_path) as standing:
        assert await lab.arrived(standing.counters, 5, 20.0) is not None
        standing.away()
        standing.back()
        assert await lab.arrived(standing.counters, sink.read_counts(standing.counters).messages + 5, 20.0) is not None
    helper.child.terminate()
    result = msgspec.json.decode(await helper.line(), type=load.Result)
    await helper.stop()
    assert len(result.accepted) >= 5
    assert result.broken > 0


def test_cpu_of_a_tree_holds_that_of_children_which_ended() -> None:
    burnt = 0.25  # seconds; the kernel counts in ticks
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    words = [sys.executable, "-c", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\ninput()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as child:
        deadline = time.monotonic() + 20
        while (used := process.cpu_s([child.pid])) < burnt and time.monotonic() < deadline:
            time.sleep(0.05)
        assert child.pid in process.tree([os.getpid()])
        assert process.rss_bytes(child.pid) > 1_000_000
        child.communicate(b"\n")
    assert burnt <= used < 3.0
    assert process.cpu_s([child.pid]) == 0.0


def test_the_machine_is_named_and_the_share_of_others_is_a_share() -> None:
    assert "cores" in machine()
    others = Others()
    time.sleep(0.05)
    assert 0.0 <= others.share() <= 1.0


def test_settings_of_a_lab_are_changed_in_their_section() -> None:
    text = '[node]\nname = "lab"\n\n[relay]\nworkers = 2\nmx = ["a"]\n'
    changed = lab.changed(text, {"relay": {"workers": 3}, "delivery": {"first_retry_s": 1.5}})
    assert changed == '[node]\nname = "lab"\n\n[relay]\nworkers = 3\nmx = ["a"]\n\n[delivery]\nfirst_retry_s = 1.5\n'


def test_a_lab_for_measuring_has_its_own_rules_and_no_limits(tmp_path: Path) -> None:
    settings = lab.make(
        tmp_path / "lab", rules={yararules.PACK: yararules.rules(10)}, changes={"relay": {"workers": 1}}
    )
    assert settings.relay.workers == 1
    assert settings.relay.max_sessions == lab.NO_LIMITS["max_sessions"]
    assert config.load(tmp_path / "lab" / "hudhud.toml").settings == settings


async def test_the_collector_takes_what_a_relay_ships(tmp_path: Path) -> None:
    import httpx

    settings = lab.make(tmp_path / "lab")
    folder = tmp_path / "lab" / "tls"
    context = tls.client_context(folder / "ca.pem", cert=folder / "relay.pem", key=folder / "relay.key")
    assert issubclass(collector.Order, msgspec.Struct)
    async with lab.collecting(tmp_path / "lab", settings), httpx.AsyncClient(verify=context, trust_env=False) as client:
        for size in (1, 100_000):
            answer = await client.post(f"{settings.intake.url}/v1/events", content=b"x" * size)
            assert answer.status_code == 202


def test_copied_packets_have_other_addresses_and_right_checksums(tmp_path: Path) -> None:
    from deploy.capture import make_capture
    from sensors import dissect

    made = make_capture(tmp_path / "one.pcap")
    assert traffic.count(tmp_path / "one.pcap") == made
    assert traffic.multiply(tmp_path / "one.pcap", tmp_path / "three.pcap", 3) == 3 * made
    assert (
        traffic.head(tmp_path / "three.pcap", tmp_path / "part.pcap", 10) == traffic.count(tmp_path / "part.pcap") == 10
    )
    scapy = dissect.layers()
    for _, frame in [*traffic.records(tmp_path / "three.pcap")][:300]:
        packet = scapy.Ether(frame)
        written = packet[scapy.IP].chksum, packet.lastlayer() and frame
        del packet[scapy.IP].chksum
        assert scapy.Ether(bytes(packet))[scapy.IP].chksum == written[0]


def test_medians_and_ratios_are_of_the_same_rounds() -> None:
    rounds = []
    for turn, (ours, theirs) in enumerate([(2.0, 8.0), (4.0, 10.0), (3.0, 12.0)]):
        for case in CASES:
            rounds.append(Round(case.name, "hudhud", 100, 1.0 + turn, ours, 1.0, 0.0, (1.0, 2.0)))
            rounds.append(Round(case.name, "postfix+rspamd", 100, 2.0, theirs, 1.0, 0.0, (1.0,)))
    found = Measured(rounds, [Round("10k", "hudhud", 10, 1.0, 1.0, 1.0, 0.0, tuple(map(float, range(100))))], 123.4, ())
    shown = figures(found)["relay"]
    assert isinstance(shown, dict)
    assert shown["10k"] == {"msgs_per_s": 50.0, "cpu_ms": 3.0, "vs_postfix_rspamd": 4.0, "vs_postfix_rspamd_wall": 1.0}
    assert (shown["rss_mb_per_worker"], shown["accept_p50_ms"], shown["accept_p99_ms"]) == (123.4, 50.0, 99.0)
    assert set(shown) >= {"10k", "10k-reused", "2k", "100k"}
    alone = Measured([one for one in rounds if one.system == "hudhud"], found.paced, 1.0, ())
    assert json.loads(codec.encode(figures(alone)))["relay"]["2k"]["vs_postfix_rspamd"] is None


def test_quantiles_are_by_nearest_rank() -> None:
    assert quantile([], 0.99) == 0.0
    assert quantile([5.0], 0.5) == 5.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile(list(map(float, range(1000))), 0.99) == 990.0
