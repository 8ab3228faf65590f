"""Measures the pipeline: events a second all in, and the store's stage against plain bulk. Called by `hudhud bench`."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cert import deadletter
from cert.batch import journalled_event, read_batch
from cert.cluster import Cluster
from cert.elastic import ElasticStore
from cert.elastic_events import body
from cert.enrich import enrich
from cert.fields import shape
from cert.match import Matching
from cert.pipeline import Pipeline
from cert.sqlite import SqliteStore
from cert.store import Store
from hudhud import codec
from hudhud.clock import SYSTEM
from hudhud.database import Database
from hudhud.entity import Registry
from hudhud.event import format_time
from hudhud.journal import Record
from hudhud.settings import Intake


@dataclass(frozen=True, slots=True)
class Pace:
    """How many events, in how many seconds of the clock and of the processor (all threads of this process)."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.events / self.seconds


@dataclass(frozen=True, slots=True)
class Known:
    """Rules and registry that do not change while it is measured."""

    matching: Matching
    registry: Registry


def made(number: int, registry: Registry, start: datetime, seed: int = 1) -> list[bytes]:
    """Lines as sources send them: half mail, half network; a few refused, one in five hundred held."""
    chance = random.Random(seed)  # noqa: S311 - the same events in every run
    codes = [code for code, entity in registry.entities.items() if entity.domains]
    lines = []
    for sequence in range(number):
        at = format_time(start + timedelta(milliseconds=20 * sequence))
        entity = registry.entities[chance.choice(codes)]
        document = _mail(chance, entity.domains[0]) if chance.random() < 0.5 else _network(chance)
        whole = {"@timestamp": at, "organization": {"id": entity.code}, **document}
        lines.append(codec.encode({"sequence": sequence, "document": whole}))
    return lines


def _mail(chance: random.Random, domain: str) -> dict[str, object]:
    action = chance.choices(("accepted", "refused", "held"), (0.95, 0.048, 0.002))[0]
    rules = {"refused": ["H-NAT-02"], "held": ["HY-0101"]}.get(action, [])
    lure = [f"t{band}:{chance.getrandbits(64):x}" for band in range(6)]
    return {
        "event": {
            "kind": "alert" if action == "held" else "event", "category": ["email"], "action": action,
            "dataset": "hudhud.mail", "provider": "hudhud-relay",
        },
        "email": {
            "from": {"address": [f"u{chance.randrange(5000)}@{domain}"]}, "direction": "internal",
            "to": {"address": [f"u{chance.randrange(5000)}@{domain}"]},
            "message_id": f"<{chance.getrandbits(64):x}@{domain}>",
        },
        "source": {"ip": f"192.0.2.{chance.randrange(256)}"},
        "rule": {"id": rules},
        "hudhud": {
            "mail": {
                "queue_id": f"0-{chance.getrandbits(50):x}", "lure": lure, "size": chance.randrange(100_000),
                "sha256": f"{chance.getrandbits(256):064x}", "listener": "mx", "account": f"u{chance.randrange(5000)}",
            }
        },
    }  # fmt: skip


def _network(chance: random.Random) -> dict[str, object]:
    name = f"h{chance.randrange(20_000)}.example"
    return {
        "event": {
            "kind": "event", "category": ["network"], "provider": "hudhud-sensor",
            "dataset": chance.choice(("hudhud.dns", "hudhud.tls", "hudhud.flow")), "duration": chance.randrange(10**9),
        },
        "source": {"ip": f"192.0.2.{chance.randrange(256)}", "port": chance.randrange(1024, 65536), "bytes": 900},
        "destination": {"ip": f"203.0.113.{chance.randrange(256)}", "port": chance.choice((53, 443, 25)), "bytes": 99},
        "network": {"transport": "tcp", "community_id": f"1:{chance.getrandbits(120):x}", "protocol": "tls"},
        "tls": {"client": {"server_name": name, "ja3": f"{chance.getrandbits(128):x}"}},
        "dns": {"question": {"name": name, "type": "A"}},
    }  # fmt: skip


def journalled(lines: Sequence[bytes], now: datetime) -> list[Record]:
    """The lines as the intake's journal keeps them: its reading and checking is part of what is measured."""
    records = []
    for start in range(0, len(lines), 1000):
        batch = read_batch("bench", b"\n".join(lines[start : start + 1000]), now, Intake())
        records += [Record(start + number + 1, document) for number, document in enumerate(batch.documents)]
    return records


async def all_in(store: Store, lines: Sequence[bytes], known: Known, folder: Path, batch: int = 500) -> Pace:
    """Intake's reading, enrich, match, store, correlate, incidents, into `store`."""
    dead = Database(folder / "deadletters.db", deadletter.SCHEMA)
    pipeline = Pipeline(store, known, dead, folder / "outbox", SYSTEM)
    began, cpu = time.perf_counter(), time.process_time()
    records = journalled(lines, SYSTEM.now())
    for start in range(0, len(records), batch):
        await pipeline.work(records[start : start + batch])
    pace = Pace(len(records), time.perf_counter() - began, time.process_time() - cpu)
    dead.close()
    return pace


async def sqlite_all_in(folder: Path, number: int, known: Known) -> Pace:
    """Into an empty SQLite store in `folder`."""
    lines = made(number, known.registry, SYSTEM.now() - timedelta(milliseconds=20 * number))
    store = SqliteStore(folder / "store", SYSTEM)
    try:
        return await all_in(store, lines, known, folder)
    finally:
        await store.close()


async def elastic_against_bulk(url: str, number: int, known: Known, batch: int = 500) -> tuple[Pace, Pace]:
    """(the store's stage, plain bulk of the same documents) in turns, so that both meet the same machine."""
    lines = made(number, known.registry, SYSTEM.now() - timedelta(milliseconds=20 * number))
    events = [enrich(journalled_event(one.document), known.registry) for one in journalled(lines, SYSTEM.now())]
    cluster = Cluster([url], f"bench{random.randrange(10**9)}")  # noqa: S311 - a name
    store = ElasticStore(cluster, SYSTEM)
    await store.prepare()
    ours, plain = [0.0, 0.0], [0.0, 0.0]
    for start in range(0, len(events), batch):
        some = events[start : start + batch]
        documents = [codec.decode(body(shape(event))) for event in some]
        for paid, work in ((ours, store.add_events(some)), (plain, cluster.plain_bulk(documents))):
            began, cpu = time.perf_counter(), time.process_time()
            await work
            paid[0] += time.perf_counter() - began
            paid[1] += time.process_time() - cpu
    await store.close()
    return Pace(len(events), *ours), Pace(len(events), *plain)
