"""Events in Elasticsearch: an index for each UTC day, searched by query DSL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from cert.cluster import CONFLICT, Cluster, Document, Line, Outcome
from cert.condition import Is, Node
from cert.fields import kind_of
from cert.folding import folded
from cert.partition import UNDATED, other_partition, partition_of
from cert.query_dsl import compile_dsl, dates, folded_name
from cert.store import Added, Bucket, Page, Query, Refused
from hudhud import codec
from hudhud.event import Event, format_time, parse_time

KIND: Final = "events"
ACCURATE: Final = 5_000  # buckets each shard counts, so that the most frequent of all shards are exact
TIES: Final = 200  # buckets asked beyond the limit, to order equal counts as the other store does
MAX_STEPS: Final = 60_000  # buckets of a histogram
NANOS: Final = "strict_date_optional_time_nanos"


class EventIndices:
    """What cert.store.Store says of events."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._all = cluster.index(KIND, "*")

    async def add(self, events: Sequence[Event], now: datetime) -> Added:
        """Store shaped events, each once: an id that is there is known, never written over."""
        elsewhere = await self._held_elsewhere(events, now)
        lines = [
            Line("create", self._cluster.index(KIND, partition_of(event.timestamp, now)), event.id, body(event))
            for event in events
            if event.id not in elsewhere
        ]
        return counted(await self._cluster.bulk(lines), len(elsewhere))

    async def _held_elsewhere(self, events: Sequence[Event], now: datetime) -> set[str]:
        """Ids of events near a bound of the dated days that lie on the other side of it."""
        found = set()
        for event in events:
            partition = other_partition(event.timestamp, now)
            if partition and await self._cluster.get(self._cluster.index(KIND, partition), event.id) is not None:
                found.add(event.id)
        return found

    async def find(self, id: str) -> Event | None:
        page = await self.search(Is("event.id", id), Query(limit=1))
        return page.found[0] if page.found else None

    async def search(self, node: Node, asked: Query) -> Page[Event]:
        sort = [
            {"@timestamp": {"order": "desc", "format": NANOS, "unmapped_type": "date_nanos"}},
            {"event.id": {"order": "desc", "unmapped_type": "keyword"}},
        ]
        wanted: dict[str, Any] = {"query": _query(node, asked), "sort": sort, "size": asked.limit + 1}
        if asked.after:
            wanted["search_after"] = codec.decode(asked.after)
        answer = await self._cluster.search(self._all, {**wanted, "track_total_hits": False})
        hits = answer["hits"]["hits"]
        shown = hits[: asked.limit]
        after = codec.encode(shown[-1]["sort"]).decode() if len(hits) > len(shown) else ""
        return Page(tuple(_event(hit["_source"]) for hit in shown), after)

    async def counts(self, node: Node, asked: Query, field: str, limit: int) -> tuple[Bucket, ...]:
        by = {
            "terms": {
                "field": field,
                "size": limit + TIES,
                "shard_size": ACCURATE + limit,
                "order": [{"_count": "desc"}, {"_key": "asc"}],
            }
        }
        found = await self._aggregate(node, asked, by)
        named = ((_name(field, bucket), int(bucket["doc_count"])) for bucket in found)
        ordered = sorted(named, key=lambda pair: (-pair[1], pair[0]))
        return tuple(Bucket(name, count) for name, count in ordered[:limit])

    async def histogram(self, node: Node, asked: Query, step: Literal["minute", "hour", "day"]) -> tuple[Bucket, ...]:
        by = {"date_histogram": {"field": "@timestamp", "calendar_interval": step, "min_doc_count": 1}}
        found = await self._aggregate(node, asked, by)
        moments = ((datetime.fromtimestamp(bucket["key"] / 1000, UTC), bucket["doc_count"]) for bucket in found)
        return tuple(Bucket(format_time(moment), count) for moment, count in moments)

    async def _aggregate(self, node: Node, asked: Query, by: Document) -> list[Document]:
        wanted = {"query": _query(node, asked), "size": 0, "aggs": {"by": by}, "track_total_hits": False}
        answer = await self._cluster.search(self._all, wanted)
        return list(answer["aggregations"]["by"]["buckets"]) if "aggregations" in answer else []

    async def settle(self) -> None:
        await self._cluster.refresh(self._all)


def body(event: Event) -> bytes:
    """The document of a shaped event: dotted names, its folded words beside them."""
    words = {folded_name(name): lines for name, lines in folded(event.fields).items()}
    return codec.encode({"@timestamp": format_time(event.timestamp), **event.fields, **words})


def counted(outcomes: Sequence[Outcome], known: int = 0) -> Added:
    """What a bulk of creates came to."""
    refused = [Refused(one.id, one.reason) for one in outcomes if one.status >= 400 and one.status != CONFLICT]
    held = sum(one.status == CONFLICT for one in outcomes)
    return Added(len(outcomes) - held - len(refused), held + known, tuple(refused))


async def drop_days(cluster: Cluster, kinds: Sequence[str], day: datetime) -> int:
    """Delete the indices of days that ended before `day`; how many."""
    gone = 0
    for kind in kinds:
        begin = cluster.index(kind, "")
        for name in await cluster.names(cluster.index(kind, "*")):
            partition = name.removeprefix(f"{begin}-")
            if partition != UNDATED and partition < f"{day:%Y-%m-%d}":
                await cluster.delete_index(name)
                gone += 1
    return gone


def _event(source: dict[str, Any]) -> Event:
    moment = parse_time(source.pop("@timestamp"))
    return Event(source["event.id"], moment, source)


def _query(node: Node, asked: Query) -> Document:
    filters: list[Document] = [compile_dsl(node)]
    if asked.entity is not None:
        filters.append({"term": {"organization.id": {"value": asked.entity}}})
    bounds = {
        sign: format_time(moment) for sign, moment in (("gte", asked.start), ("lt", asked.end)) if moment is not None
    }
    if bounds:
        filters.append(dates("@timestamp", bounds))
    return {"bool": {"filter": filters}}


def _name(field: str, bucket: Document) -> str:
    """A bucket's value as the text that both stores show."""
    if kind_of(field) == "date":
        return format_time(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=bucket["key"]))
    if kind_of(field) == "boolean":
        return str(bucket["key_as_string"])
    return str(bucket["key"])
