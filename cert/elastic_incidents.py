"""Incidents and their timelines in Elasticsearch.

There are no transactions over two documents. So the timeline entries of a change are written inside the incident's own
document, and moved to the timeline's index before the next change takes their place: none is ever lost or doubled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cert import records
from cert.cluster import Cluster, Conflict, Document, Line
from cert.folding import words
from cert.incident import Change, Entry, Incident, Status, search_words
from cert.moment import microseconds
from cert.store import IncidentQuery, Page, Stale
from hudhud import codec

ORDER: Final[Mapping[str, tuple[str, ...]]] = {"newest": ("opened", "id"), "severity": ("severity", "opened", "id")}


class IncidentIndices:
    """What cert.store.Store says of incidents."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._incidents, self._timeline = cluster.index("incidents"), cluster.index("timeline")

    async def incident(self, id: str) -> Incident | None:
        found = await self._cluster.get(self._incidents, id)
        return records.INCIDENT.fit(found["document"]) if found else None

    async def incidents(self, query: IncidentQuery) -> Page[Incident]:
        kinds = {"id": "keyword"}
        sort = [{name: {"order": "desc", "unmapped_type": kinds.get(name, "long")}} for name in ORDER[query.order]]
        wanted: dict[str, Any] = {"query": {"bool": _conditions(query)}, "sort": sort, "size": query.limit + 1}
        if query.after:
            wanted["search_after"] = codec.decode(query.after)
        hits = (await self._cluster.search(self._incidents, wanted))["hits"]["hits"]
        shown = hits[: query.limit]
        after = codec.encode(shown[-1]["sort"]).decode() if len(hits) > len(shown) else ""
        return Page(tuple(records.INCIDENT.fit(hit["_source"]["document"]) for hit in shown), after)

    async def status_counts(self, entity: str | None) -> Mapping[Status, int]:
        query = {"match_all": {}} if entity is None else {"term": {"entities": entity}}
        wanted = {"query": query, "size": 0, "aggs": {"by": {"terms": {"field": "status", "size": len(Status)}}}}
        answer = await self._cluster.search(self._incidents, wanted)
        found = answer["aggregations"]["by"]["buckets"] if "aggregations" in answer else []
        return {Status(bucket["key"]): bucket["doc_count"] for bucket in found}

    async def put_incident(self, change: Change) -> Incident:
        incident = change.incident
        before = await self._cluster.get(self._incidents, incident.id)
        found = int(before["version"]) if before else 0
        if found != change.expected:
            raise Stale(f"incident {incident.id}", change.expected, found)
        if before and before["entries"]:
            await self._keep(before)
        try:
            await self._cluster.put(self._incidents, incident.id, _body(change), incident.version)
        except Conflict:
            there = await self.incident(incident.id)
            raise Stale(f"incident {incident.id}", change.expected, there.version if there else 0) from None
        return incident

    async def _keep(self, before: Document) -> None:
        """Move the entries of the last change to the timeline's index."""
        lines = []
        for number, one in enumerate(before["entries"]):
            row = {"incident": one["incident"], "version": before["version"], "number": number, "document": one}
            lines.append(Line("create", self._timeline, one["id"], codec.encode(row)))
        await self._cluster.bulk(lines, refresh=True)

    async def timeline(self, incident: str, limit: int) -> tuple[Entry, ...]:
        latest = await self._cluster.get(self._incidents, incident)
        sort = [{name: {"order": "asc", "unmapped_type": "long"}} for name in ("version", "number")]
        wanted = {"query": {"term": {"incident": incident}}, "sort": sort, "size": limit}
        hits = (await self._cluster.search(self._timeline, wanted))["hits"]["hits"]
        documents = {hit["_id"]: hit["_source"]["document"] for hit in hits}
        if latest:
            documents |= {one["id"]: one for one in latest["entries"]}
        return tuple(records.ENTRY.fit(one) for one in documents.values())[:limit]


def _body(change: Change) -> bytes:
    incident = change.incident
    return codec.encode(
        {
            "id": incident.id, "version": incident.version, "status": incident.status.value,
            "severity": incident.severity, "opened": microseconds(incident.opened), "owner": incident.owner,
            "audience": incident.audience, "entities": list(incident.entities), "words": search_words(incident),
            "document": records.document(incident), "entries": [records.document(entry) for entry in change.entries],
        }
    )  # fmt: skip


def _conditions(query: IncidentQuery) -> Document:
    filters: list[Document] = []
    if query.statuses:
        filters.append({"terms": {"status": [status.value for status in query.statuses]}})
    for field, value in (("entities", query.entity), ("owner", query.owner), ("audience", query.audience)):
        if value is not None:
            filters.append({"term": {field: value}})
    if query.severity:
        filters.append({"range": {"severity": {"gte": query.severity}}})
    filters += [{"prefix": {"words": {"value": word}}} for word in words(query.text)]
    found: dict[str, object] = {"filter": filters}
    if not query.statuses:
        found["must_not"] = [{"term": {"status": Status.MERGED.value}}]
    return found
