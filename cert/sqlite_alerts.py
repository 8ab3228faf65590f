"""Matches, alerts and correlation results in SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from cert import records
from cert.incident import MAX_KEYS
from cert.moment import microseconds, moment_of
from cert.sqlite_words import Conditions, version_of
from cert.store import DISPOSITION, Added, Alert, AlertQuery, AlertSummary, Match, Page, Results, Sighting, Stale
from hudhud.database import Connection, Database

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS matches(
    correlation TEXT, key TEXT, time INTEGER, id TEXT, rule TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (correlation, key, time, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alerts(
    id TEXT PRIMARY KEY, time INTEGER NOT NULL, rule TEXT NOT NULL, entity TEXT NOT NULL, severity INTEGER NOT NULL,
    threat TEXT NOT NULL, disposition TEXT NOT NULL, incident TEXT NOT NULL, document BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS alerts_time ON alerts(time, id);
CREATE INDEX IF NOT EXISTS alerts_incident ON alerts(incident, time, id);
CREATE INDEX IF NOT EXISTS alerts_entity ON alerts(entity, time, id);
CREATE TABLE IF NOT EXISTS alert_keys(key TEXT, time INTEGER, alert TEXT, PRIMARY KEY (key, time, alert)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results(
    rule TEXT, key TEXT, version INTEGER NOT NULL, document BLOB NOT NULL, PRIMARY KEY (rule, key)) WITHOUT ROWID;
"""
MAX_NAMES: Final = 1_000  # of bodies and rules in a summary


