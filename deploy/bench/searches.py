"""Searches over ten million events in SQLite: how long each takes. An hour's work, most of it the filling."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cert.sqlite import SqliteStore
from cert.store import Query
from deploy.bench.matching import enriched
from hudhud.cli import progress
from hudhud.clock import SYSTEM
from hudhud.event import Event, event_id

EVENTS = 10_000_000
BATCH = 5000
SPAN = timedelta(days=20)  # over which they are spread
QUERIES = (
    "event.dataset:hudhud.mail AND event.action:held",
    "dns.question.name:bluegate.*",
    "source.ip:192.0.2.36",
    "destination.ip:[198.51.100.10 TO 198.51.100.20]",
    "email.from.address:presshouse@freemail.example",
    'user_agent.original:"curl/8.5.0" AND url.path:*datadesk*',
    "organization.id:FIN AND destination.port:443",
    "hudhud.mail.disposition:hold AND organization.id:(HEA OR EDU)",
    "tls.client.server_name:*.riverview.example",
    "NOT event.dataset:hudhud.flow AND source.ip:192.0.2.100",
)
REPEATS = 5


async def p95_ms(count: int = EVENTS) -> float:
    """The 95th percentile of all searches, in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="hudhud-bench-") as folder:
        store = SqliteStore(Path(folder) / "store", SYSTEM)
        try:
            await _fill(store, count)
            waits = []
            for _ in range(REPEATS):
                for text in QUERIES:
                    begun = time.monotonic()
                    await store.search(Query(text))
                    waits.append((time.monotonic() - begun) * 1000)
        finally:
            await store.close()
    return sorted(waits)[int(len(waits) * 0.95)]


async def _fill(store: SqliteStore, count: int) -> None:
    pattern = enriched(BATCH)
    begin = datetime.now(UTC) - SPAN
    with progress("filling", count / BATCH) as bar:
        for batch in range(count // BATCH):
            moment = begin + SPAN * (batch * BATCH / count)
            events = []
            for place, event in enumerate(pattern):
                identity = event_id("sensor:filled", batch * BATCH + place)
                stamp = moment + timedelta(milliseconds=place)
                events.append(Event(identity, stamp, {**event.fields, "event.id": identity}))
            await store.add_events(events)
            bar.advance(1)
