"""The real Elasticsearch: found, chosen, and killed in the middle of the work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cert.cluster import Cluster
from cert.elastic import ElasticStore
from cert.store import Query
from deploy.elasticsearch.distribution import choose
from deploy.elasticsearch.java import Jdk, found
from deploy.elasticsearch.server import Server
from hudhud.cli import Exit, Problem
from hudhud.clock import SYSTEM, VirtualClock
from hudhud.journal import Cursor, Record
from tests.cert.morning import LURE, MINISTRIES, Morning, mail
from tests.conformance.store import NOW


def test_the_newest_java_that_will_do_is_chosen_and_an_old_one_says_it_is_reduced() -> None:
    old, new = Jdk(Path("/old"), 17), Jdk(Path("/new"), 25)
    assert choose((new, old)) == ("9.5.3", new, "")
    assert choose((old, new))[1] == new
    version, jdk, why = choose((old,))
    assert (version, jdk, "only Java 17" in why) == ("8.19.21", old, True)
    with pytest.raises(Problem) as caught:
        choose((Jdk(Path("/ancient"), 11),))
    assert caught.value.exit == Exit.UNAVAILABLE
    assert "apt install" in str(caught.value)


def test_what_is_found_is_there() -> None:
    assert all((jdk.home / "bin" / "java").exists() for jdk in found())


class Journalled:
    """The intake's journal, already written."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    def read(self, after: int, limit: int) -> list[Record]:
        return [record for record in self.records if record.sequence > after][:limit]


@pytest.mark.elastic
@pytest.mark.timeout(300)
async def test_killed_in_the_middle_it_loses_nothing_and_doubles_nothing(
    elastic_server: Server, elastic_url: str, prefix: str, tmp_path: Path
) -> None:
    store = ElasticStore(Cluster([elastic_url], prefix), SYSTEM)
    clock = VirtualClock(NOW)
    morning = Morning(store, clock, tmp_path)
    documents = [
        mail(
            list(MINISTRIES)[n // 100 % 5], "held" if n % 100 == 0 else "accepted", lure=LURE if n % 100 == 0 else None
        )
        for n in range(1500)
    ]
    records = [
        record for start in range(0, 1500, 500) for record in morning.records(documents[start : start + 500], start + 1)
    ]
    cursor, stop = Cursor(tmp_path / "cursor"), asyncio.Event()
    work = asyncio.create_task(morning.pipeline.run(Journalled(records), cursor, stop, batch=50, poll_s=0.1))
    while not 200 < cursor.position < 1400:
        await asyncio.sleep(0.02)
    await asyncio.to_thread(elastic_server.kill)
    while not morning.pipeline.progress.problem:
        await asyncio.sleep(0.05)
    stalled = cursor.position
    await asyncio.to_thread(elastic_server.start)
    while cursor.position < 1500:
        await asyncio.sleep(0.1)
        assert not work.done()
    stop.set()
    await work
    await store.settle()
    assert stalled < 1500
    assert sum(bucket.count for bucket in await store.histogram(Query(), "day")) == 1500
    (incident,) = await morning.incidents()
    assert incident.alerts == 15 + 1
    await store.close()
    morning.close()
