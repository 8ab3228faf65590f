"""Where the mail of a domain goes next: the registry's next hop for a body's domain, the MX records for others.

RFC 5321 sections 5.1 and 4.1.3 (literals), RFC 7505 (null MX), RFC 7672 (TLSA records of mail hosts).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from hudhud.clock import SYSTEM, Clock
from hudhud.entity import Entity, NextHop, NextHopTLS, Protocol, Registry
from mail import dane
from mail.dns import Answer, Resolver, failed, preference

MAX_TARGETS = 10  # addresses of one next hop that are tried in one attempt
CACHE_SECONDS = 60.0  # how long a way that was found by DNS is used again
CACHE_ENTRIES = 10_000
SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class Target:
    """One address to try. `host` is the name that a certificate must show, `tlsa` its usable validated records.

    () where it has records that nobody can use, None where it has none. Those of equal `preference` share the load.
    """

    host: str
    address: str
    port: int
    preference: int = 0
    tlsa: tuple[dane.Tlsa, ...] | None = None

    @property
    def name(self) -> str:
        """For people and DSNs."""
        return self.host if self.host == self.address else f"{self.host} ({self.address})"


@dataclass(frozen=True, slots=True)
class Hop:
    """A next hop: everything with the same `key` shares connections, limits and the circuit breaker.

    `names` may stand on its certificate beside a target's host, which counts only where `host_counts`: where the
    registry or validated DNS gave it. `foreign`: it lies behind the international link.
    """

    key: str
    name: str
    protocol: Protocol
    tls: NextHopTLS
    targets: tuple[Target, ...]
    entity: str = ""
    names: tuple[str, ...] = ()
    host_counts: bool = True
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class NoWay:
    """No next hop: `reply` is an RFC 3463 status and words; `permanent` where trying again is of no use."""

    permanent: bool
    reply: str
    foreign: bool = False  # what could not be asked lies behind the international link


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
        self._read: Registry | None = None
        self._literals: dict[str, Hop | None] = {}  # by body, of the registry that was read last

    def known(self, domain: str) -> Hop | NoWay | None:
        """The way where no name has to be asked for: the registry's literal next hop, or what was found just now."""
        registry = self._registry()
        if registry is not self._read:
            self._read, self._literals = registry, {}
        entity = registry.by_domain(domain)
        if entity is not None:
            if entity.code not in self._literals:
                self._literals[entity.code] = self._literal(entity)
            if (hop := self._literals[entity.code]) is not None:
                return hop
        found = self._cache.get(domain)
        return found[1] if found is not None and found[0] > self._clock.monotonic() else None

    def abroad(self, domain: str) -> bool:
        """Whether mail for the domain goes over the international link, as far as is known without asking."""
        way = self.known(domain)
        return way.foreign if way is not None else self._registry().is_national_domain(domain) is not True

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
        return Hop(_key(hop), hop.host, hop.protocol, hop.tls, (Target(hop.host, hop.host, hop.port),), entity.code)

    async def _ask(self, domain: str) -> Hop | NoWay:
        entity = self._registry().by_domain(domain)
        if entity is not None and entity.next_hop is not None:
            return await self._named(entity)
        if domain.startswith("["):
            way = literal(domain)
            if isinstance(way, NoWay):
                return way
            if self._here(way.name, way.name):
                return NoWay(True, f"5.4.6 {domain} is this relay itself")
            return replace(way, foreign=self._foreign(way.targets))
        found = await self._names.proven(domain, "MX")
        records = found.answer
        if records == "NXDOMAIN":
            return NoWay(True, f"5.1.2 the domain {domain} does not exist")
        if isinstance(records, str):
            abroad = self._registry().is_national_domain(domain) is not True
            return NoWay(False, f"4.4.3 the DNS does not answer for {domain} ({records})", abroad)
        exchangers = tuple(map(preference, records)) or ((0, domain),)
        if any(host == "." for _, host in exchangers):
            return NoWay(True, f"5.1.10 the domain {domain} takes no mail (null MX)")
        return await self._by_mx(domain, exchangers, entity, secure=found.secure)

    async def _named(self, entity: Entity) -> Hop | NoWay:
        hop = entity.next_hop
        assert hop is not None
        addresses = await self._names.addresses(hop.host)
        if isinstance(addresses, str) or not addresses:
            why = addresses if isinstance(addresses, str) else "it has no address"
            return NoWay(False, f"4.4.4 the next hop {hop.host} of {entity.code} is not found ({why})")
        try:
            tlsa = await dane.records(self._names, hop.host, hop.port)
        except dane.NotKnown as problem:
            return NoWay(False, f"4.4.3 {problem}")
        targets = tuple(Target(hop.host, address, hop.port, tlsa=tlsa) for address in addresses[:MAX_TARGETS])
        return Hop(_key(hop), hop.host, hop.protocol, hop.tls, targets, entity.code)

    async def _by_mx(
        self, domain: str, exchangers: tuple[tuple[int, str], ...], entity: Entity | None, *, secure: bool
    ) -> Hop | NoWay:
        ours = min((number for number, host in exchangers if host in self._own), default=None)
        targets: list[Target] = []
        unsure = ""
        for number, host in sorted(exchangers):
            if len(targets) >= MAX_TARGETS or (ours is not None and number >= ours):
                break
            addresses: Answer = await self._names.addresses(host)
            if isinstance(addresses, str):
                unsure = unsure or (f"no mail host of {domain} is found ({addresses})" if failed(addresses) else "")
                continue
            if any(self._here(host, one) for one in addresses):
                ours = number  # what is as good as we are or worse would send it back (RFC 5321 section 5.1)
                targets = [one for one in targets if one.preference < number]
                break
            try:
                tlsa = await dane.records(self._names, host, SMTP_PORT) if secure else None
            except dane.NotKnown as problem:
                unsure = unsure or str(problem)
                continue
            targets += (Target(host, one, SMTP_PORT, number, tlsa) for one in addresses)
        if not targets and ours is not None:
            return NoWay(True, f"5.4.6 the mail of {domain} would come back to this relay")
        if not targets:
            abroad = bool(unsure) and self._registry().is_national_domain(domain) is not True
            words = f"4.4.3 {unsure}" if unsure else f"5.4.4 no mail host of {domain} has an address"
            return NoWay(not unsure, words, abroad)
        return self._secured(domain, tuple(targets[:MAX_TARGETS]), entity, secure=secure)

    def _secured(self, domain: str, targets: tuple[Target, ...], entity: Entity | None, *, secure: bool) -> Hop:
        """With the TLS that was agreed for the domain; domains of the same hosts and terms share a hop."""
        policy = self._registry().tls_policy(domain)
        tls = policy.tls if policy else "may"
        checked = tls != "may" or any(one.tlsa for one in targets)
        names = (domain, f".{domain}", *(policy.names if policy else ())) if checked else ()
        code = entity.code if entity is not None else ""
        hosts = ",".join(dict.fromkeys(f"{one.preference}/{one.host}" for one in targets))
        key = "|".join(("mx:" + hosts, tls, "dnssec" * secure, code, *names))
        foreign = entity is None and self._foreign(targets)
        return Hop(key, targets[0].host, "smtp", tls, targets, code, names, secure, foreign)

    def _foreign(self, targets: Iterable[Target]) -> bool:
        registry = self._registry()
        return not any(registry.is_national_address(one.address) for one in targets)

    def _here(self, host: str, address: str) -> bool:
        return host in self._own or address in self._own or is_local(address)


def _key(hop: NextHop) -> str:
    return f"{hop.protocol}:{hop.host}:{hop.port}:{hop.tls}"


@lru_cache(maxsize=4096)
def is_local(address: str) -> bool:
    """Whether the address is one of this machine's, the loopback ones included."""
    parsed = ipaddress.ip_address(address)
    nobodys = "100::1" if parsed.version == 6 else "192.0.0.8"  # RFC 6666, RFC 7600: on no machine
    anything = _binds(nobodys)  # net.ipv4.ip_nonlocal_bind: binding proves nothing here
    return parsed.is_loopback or parsed.is_unspecified or (not anything and _binds(address))


def _binds(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


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
