"""HS-WEBMAIL-COUNT: how many hosts of a body's staff networks used foreign webmail or foreign mail within an hour.
Nobody is named.

Counts TLS, QUIC and HTTP conversations with a listed foreign webmail host, DNS questions for one, and mail protocols
to addresses that are not national. The hour begins with the first. Below five hosts (sensor.webmail_min_hosts)
nothing is told, not even that there was something. Hosts are told apart by a hash with a key that is made at each
start and never leaves the process. Silent: servers (see mail_abroad.py), public networks.

A count is no alert: its dataset is hudhud.webmail, its kind metric.

Fields: hudhud.webmail.hosts, hudhud.webmail.logins (conversations; a question alone is none), event.start, event.end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from hudhud.event import Value
from sensors.detect.alert import Alert, Bounded, Seen
from sensors.detect.smtp_egress import SUBMISSION
from sensors.observation import moment
from sensors.place import Places
from sensors.privacy import MAIL_PORTS, host_name

WINDOW_S = 3600.0
MAX_BODIES = 1_000
MAX_HOSTS = 10_000  # hosts of one body that are told apart
SEVERITY = 20
_MAIL = frozenset(("smtp", "imap", "pop3"))


@dataclass(slots=True)
class _Count:
    logins: int = 0
    hosts: set[bytes] = field(default_factory=set)
    last: float = 0.0


class Webmail:
    rule = "HS-WEBMAIL-COUNT"
    name = "Staff use of foreign webmail, counted"
    datasets = frozenset(("tls", "quic", "http", "dns", "smtp", "imap", "pop3"))

    def __init__(self, places: Places, salt: bytes, min_hosts: int) -> None:
        self.counters: dict[str, int] = {"below_minimum": 0}
        self._places, self._salt, self._min_hosts = places, salt, max(min_hosts, 5)
        self._bodies: Bounded[str, _Count] = Bounded(MAX_BODIES, WINDOW_S, self.counters, "bodies")
        self._over: list[tuple[str, float, _Count]] = []

    def see(self, seen: Seen) -> Iterator[Alert]:
        source, observation = seen.ends.source, seen.observation
        if source.kind != "staff" or source.entity is None or observation.flow is None:
            return
        abroad = not seen.ends.destination.national and (
            observation.dataset in _MAIL or (observation.dataset == "tls" and observation.flow.ports[1] in MAIL_PORTS)
        )
        if abroad and observation.dataset == "smtp" and observation.flow.ports[1] not in SUBMISSION:
            return  # around the relay: smtp_egress.py
        if not abroad and not self._places.is_webmail(host_name(observation.fields)):
            return
        if observation.dataset == "dns" and observation.fields.get("dns.type") != "query":
            return
        now = observation.time
        count = self._bodies.get(source.entity, now)
        if count is None:
            self._over += self._bodies.ended(now)
            count = self._bodies.put(source.entity, _Count(), now)
        count.last = max(count.last, now)
        count.logins += observation.dataset != "dns"
        if len(count.hosts) < MAX_HOSTS:
            count.hosts.add(hashlib.blake2b(source.address.encode(), key=self._salt, digest_size=8).digest())
        yield from ()

    def tick(self, now: float) -> Iterator[Alert]:
        rows, self._over = self._over + self._bodies.ended(now), []
        yield from self._tell(rows)

    def finish(self) -> Iterator[Alert]:
        rows, self._over = self._over + self._bodies.all(), []
        yield from self._tell(rows)

    def _tell(self, rows: list[tuple[str, float, _Count]]) -> Iterator[Alert]:
        for entity, began, count in rows:
            if len(count.hosts) < self._min_hosts:
                self.counters["below_minimum"] += 1
                continue
            fields: dict[str, Value] = {
                "hudhud.source.entity": entity, "hudhud.source.network": "staff",
                "hudhud.webmail.hosts": len(count.hosts), "hudhud.webmail.logins": count.logins,
                "event.start": moment(began).isoformat().replace("+00:00", "Z"),
                "event.end": moment(count.last).isoformat().replace("+00:00", "Z"),
            }  # fmt: skip
            reason = f"{len(count.hosts)} hosts of staff networks used foreign webmail within an hour"
            yield Alert(self.rule, self.name, SEVERITY, entity, count.last, reason, fields, dataset="webmail")
