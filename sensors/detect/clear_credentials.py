"""HS-CLEAR-CREDENTIALS: a government account's password crossed the network in clear. The password is not kept, by
anybody.

Fires on an IMAP, POP3, SMTP or HTTP Basic log-in without encryption where the account's domain is a body's, or the
server that takes it lies in a body's server network. The account is told only where its domain is a body's. Silent:
log-ins behind STARTTLS or TLS, challenge-response, accounts of foreign services at foreign servers (a person's own
matter).

Fields: user.name (an official account only), user.domain, hudhud.auth.method, source.ip (server or outside),
destination.ip/port.
"""

from __future__ import annotations

from collections.abc import Iterator

from hudhud.event import Value
from sensors.detect.alert import Alert, Bounded, Seen
from sensors.place import Places
from sensors.privacy import named

WINDOW_S = 3600.0  # one alert per server and account in so long
MAX_PAIRS = 10_000  # server and account remembered
SEVERITY = 60


class ClearCredentials:
    rule = "HS-CLEAR-CREDENTIALS"
    name = "Government credentials in clear text"
    datasets = frozenset(("imap", "pop3", "smtp", "http"))

    def __init__(self, places: Places) -> None:
        self.counters: dict[str, int] = {"repeated": 0}
        self._places = places
        self._pairs: Bounded[tuple[str, str], int] = Bounded(MAX_PAIRS, WINDOW_S, self.counters, "pairs")

    def see(self, seen: Seen) -> Iterator[Alert]:
        told, flow = seen.observation.fields, seen.observation.flow
        if not told.get("hudhud.auth.clear") or flow is None:
            return
        source, destination = seen.ends.source, seen.ends.destination
        domain, user = str(told.get("user.domain", "")), str(told.get("user.name", ""))
        owner = self._places.registry.by_domain(domain) if domain else None
        body = owner.code if owner is not None else destination.entity if destination.kind == "server" else None
        if body is None or (source.entity is None and destination.entity is None):
            return
        now = seen.observation.time
        key = (destination.address, user.lower())
        if self._pairs.get(key, now) is not None:
            self.counters["repeated"] += 1
            return
        self._pairs.put(key, 1, now)
        port = flow.ports[1]
        fields: dict[str, Value] = {
            **named(source, "source"), **named(destination, "destination"), "destination.port": port,
            "network.protocol": seen.observation.dataset, "hudhud.auth.method": told.get("hudhud.auth.method"),
            "hudhud.auth.clear": True,
        }  # fmt: skip
        if owner is not None:
            fields["user.domain"], fields["user.name"] = domain, user
        whose = domain if owner is not None else "an account"
        reason = f"a {seen.observation.dataset} log-in of {whose} in clear on port {port}"
        yield Alert(self.rule, self.name, SEVERITY, body, now, reason, fields)

    def tick(self, now: float) -> Iterator[Alert]:
        self._pairs.ended(now)
        yield from ()

    def finish(self) -> Iterator[Alert]:
        yield from ()
