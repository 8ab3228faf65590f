"""Where the mail of a domain goes next: the registry's next hop for a body's domain, the MX records for others.

RFC 5321 sections 5.1 and 4.1.3 (literals), RFC 7505 (null MX).
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hudhud.clock import SYSTEM, Clock
from hudhud.entity import Entity, Registry
from mail.dns import Resolver, failed, preference

MAX_TARGETS = 10  # addresses of one next hop that are tried in one attempt
CACHE_SECONDS = 60.0  # how long a way that was found by DNS is used again
CACHE_ENTRIES = 10_000
SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class Target:
    """One address to try. `host` is the name that a certificate must show."""

    host: str
    address: str
    port: int

    @property
    def name(self) -> str:
        """For people and DSNs."""
        return self.host if self.host == self.address else f"{self.host} ({self.address})"


@dataclass(frozen=True, slots=True)
class Hop:
    """A next hop: everything with the same `key` shares connections, limits and the circuit breaker."""

    key: str
    name: str
    protocol: Literal["smtp", "lmtp"]
    tls: Literal["none", "may", "verify"]
    targets: tuple[Target, ...]
    entity: str = ""


@dataclass(frozen=True, slots=True)
class NoWay:
    """No next hop: `reply` is an RFC 3463 status and words; `permanent` where trying again is of no use."""

    permanent: bool
    reply: str


class Routes:
    """Finds next hops. `registry` is asked anew each time, so that a fresh release counts at once."""

    def __init__(
        self,
        registry: Callable[[], Registry],
        names: Resolver,
        *,
        own: frozenset[str] = frozenset(),
        clock: Clock = SYSTEM,
    ) -> None:
        self._registry, self._names, self._own, self._clock = registry, names, own, clock
        self._cache: dict[str, tuple[float, Hop | NoWay]] = {}

    def known(self, domain: str) -> Hop | NoWay | None:
        """The way where no name has to be asked for: the registry's literal next hop, or what was found just now."""
        entity = self._registry().by_domain(domain)
        if entity is not None and (hop := self._literal(entity)) is not None:
            return hop
        found = self._cache.get(domain)
        return found[1] if found is not None and found[0] > self._clock.monotonic() else None

    async def find(self, domain: str) -> Hop | NoWay:
        """The way to the domain (A-label, or an address literal in brackets). Never raises for what the DNS says."""
        way = self.known(domain)
        if way is not None:
            return way
        way = await self._ask(domain)
        if isinstance(way, NoWay) and not way.permanent:
            return way
        if len(self._cache) >= CACHE_ENTRIES:
            self._cache.clear()
        self._cache[domain] = self._clock.monotonic() + CACHE_SECONDS, way
        return way

    def _literal(self, entity: Entity) -> Hop | None:
        """The hop of a body whose next hop needs no DNS; one object a body and address, so that pools find it."""
        hop = entity.next_hop
        if hop is None:
            if not entity.mail_hosts:
                return None
            targets = tuple(Target(str(a), str(a), SMTP_PORT) for a in entity.mail_hosts if str(a) not in self._own)
            return Hop(f"smtp:{entity.code}", entity.code, "smtp", "may", targets, entity.code)
        if not is_address(hop.host):
            return None
        return Hop(
            f"{hop.protocol}:{hop.host}:{hop.port}:{hop.tls}",
            hop.host,
            hop.protocol,
            hop.tls,
            (Target(hop.host, hop.host, hop.port),),
            entity.code,
        )

    async def _ask(self, domain: str) -> Hop | NoWay:
        entity = self._registry().by_domain(domain)
        if entity is not None and entity.next_hop is not None:
            return await self._named(entity)
        if domain.startswith("["):
            return literal(domain)
        records = await self._names.mx(domain)
        if records == "NXDOMAIN":
            return NoWay(True, f"5.1.2 the domain {domain} does not exist")
        if isinstance(records, str):
            return NoWay(False, f"4.4.3 the DNS does not answer for {domain} ({records})")
        exchangers = tuple(map(preference, records)) or ((0, domain),)
        if any(host == "." for _, host in exchangers):
            return NoWay(True, f"5.1.10 the domain {domain} takes no mail (null MX)")
        return await self._by_mx(domain, exchangers, entity)

    async def _named(self, entity: Entity) -> Hop | NoWay:
        hop = entity.next_hop
        assert hop is not None
        addresses = await self._names.addresses(hop.host)
        if isinstance(addresses, str) or not addresses:
            why = addresses if isinstance(addresses, str) else "it has no address"
            return NoWay(False, f"4.4.4 the next hop {hop.host} of {entity.code} is not found ({why})")
        targets = tuple(Target(hop.host, address, hop.port) for address in addresses[:MAX_TARGETS])
        return Hop(
            f"{hop.protocol}:{hop.host}:{hop.port}:{hop.tls}", hop.host, hop.protocol, hop.tls, targets, entity.code
        )

    async def _by_mx(self, domain: str, exchangers: tuple[tuple[int, str], ...], entity: Entity | None) -> Hop | NoWay:
        ours = min((preference for preference, host in exchangers if host in self._own), default=None)
        usable = [(number, host) for number, host in exchangers if ours is None or number < ours]
        if not usable:
            return NoWay(True, f"5.4.6 the mail of {domain} would come back to this relay")
        targets: list[Target] = []
        unsure = False
        for _, host in sorted(usable, key=lambda pair: (pair[0], random.random())):  # noqa: S311 - spreads load
            if len(targets) < MAX_TARGETS:
                found = await self._names.addresses(host)
                unsure = unsure or failed(found)
                addresses = () if isinstance(found, str) else found
                targets += (Target(host, a, SMTP_PORT) for a in addresses if a not in self._own)
        if not targets:
            return NoWay(not unsure, f"{'4.4.3' if unsure else '5.4.4'} no mail host of {domain} has an address")
        code = entity.code if entity is not None else ""
        return Hop(f"mx:{domain}", min(usable)[1], "smtp", "may", tuple(targets[:MAX_TARGETS]), code)


def literal(domain: str) -> Hop | NoWay:
    """The hop of an address literal (RFC 5321 section 4.1.3)."""
    text = domain.strip("[]").removeprefix("IPv6:").removeprefix("ipv6:")
    if not is_address(text):
        return NoWay(True, f"5.1.2 {domain} is no address that mail can be sent to")
    return Hop(f"smtp:{text}:{SMTP_PORT}:may", text, "smtp", "may", (Target(text, text, SMTP_PORT),))


def is_address(text: str) -> bool:
    """Whether the text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
