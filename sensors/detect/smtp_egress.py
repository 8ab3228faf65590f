"""HS-SMTP-EGRESS: a host of a registry network speaks SMTP to an address that is not national, around the relay.

Fires on an SMTP conversation (greeting or commands seen, any port but submission's) from a server or staff network
whose host is neither the relay nor a registered mail host. A server is named: source.ip, destination.ip, HELO. A
staff network's conversations are counted per body: one alert at the first, one with the count when the window ends;
no host. Silent: the relay itself, mail hosts, mail to national addresses, public networks, submission (see
mail_abroad.py).

Fields: source.ip (server), destination.ip/port, hudhud.smtp.helo (server), hudhud.count.sessions, hudhud.count.hosts
(staff).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from hudhud.event import Value
from sensors.detect.alert import Alert, Bounded, Seen
from sensors.place import Places
from sensors.privacy import named

WINDOW_S = 3600.0  # one alert per server and destination, or per staff body, in so long
MAX_PAIRS = 10_000  # server and destination remembered
MAX_BODIES = 1_000
MAX_HOSTS = 10_000  # hosts of one body that are told apart
SEVERITY_SERVER, SEVERITY_STAFF = 70, 50
SUBMISSION = frozenset((465, 587))


@dataclass(slots=True)
class _Count:
    sessions: int = 0
    hosts: set[bytes] = field(default_factory=set)


class SmtpEgress:
    rule = "HS-SMTP-EGRESS"
    name = "SMTP to a foreign address around the relay"
    datasets = frozenset(("smtp",))

    def __init__(self, places: Places, salt: bytes) -> None:
        self.counters: dict[str, int] = {"repeated": 0}
        self._places, self._salt = places, salt
        self._pairs: Bounded[tuple[str, str], int] = Bounded(MAX_PAIRS, WINDOW_S, self.counters, "pairs")
        self._staff: Bounded[str, _Count] = Bounded(MAX_BODIES, WINDOW_S, self.counters, "bodies")
        self._over: list[tuple[str, float, _Count]] = []

    def see(self, seen: Seen) -> Iterator[Alert]:
        source, destination, flow = seen.ends.source, seen.ends.destination, seen.observation.flow
        if source.entity is None or source.kind == "public" or destination.national or flow is None:
            return
        port = flow.ports[1]
        if port in SUBMISSION or source.address in self._places.mail_hosts:
            return
        now = seen.observation.time
        if source.kind == "staff":
            yield from self._staff_network(source.entity, source.address, now)
            return
        if self._pairs.get((source.address, destination.address), now) is not None:
            self.counters["repeated"] += 1
            return
        self._pairs.put((source.address, destination.address), 1, now)
        fields: dict[str, Value] = {
            **named(source, "source"), **named(destination, "destination"), "destination.port": port,
            "network.protocol": "smtp",
            "network.transport": "tcp", "network.community_id": flow.base()["network.community_id"],
        }  # fmt: skip
        helo = seen.observation.fields.get("hudhud.smtp.helo")
        if helo:
            fields["hudhud.smtp.helo"] = helo
        reason = f"server {source.address} speaks SMTP to {destination.address} port {port}, which is not national"
        yield Alert(self.rule, self.name, SEVERITY_SERVER, source.entity, now, reason, fields)

    def _staff_network(self, entity: str, address: str, now: float) -> Iterator[Alert]:
        count = self._staff.get(entity, now)
        first = count is None
        if count is None:
            self._over += self._staff.ended(now)
            count = self._staff.put(entity, _Count(), now)
        count.sessions += 1
        if len(count.hosts) < MAX_HOSTS:
            count.hosts.add(hashlib.blake2b(address.encode(), key=self._salt, digest_size=8).digest())
        if first:
            yield self._staff_alert(entity, count, now, "a host of a staff network speaks SMTP to a foreign address")

    def _staff_alert(self, entity: str, count: _Count, now: float, reason: str) -> Alert:
        fields: dict[str, Value] = {
            "hudhud.source.entity": entity, "hudhud.source.network": "staff", "network.protocol": "smtp",
            "hudhud.count.sessions": count.sessions, "hudhud.count.hosts": len(count.hosts),
        }  # fmt: skip
        return Alert(self.rule, self.name, SEVERITY_STAFF, entity, now, reason, fields)

    def tick(self, now: float) -> Iterator[Alert]:
        self._pairs.ended(now)
        rows, self._over = self._over + self._staff.ended(now), []
        yield from self._summaries(rows)

    def finish(self) -> Iterator[Alert]:
        rows, self._over = self._over + self._staff.all(), []
        yield from self._summaries(rows)

    def _summaries(self, rows: list[tuple[str, float, _Count]]) -> Iterator[Alert]:
        for entity, began, count in rows:
            if count.sessions > 1:
                reason = (
                    f"hosts of a staff network spoke SMTP to foreign addresses {count.sessions} times within an hour"
                )
                yield self._staff_alert(entity, count, began, reason)
