"""A small morning for the pipeline: events as relay and sensor send them, and the pipeline on a real store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import resources
from pathlib import Path

from cert import deadletter
from cert.batch import read_batch
from cert.incident import Incident
from cert.match import Matching
from cert.pipeline import Pipeline
from cert.store import AlertQuery, IncidentQuery, Store
from hudhud import codec
from hudhud.clock import VirtualClock
from hudhud.database import Database
from hudhud.entity import Registry
from hudhud.event import format_time
from hudhud.journal import Record
from hudhud.registry import parse_registry
from hudhud.settings import Intake
from rules.ruleset import compile_ruleset, library
from tests.conformance.store import NOW

MINISTRIES = {
    "FIN": "finance",
    "INT": "interior",
    "HEA": "health",
    "EDU": "education",
    "JUS": "justice",
    "TEL": "telecom",
}
LURE = ["t0:aaaa", "t1:bbbb", "t2:cccc"]


@cache
def matching() -> Matching:
    return Matching(compile_ruleset(library(), "library"))


@cache
def registry() -> Registry:
    return parse_registry({"registry.toml": (resources.files("hudhud") / "demo" / "registry.toml").read_bytes()})


@dataclass(frozen=True, slots=True)
class Known:
    matching: Matching
    registry: Registry


def mail(code: str = "FIN", action: str = "held", at: timedelta = timedelta(), **more: object) -> dict[str, object]:
    """A relay's event; fields written mail__lure are below hudhud."""
    found: dict[str, object] = {
        "@timestamp": format_time(NOW + at),
        "event": {
            "kind": "alert" if action == "held" else "event", "category": ["email"], "action": action,
            "dataset": "hudhud.mail", "provider": "hudhud-relay",
        },
        "organization": {"id": code},
        "email": {
            "from": {"address": ["noor@freemail.example"]},
            "to": {"address": [f"head@{MINISTRIES[code]}.saba.example"]}, "direction": "inbound",
        },
        "source": {"ip": "198.51.100.25"},
        "rule": {"id": ["HY-0601"], "version": ["1"]},
        "hudhud": {"mail": {"queue_id": "0-7H3K9QX2M4", "disposition": "hold", **more}},
    }  # fmt: skip
    return found


def sensed(
    rule: str, code: str = "FIN", at: timedelta = timedelta(), severity: int = 75, **more: object
) -> dict[str, object]:
    return {
        "@timestamp": format_time(NOW + at),
        "event": {"kind": "alert", "dataset": "hudhud.alert", "severity": severity, "reason": "seen"},
        "organization": {"id": code},
        "rule": {"id": rule, "name": rule},
        **more,
    }


class Morning:
    """Feed documents with `see`; look with `incidents`."""

    def __init__(self, store: Store, clock: VirtualClock, folder: Path) -> None:
        self.store, self.clock, self.folder = store, clock, folder
        self._dead = Database(folder / "deadletters.db", deadletter.SCHEMA)
        self.pipeline = Pipeline(store, Known(matching(), registry()), self._dead, folder / "outbox", clock)

    def records(self, documents: Sequence[dict[str, object]], first: int = 1, source: str = "relay") -> list[Record]:
        lines = [codec.encode({"sequence": first + n, "document": one}) for n, one in enumerate(documents)]
        batch = read_batch(source, b"\n".join(lines), self.clock.now(), Intake())
        assert not batch.dead
        return [Record(first + n, document) for n, document in enumerate(batch.documents)]

    async def see(self, *documents: dict[str, object], first: int = 1, source: str = "relay") -> None:
        await self.pipeline.work(self.records(documents, first, source))

    async def incidents(self) -> tuple[Incident, ...]:
        return (await self.store.incidents(IncidentQuery(limit=1000))).found

    async def partition(self) -> set[frozenset[str]]:
        """Events of mail and sensor alerts by the incident that they ended in."""
        found = set()
        for incident in await self.incidents():
            alerts = (await self.store.alerts(AlertQuery(incidents=incident.ids, limit=10_000))).found
            found.add(frozenset(one.event for one in alerts if one.event))
        return found

    def dead(self) -> list[deadletter.DeadLetter]:
        return deadletter.listed(self.folder / "deadletters.db")

    def notices(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "outbox").glob("*.eml"))

    def close(self) -> None:
        self._dead.close()