class Alerts:
    """Reads block for less than a millisecond each; writes wait for their fsync."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # matches
    async def add_matches(self, matches: Sequence[Match]) -> Added:
        return await self._database.commit(partial(_add_matches, matches))

    def sightings(self, rule: str, key: str, start: datetime, end: datetime) -> tuple[Sighting, ...]:
        found = self._database.read(
            "SELECT time, id, rule, value FROM matches WHERE correlation = ? AND key = ? AND time >= ? AND time <= ? "
            "ORDER BY time, id",
            (rule, key, microseconds(start), microseconds(end)),
        )
        return tuple(Sighting(moment_of(time), id_, its, value) for time, id_, its, value in found)

    # alerts
    async def add_alerts(self, alerts: Sequence[Alert]) -> Added:
        return await self._database.commit(partial(_add_alerts, alerts))

    def assignments(self, alerts: Sequence[Alert]) -> Mapping[str, str]:
        return dict(_by_ids(self._database, "SELECT id, incident FROM alerts WHERE id IN ({})", [a.id for a in alerts]))

    async def withdraw_alerts(self, alerts: Sequence[Alert]) -> None:
        def work(connection: Connection) -> None:
            connection.executemany("DELETE FROM alerts WHERE id = ?", [(alert.id,) for alert in alerts])
            gone = [(key, microseconds(alert.timestamp), alert.id) for alert in alerts for key in alert.keys]
            connection.executemany("DELETE FROM alert_keys WHERE key = ? AND time = ? AND alert = ?", gone)

        await self._database.commit(work)

    async def assign_alerts(self, alerts: Sequence[Alert], incident: str) -> None:
        def work(connection: Connection) -> None:
            rows = [(incident, alert.id) for alert in alerts]
            connection.executemany("UPDATE alerts SET incident = ? WHERE id = ?", rows)

        await self._database.commit(work)

    def alerts(self, query: AlertQuery) -> Page[Alert]:
        found = self._database.read(*_alert_statement(query))
        shown = found[: query.limit]
        after = f"{shown[-1][0]}:{shown[-1][1]}" if len(found) > len(shown) else ""
        return Page(tuple(_alert(document, incident) for _, _, document, incident in shown), after)

    def summary(self, incidents: Sequence[str]) -> AlertSummary:
        marks, ids = ",".join("?" * len(incidents)), tuple(incidents)
        rows = self._database.read(
            "SELECT count(*), min(time), max(time), max(severity) FROM alerts "  # noqa: S608 - marks are question marks
            f"WHERE incident IN ({marks})",
            ids,
        )
        count, first, last, severity = rows[0]

        def names(column: str) -> tuple[str, ...]:
            text = f"SELECT DISTINCT {column} FROM alerts WHERE incident IN ({marks}) ORDER BY 1 LIMIT {MAX_NAMES}"  # noqa: S608
            return tuple(name for (name,) in self._database.read(text, ids) if name)

        keys = self._database.read(
            "SELECT key FROM alert_keys JOIN alerts ON alerts.id = alert_keys.alert "  # noqa: S608 - marks
            f"WHERE incident IN ({marks}) GROUP BY key ORDER BY count(*) DESC, key LIMIT {MAX_KEYS}",
            ids,
        )
        dispositions = self._database.read(
            f"SELECT disposition, count(*) FROM alerts WHERE incident IN ({marks}) GROUP BY 1",  # noqa: S608 - marks
            ids,
        )
        return AlertSummary(
            count,
            moment_of(first) if count else None,
            moment_of(last) if count else None,
            severity or 0,
            names("entity"),
            names("rule"),
            tuple(key for (key,) in keys),
            names("threat"),
            {name: number for name, number in dispositions if name},
        )

    # results
    def results(self, rule: str, key: str) -> Results:
        found = self._database.read("SELECT document FROM results WHERE rule = ? AND key = ?", (rule, key))
        return records.RESULTS.read(found[0][0]) if found else Results(rule, key)

    async def put_results(self, results: Sequence[Results]) -> None:
        await self._database.commit(partial(_put_results, results))

    async def drop_before(self, day: datetime) -> int:
        def work(connection: Connection) -> None:
            for table in ("matches", "alerts", "alert_keys"):
                connection.execute(f"DELETE FROM {table} WHERE time < ?", (microseconds(day),))  # noqa: S608 - our names

        await self._database.commit(work)
        return 0


def _by_ids(database: Database, text: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(ids), 500):
        some = tuple(ids[start : start + 500])
        found += database.read(text.format(",".join("?" * len(some))), some)
    return found


def _add_matches(matches: Sequence[Match], connection: Connection) -> Added:
    stored = 0
    for match in matches:
        time, fresh = microseconds(match.timestamp), False
        for counted in match.counted:
            connection.execute(
                "INSERT OR IGNORE INTO matches VALUES (?, ?, ?, ?, ?, ?)",
                (counted.rule, counted.key, time, match.id, match.rule, counted.value),
            )
            fresh = fresh or connection.changes() > 0
        stored += fresh
    return Added(stored, len(matches) - stored)


def _add_alerts(alerts: Sequence[Alert], connection: Connection) -> Added:
    stored = 0
    for alert in alerts:
        time = microseconds(alert.timestamp)
        disposition = alert.facts.get(DISPOSITION)
        connection.execute(
            "INSERT OR IGNORE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (alert.id, time, alert.rule, alert.entity, alert.severity, alert.threat,
             disposition if isinstance(disposition, str) else "", alert.incident, records.write(alert)),
        )  # fmt: skip
        if not connection.changes():
            continue
        stored += 1
        connection.executemany(
            "INSERT OR IGNORE INTO alert_keys VALUES (?, ?, ?)", [(key, time, alert.id) for key in alert.keys]
        )
    return Added(stored, len(alerts) - stored)


def _alert(document: bytes, incident: str) -> Alert:
    return replace(records.ALERT.read(document), incident=incident)


def _alert_statement(query: AlertQuery) -> tuple[str, tuple[Any, ...]]:
    conditions = Conditions()
    if query.incidents:
        conditions.one_of("incident", query.incidents)
    if query.entity is not None:
        conditions.add("entity = ?", query.entity)
    if query.rule is not None:
        conditions.add("rule = ?", query.rule)
    if query.key is not None:
        conditions.add("id IN (SELECT alert FROM alert_keys WHERE key = ?)", query.key)
    if query.start is not None:
        conditions.add("time >= ?", microseconds(query.start))
    if query.end is not None:
        conditions.add("time < ?", microseconds(query.end))
    if query.after:
        time, _, identity = query.after.partition(":")
        conditions.add("(time, id) < (?, ?)", int(time), identity)
    return (
        f"SELECT time, id, document, incident FROM alerts{conditions.where} ORDER BY time DESC, id DESC LIMIT ?",  # noqa: S608 - our words
        conditions.bindings(query.limit + 1),
    )


def _put_results(all_results: Sequence[Results], connection: Connection) -> None:
    for results in all_results:
        named = (results.rule, results.key)
        version = version_of(connection, "SELECT version FROM results WHERE rule = ? AND key = ?", named)
        if version != results.version:
            raise Stale(f"results of {results.rule} for {results.key}", results.version, version)
        document = records.write(replace(results, version=version + 1))
        connection.execute(
            "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", (results.rule, results.key, version + 1, document)
        )
