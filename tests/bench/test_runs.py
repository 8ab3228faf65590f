"""One small round through the real relay, the real sensor and the real pipeline, as the bench runs them."""

from datetime import UTC, datetime
from pathlib import Path

from cert.opening import open_store
from cert.store import Query
from deploy.bench import events, lab, process, relay, sensor, traffic
from deploy.bench.house import Source, pipelining
from deploy.capture import make_capture


async def test_a_round_through_the_relay_is_delivered_signed_and_has_a_cost(tmp_path: Path) -> None:
    async with relay.hudhud(tmp_path / "lab") as (system, running):
        got = await relay.one_round(system, relay.CASES[0], 25, first=0)
        assert len(running.workers) == relay.WORKERS
        assert set(running.workers) < set(process.tree(system.pids()))
    assert (got.count, len(got.accept_ms)) == (25, 25)
    assert got.cpu_ms > 0.1
    assert got.wall_s > 0.0


def test_a_reading_of_a_capture_has_a_cost(tmp_path: Path) -> None:
    packets = make_capture(tmp_path / "one.pcap")
    run = sensor.timed(sensor.ours(tmp_path / "one.pcap", packets))
    assert run.packets == packets == traffic.count(tmp_path / "one.pcap")
    assert run.cpu_s > 0.05
    assert run.rss > 10_000_000


async def test_events_of_a_source_are_stored_once(tmp_path: Path) -> None:
    settings = lab.make(tmp_path / "lab")
    async with pipelining(tmp_path / "lab", settings) as running:
        source, store = Source(tmp_path / "lab", settings), open_store(settings)
        last = await source.write(events.documents(300, datetime.now(UTC)))
        async with source.shipping():
            await running.through(source, last, 60.0)
        assert running.behind() == 0
        assert sum(bucket.count for bucket in await store.counts(Query(), "event.dataset")) == 300
        await store.close()
        source.close()
