"""Measures the store stage into a real Elasticsearch beside plain helpers.bulk of the same documents, in turn."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cert.cluster import Cluster
from cert.elastic import ElasticStore
from cert.elastic_events import body
from cert.fields import shape
from deploy.bench.lab import free_port
from deploy.bench.matching import enriched
from deploy.elasticsearch.server import Server
from hudhud import codec
from hudhud.cli import err
from hudhud.clock import SYSTEM
from hudhud.event import Event

BATCH = 500  # events of one request, on both sides
HEAP_MB = 1024


@dataclass(frozen=True, slots=True)
class Beside:
    """Documents a second through our store stage and through plain helpers.bulk, one pair a round."""

    pairs: tuple[tuple[float, float], ...]
    version: str

    @property
    def ratio(self) -> float:
        return statistics.median(ours / plain for ours, plain in self.pairs)


async def beside_bulk(count: int, rounds: int) -> Beside:
    """`count` documents on each side a round; raises Problem where Elasticsearch cannot be started."""
    with tempfile.TemporaryDirectory(prefix="hudhud-bench-") as folder:
        server = Server(Path(folder) / "elastic", free_port(), transport=free_port(), heap_mb=HEAP_MB)
        err("starting Elasticsearch …")
        await asyncio.to_thread(server.start)
        clusters = [Cluster((server.url,), prefix) for prefix in ("ours", "plain")]
        stores = [ElasticStore(cluster, SYSTEM) for cluster in clusters]
        try:
            for store in stores:
                await store.prepare()
            pairs = []
            for turn in range(rounds + 1):
                events = enriched(count if turn else count // 4, source=f"sensor:{turn}")
                pair = await _ours(stores[0], events), await _plain(clusters[1], events)
                if turn:  # the first warms up
                    pairs.append(pair)
            return Beside(tuple(pairs), server.dist.version)
        finally:
            for store in stores:
                await store.close()
            await asyncio.to_thread(server.stop)


async def _ours(store: ElasticStore, events: Sequence[Event]) -> float:
    begun = time.monotonic()
    for at in range(0, len(events), BATCH):
        added = await store.add_events(events[at : at + BATCH])
        assert not added.refused, added.refused[0]
        assert added.stored == len(events[at : at + BATCH])
    return len(events) / (time.monotonic() - begun)


async def _plain(cluster: Cluster, events: Sequence[Event]) -> float:
    """The same documents, ready made, by the library's own way: into a like index, with ids of the server's making."""
    documents = [codec.decode(body(shape(event))) for event in events]
    begun = time.monotonic()
    stored = await cluster.plain_bulk(documents)
    assert stored == len(events)
    return len(events) / (time.monotonic() - begun)
