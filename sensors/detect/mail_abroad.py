"""HS-MAIL-ABROAD: a *server* uses foreign mail: submission, IMAP or POP abroad, or a foreign webmail host.

Fires on an SMTP, IMAP, POP3 or TLS conversation from a server network to a mail port of an address that is not
national, or on a TLS or HTTP conversation with a listed foreign webmail host. Silent: staff (counted by webmail.py),
public networks, relay and registered mail hosts, DNS questions (a resolver asks for others), national servers.

Fields: source.ip, destination.ip/port, tls.client.server_name or url.domain.
"""

from __future__ import annotations

from collections.abc import Iterator

from hudhud.event import Value
from sensors.detect.alert import Alert, Bounded, Seen
from sensors.place import Places
from sensors.privacy import host_name, named

WINDOW_S = 3600.0  # one alert per server and destination in so long
MAX_PAIRS = 10_000  # server and destination remembered
SEVERITY = 60
PORTS = frozenset((110, 143, 465, 587, 993, 995))


class MailAbroad:
    rule = "HS-MAIL-ABROAD"
    name = "A server uses foreign mail"
    datasets = frozenset(("smtp", "imap", "pop3", "tls", "http", "quic"))

    def __init__(self, places: Places) -> None:
        self.counters: dict[str, int] = {"repeated": 0}
        self._places = places
        self._pairs: Bounded[tuple[str, str], int] = Bounded(MAX_PAIRS, WINDOW_S, self.counters, "pairs")

    def see(self, seen: Seen) -> Iterator[Alert]:
        source, destination, flow = seen.ends.source, seen.ends.destination, seen.observation.flow
        if source.entity is None or source.kind != "server" or destination.national or flow is None:
            return
        if source.address in self._places.mail_hosts:
            return
        port, host = flow.ports[1], host_name(seen.observation.fields)
        if port not in PORTS and not (host and self._places.is_webmail(host)):
            return
        now = seen.observation.time
        if self._pairs.get((source.address, destination.address), now) is not None:
            self.counters["repeated"] += 1
            return
        self._pairs.put((source.address, destination.address), 1, now)
        fields: dict[str, Value] = {
            **named(source, "source"), **named(destination, "destination"), "destination.port": port,
            "network.transport": "tcp",
            "network.protocol": seen.observation.dataset, "network.community_id": flow.base()["network.community_id"],
        }  # fmt: skip
        if host:
            fields["tls.client.server_name" if seen.observation.dataset in ("tls", "quic") else "url.domain"] = host
        reason = (
            f"server {source.address} uses {host or destination.address} port {port} for mail, which is not national"
        )
        yield Alert(self.rule, self.name, SEVERITY, source.entity, now, reason, fields)

    def tick(self, now: float) -> Iterator[Alert]:
        self._pairs.ended(now)
        yield from ()

    def finish(self) -> Iterator[Alert]:
        yield from ()
