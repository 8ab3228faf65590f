"""HS-DNS-TUNNEL: data is carried out in DNS names: many long, random-looking names below one domain within minutes.

Fires when a host asks for at least 40 different names below one registrable domain in five minutes, whose parts
before that domain are on average at least 24 characters long with at least 3.2 bits of entropy a character. Silent:
ordinary browsing, content networks with few long names, reverse zones, the bodies' own domains. Runs on all networks
of the registry.

Fields: dns.question.registered_domain, hudhud.count.names, hudhud.dns.mean_length, hudhud.dns.entropy, source.ip
(server).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from hudhud.event import Value
from sensors.detect.alert import Alert, Bounded, Seen
from sensors.place import Places
from sensors.privacy import named

WINDOW_S = 300.0
SILENCE_S = 3600.0  # one alert per host and domain in so long
MIN_NAMES = 40
MIN_LENGTH = 24.0  # characters before the registrable domain, on average
MIN_ENTROPY = 3.2  # bits a character
MAX_TRACKED = 20_000  # host and domain
MAX_NAMES = 200  # names of one host and domain that are told apart
MAX_LETTERS = 4_096  # characters measured of one host and domain
SEVERITY = 70
_GENERIC = frozenset(("com", "co", "net", "org", "gov", "edu", "ac", "mil", "go", "or", "ne", "nom", "gob", "gouv"))


@dataclass(slots=True)
class _Zone:
    names: set[int] = field(default_factory=set)
    length: int = 0
    letters: list[str] = field(default_factory=list)
    measured: int = 0
    told: bool = False


def registrable(name: str) -> tuple[str, str]:
    """A name as (what is before, registrable domain): two labels, or three below a country's generic ones such as
    com.sa.
    """
    labels = name.split(".")
    keep = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _GENERIC else 2
    return ".".join(labels[:-keep]), ".".join(labels[-keep:])


def entropy(text: str) -> float:
    """Shannon's, in bits a character."""
    if not text:
        return 0.0
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


class DnsTunnel:
    rule = "HS-DNS-TUNNEL"
    name = "Data carried in DNS names"
    datasets = frozenset(("dns",))

    def __init__(self, places: Places) -> None:
        self.counters: dict[str, int] = {}
        self._places = places
        self._zones: Bounded[tuple[str, str], _Zone] = Bounded(MAX_TRACKED, WINDOW_S, self.counters, "zones")
        self._silent: Bounded[tuple[str, str], int] = Bounded(MAX_TRACKED, SILENCE_S, self.counters, "silent")

    def see(self, seen: Seen) -> Iterator[Alert]:
        source, told, now = seen.ends.source, seen.observation.fields, seen.observation.time
        name = told.get("dns.question.name")
        if (
            source.entity is None
            or told.get("dns.type") != "query"
            or not isinstance(name, str)
            or len(name) < MIN_LENGTH
        ):
            return
        name = name.lower()
        before, zone = registrable(name)
        if not before or zone.endswith(".arpa") or self._places.registry.is_national_domain(zone) is not False:
            return
        key = (source.address, zone)
        row = self._zones.get(key, now) or self._zones.put(key, _Zone(), now)
        digest = hash(before)
        if digest in row.names or len(row.names) >= MAX_NAMES:
            return
        row.names.add(digest)
        row.length += len(before)
        if row.measured < MAX_LETTERS:
            letters = before.replace(".", "")
            row.letters.append(letters)
            row.measured += len(letters)
        if row.told or len(row.names) < MIN_NAMES or row.length / len(row.names) < MIN_LENGTH:
            return
        bits = entropy("".join(row.letters))
        if bits < MIN_ENTROPY:
            return
        row.told = True
        if self._silent.get(key, now) is not None:
            return
        self._silent.put(key, 1, now)
        mean = round(row.length / len(row.names), 1)
        fields: dict[str, Value] = {
            **named(source, "source"), "network.protocol": "dns", "dns.question.registered_domain": zone,
            "hudhud.count.names": len(row.names), "hudhud.dns.mean_length": mean, "hudhud.dns.entropy": round(bits, 2),
        }  # fmt: skip
        reason = f"{len(row.names)} names of {mean} characters below {zone} within {WINDOW_S:.0f} s"
        yield Alert(self.rule, self.name, SEVERITY, source.entity, now, reason, fields)

    def tick(self, now: float) -> Iterator[Alert]:
        self._zones.ended(now)
        self._silent.ended(now)
        yield from ()

    def finish(self) -> Iterator[Alert]:
        yield from ()
