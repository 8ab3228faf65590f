"""Matches, alerts and correlation results in Elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from cert import records
from cert.cluster import CONFLICT, Cluster, Conflict, Document, Line
from cert.elastic_events import ACCURATE, counted
from cert.incident import MAX_KEYS
from cert.moment import microseconds, moment_of
from cert.partition import partition_of
from cert.store import (
    DISPOSITION,
    Added,
    Alert,
    AlertQuery,
    AlertSummary,
    Match,
    Page,
    Results,
    Sighting,
    Stale,
    StoreDown,
)
from hudhud import codec

MAX_NAMES: Final = 1_000  # of bodies and rules in a summary
PART: Final = 5_000  # documents read in one request where all are wanted


def digest(*parts: str) -> str:
    """A document id that any texts can stand in."""
    return sha256("\0".join(parts).encode()).hexdigest()


class AlertIndices:
    """What cert.store.Store says of matches, alerts and results."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._matches, self._alerts = cluster.index("matches", "*"), cluster.index("alerts", "*")

    # matches
    async def add_matches(self, matches: Sequence[Match], now: datetime) -> Added:
        lines, owners = [], []
        for match in matches:
            index = self._cluster.index("matches", partition_of(match.timestamp, now))
            for counts in match.counted:
                under = digest(counts.rule, counts.key)
                document = {
                    "under": under, "id": match.id, "rule": match.rule, "value": counts.value,
                    "time": microseconds(match.timestamp),
                }  # fmt: skip
                lines.append(Line("create", index, digest(under, match.id), codec.encode(document)))
                owners.append(match.id)
        outcomes = await self._cluster.bulk(lines, refresh=True)
        refused = counted(outcomes).refused
        stored = {owner for owner, outcome in zip(owners, outcomes, strict=True) if outcome.status < 400}
        return Added(len(stored), len(matches) - len(stored) - len(refused), refused)

    async def sightings(self, rule: str, key: str, start: datetime, end: datetime) -> tuple[Sighting, ...]:
        filters: list[Document] = [
            {"term": {"under": digest(rule, key)}},
            {"range": {"time": {"gte": microseconds(start), "lte": microseconds(end)}}},
        ]
        sort = [
            {"time": {"order": "asc", "unmapped_type": "long"}},
            {"id": {"order": "asc", "unmapped_type": "keyword"}},
        ]
        found = await self._every(self._matches, filters, sort)
        return tuple(Sighting(moment_of(one["time"]), one["id"], one["rule"], one["value"]) for one in found)

    async def _every(self, index: str, filters: Sequence[Document], sort: Sequence[Document]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: list[Any] = []
        while True:
            wanted: dict[str, Any] = {"query": {"bool": {"filter": filters}}, "sort": sort, "size": PART}
            answer = await self._cluster.search(index, {**wanted, **({"search_after": after} if after else {})})
            hits = answer["hits"]["hits"]
            found += [{**hit["_source"], "_index": hit["_index"]} for hit in hits]
            if len(hits) < PART:
                return found
            after = hits[-1]["sort"]

    # alerts
    async def add_alerts(self, alerts: Sequence[Alert], now: datetime) -> Added:
        lines = [
            Line("create", self._cluster.index("alerts", partition_of(one.timestamp, now)), one.id, _body(one))
            for one in alerts
        ]
        return counted(await self._cluster.bulk(lines, refresh=True))

    async def assignments(self, alerts: Sequence[Alert]) -> Mapping[str, str]:
        return {one["id"]: one["incident"] for one in await self._stored(alerts)}

    async def withdraw_alerts(self, alerts: Sequence[Alert]) -> None:
        stored = await self._stored(alerts)
        await self._cluster.bulk([Line("delete", one["_index"], one["id"], b"") for one in stored], refresh=True)

    async def assign_alerts(self, alerts: Sequence[Alert], incident: str) -> None:
        change = codec.encode({"doc": {"incident": incident}})
        stored = await self._stored(alerts)
        lines = [Line("update", one["_index"], one["id"], change) for one in stored]
        for outcome in await self._cluster.bulk(lines, refresh=True):
            if outcome.status == CONFLICT:
                raise StoreDown(f"alert {outcome.id} was written at the same time")

    async def _stored(self, alerts: Sequence[Alert]) -> list[dict[str, Any]]:
        sort = [{"id": {"order": "asc", "unmapped_type": "keyword"}}]
        found = []
        for start in range(0, len(alerts), PART):
            ids = [alert.id for alert in alerts[start : start + PART]]
            found += await self._every(self._alerts, [{"terms": {"id": ids}}], sort)
        return found

    async def alerts(self, query: AlertQuery) -> Page[Alert]:
        sort = [
            {"time": {"order": "desc", "unmapped_type": "long"}},
            {"id": {"order": "desc", "unmapped_type": "keyword"}},
        ]
        wanted: dict[str, Any] = {"query": {"bool": {"filter": _filters(query)}}, "sort": sort, "size": query.limit + 1}
        if query.after:
            wanted["search_after"] = codec.decode(query.after)
        hits = (await self._cluster.search(self._alerts, wanted))["hits"]["hits"]
        shown = hits[: query.limit]
        after = codec.encode(shown[-1]["sort"]).decode() if len(hits) > len(shown) else ""
        return Page(tuple(_alert(hit["_source"]) for hit in shown), after)

    async def summary(self, incidents: Sequence[str]) -> AlertSummary:
        def names(field: str, size: int, order: Document | None = None) -> Document:
            ordered = {"order": order} if order else {"order": {"_key": "asc"}}
            return {"terms": {"field": field, "size": size, "shard_size": ACCURATE, **ordered}}

        asked = {
            "first": {"min": {"field": "time"}},
            "last": {"max": {"field": "time"}},
            "severity": {"max": {"field": "severity"}},
            "entity": names("entity", MAX_NAMES),
            "rule": names("rule", MAX_NAMES),
            "threat": names("threat", MAX_NAMES),
            "disposition": names("disposition", MAX_NAMES),
            "keys": {"terms": {"field": "keys", "size": MAX_KEYS, "shard_size": ACCURATE}},
        }
        query = {"bool": {"filter": [{"terms": {"incident": list(incidents)}}]}}
        wanted = {"query": query, "size": 0, "aggs": asked, "track_total_hits": True}
        answer = await self._cluster.search(self._alerts, wanted)
        count = answer["hits"]["total"]["value"]
        if not count:
            return AlertSummary(0, None, None, 0, (), (), (), ())
        found = answer["aggregations"]

        def listed(name: str) -> tuple[str, ...]:
            return tuple(bucket["key"] for bucket in found[name]["buckets"] if bucket["key"])

        return AlertSummary(
            count,
            moment_of(int(found["first"]["value"])),
            moment_of(int(found["last"]["value"])),
            int(found["severity"]["value"]),
            listed("entity"),
            listed("rule"),
            listed("keys"),
            listed("threat"),
            {bucket["key"]: bucket["doc_count"] for bucket in found["disposition"]["buckets"] if bucket["key"]},
        )

    # results
    async def results(self, rule: str, key: str) -> Results:
        found = await self._cluster.get(self._cluster.index("results"), digest(rule, key))
        return records.RESULTS.fit(found["document"]) if found else Results(rule, key)

    async def put_results(self, results: Sequence[Results]) -> None:
        for one in results:
            fresh = replace(one, version=one.version + 1)
            body = codec.encode({"document": records.document(fresh)})
            try:
                await self._cluster.put(self._cluster.index("results"), digest(one.rule, one.key), body, fresh.version)
            except Conflict:
                there = await self.results(one.rule, one.key)
                raise Stale(f"results of {one.rule} for {one.key}", one.version, there.version) from None


def _body(alert: Alert) -> bytes:
    disposition = alert.facts.get(DISPOSITION)
    return codec.encode(
        {
            "id": alert.id, "time": microseconds(alert.timestamp), "rule": alert.rule, "entity": alert.entity,
            "severity": alert.severity, "threat": alert.threat, "incident": alert.incident, "keys": list(alert.keys),
            "disposition": disposition if isinstance(disposition, str) else "", "document": records.document(alert),
        }
    )  # fmt: skip


def _alert(source: Document) -> Alert:
    return replace(records.ALERT.fit(source["document"]), incident=source["incident"])


def _filters(query: AlertQuery) -> list[Document]:
    found: list[Document] = []
    if query.incidents:
        found.append({"terms": {"incident": list(query.incidents)}})
    for field, value in (("entity", query.entity), ("rule", query.rule), ("keys", query.key)):
        if value is not None:
            found.append({"term": {field: value}})
    if query.start is not None:
        found.append({"range": {"time": {"gte": microseconds(query.start)}}})
    if query.end is not None:
        found.append({"range": {"time": {"lt": microseconds(query.end)}}})
    return found
