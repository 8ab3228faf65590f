"""Incidents and their timelines in SQLite; desk and console both write."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from cert import records
from cert.folding import words
from cert.incident import Change, Entry, Incident, Status, search_words
from cert.moment import microseconds
from cert.sqlite_words import Conditions, version_of
from cert.store import IncidentQuery, Page, Stale
from hudhud.database import Connection, Database

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS incidents(
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, status TEXT NOT NULL, severity INTEGER NOT NULL,
    opened INTEGER NOT NULL, owner TEXT NOT NULL, audience TEXT NOT NULL, words TEXT NOT NULL, document BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS incidents_opened ON incidents(opened, id);
CREATE INDEX IF NOT EXISTS incidents_status ON incidents(status, opened, id);
CREATE TABLE IF NOT EXISTS incident_entities(
    entity TEXT, incident TEXT, PRIMARY KEY (entity, incident)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS timeline(
    id TEXT PRIMARY KEY, incident TEXT NOT NULL, version INTEGER NOT NULL, number INTEGER NOT NULL,
    document BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS timeline_incident ON timeline(incident, version, number);
"""


class Incidents:
    """Reads block for less than a millisecond each; writes wait for their fsync."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def incident(self, id: str) -> Incident | None:
        found = self._database.read("SELECT document FROM incidents WHERE id = ?", (id,))
        return records.INCIDENT.read(found[0][0]) if found else None

    def incidents(self, query: IncidentQuery) -> Page[Incident]:
        found = self._database.read(*_incident_statement(query))
        shown = found[: query.limit]
        after = ":".join(str(part) for part in shown[-1][:3]) if len(found) > len(shown) else ""
        return Page(tuple(records.INCIDENT.read(row[3]) for row in shown), after)

    def status_counts(self, entity: str | None) -> Mapping[Status, int]:
        text = "SELECT status, count(*) FROM incidents"
        if entity is not None:
            text += " WHERE id IN (SELECT incident FROM incident_entities WHERE entity = ?)"
        found = self._database.read(text + " GROUP BY status", () if entity is None else (entity,))
        return {Status(status): number for status, number in found}

    async def put_incident(self, change: Change) -> Incident:
        await self._database.commit(partial(_put_incident, change))
        return change.incident

    def timeline(self, incident: str, limit: int) -> tuple[Entry, ...]:
        found = self._database.read(
            "SELECT document FROM timeline WHERE incident = ? ORDER BY version, number LIMIT ?", (incident, limit)
        )
        return tuple(records.ENTRY.read(document) for (document,) in found)


def _incident_statement(query: IncidentQuery) -> tuple[str, tuple[Any, ...]]:
    conditions = Conditions()
    if query.statuses:
        conditions.one_of("status", [status.value for status in query.statuses])
    else:
        conditions.add("status <> 'merged'")
    if query.entity is not None:
        conditions.add("id IN (SELECT incident FROM incident_entities WHERE entity = ?)", query.entity)
    if query.owner is not None:
        conditions.add("owner = ?", query.owner)
    if query.audience is not None:
        conditions.add("audience = ?", query.audience)
    if query.severity:
        conditions.add("severity >= ?", query.severity)
    for word in words(query.text):
        conditions.add("instr(words, ?) > 0", f" {word}")
    order = "severity DESC, opened DESC, id DESC" if query.order == "severity" else "opened DESC, id DESC"
    if query.after:
        severity, opened, identity = query.after.split(":", 2)
        if query.order == "severity":
            conditions.add("(severity, opened, id) < (?, ?, ?)", int(severity), int(opened), identity)
        else:
            conditions.add("(opened, id) < (?, ?)", int(opened), identity)
    return (
        f"SELECT severity, opened, id, document FROM incidents{conditions.where} ORDER BY {order} LIMIT ?",  # noqa: S608 - our words
        conditions.bindings(query.limit + 1),
    )


def _put_incident(change: Change, connection: Connection) -> None:
    incident = change.incident
    version = version_of(connection, "SELECT version FROM incidents WHERE id = ?", (incident.id,))
    if version != change.expected:
        raise Stale(f"incident {incident.id}", change.expected, version)
    connection.execute(
        "INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (incident.id, incident.version, incident.status.value, incident.severity, microseconds(incident.opened),
         incident.owner, incident.audience, " " + search_words(incident), records.write(incident)),
    )  # fmt: skip
    connection.execute("DELETE FROM incident_entities WHERE incident = ?", (incident.id,))
    connection.executemany(
        "INSERT INTO incident_entities VALUES (?, ?)", [(entity, incident.id) for entity in incident.entities]
    )
    connection.executemany(
        "INSERT OR IGNORE INTO timeline VALUES (?, ?, ?, ?, ?)",
        [(e.id, e.incident, incident.version, number, records.write(e)) for number, e in enumerate(change.entries)],
    )
