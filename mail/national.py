"""What is national: a domain by the registry, or under a national suffix by where its mail hosts stand."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from hudhud.entity import Registry, a_label
from mail.dns import Answer, Resolver, failed, preference

MAX_HOSTS = 20  # MX hosts asked of one domain; a domain with more counts as not found out

Why = Literal[
    "registry", "national-service", "national-hosts", "foreign", "foreign-hosts", "no-mail", "dns-failed", "no-domain"
]


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a domain is national; None: not found out, so that the message waits. `hosts` are host and address."""

    domain: str
    national: bool | None
    why: Why
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the DNS said of a domain's mail hosts."""

    mx: Answer
    addresses: Mapping[str, Answer]


async def gather_hosts(domain: str, resolver: Resolver) -> HostFacts:
    """Asks for the mail hosts of a domain and their addresses; without MX the domain itself (RFC 5321 section 5.1)."""
    records = await resolver.mx(domain)
    if isinstance(records, str):
        return HostFacts(records, {})
    hosts = [preference(record)[1] for record in records] or [domain]
    return HostFacts(records, {host: await resolver.addresses(host) for host in hosts[:MAX_HOSTS] if host != "."})


def standing(domain: str, registry: Registry, hosts: HostFacts | None) -> Standing:
    """Pure. Registry decisions need no DNS; `hosts` is asked only where the registry says None."""
    if domain.startswith("["):
        return _literal(domain, registry)
    try:
        name = a_label(domain)
    except ValueError:
        return Standing(domain, False, "no-domain")
    known = registry.is_national_domain(name)
    if known is not None:
        owned = registry.by_domain(name) is not None
        return Standing(name, known, "registry" if owned else "national-service" if known else "foreign")
    if hosts is None:
        return Standing(name, None, "dns-failed")
    return _by_hosts(name, registry, hosts)


def _by_hosts(name: str, registry: Registry, facts: HostFacts) -> Standing:
    if failed(facts.mx) or len(facts.addresses) >= MAX_HOSTS:
        return Standing(name, None, "dns-failed")
    if facts.mx == "NXDOMAIN":
        return Standing(name, False, "no-domain")
    shown = tuple(f"{host} {ip}" for host, answer in facts.addresses.items() for ip in _texts(answer))
    national = [_inside(answer, registry) for answer in facts.addresses.values() if _texts(answer)]
    if False in national:  # one host abroad is enough: that is where mail may go
        return Standing(name, False, "foreign-hosts", shown)
    if None in national:
        return Standing(name, None, "dns-failed", shown)
    return Standing(name, True, "national-hosts", shown) if national else Standing(name, False, "no-mail")


def _texts(answer: Answer) -> tuple[str, ...]:
    """The addresses, or the failure's name; nothing for a host that does not exist."""
    if isinstance(answer, str):
        return (answer,) if failed(answer) else ()
    return answer


def _inside(answer: Answer, registry: Registry) -> bool | None:
    """Whether every address of a host is national; None where it could not be asked."""
    if isinstance(answer, str):
        return None
    return all(registry.is_national_address(ip) for ip in answer)


def _literal(domain: str, registry: Registry) -> Standing:
    """An address literal (RFC 5321 section 4.1.3): national as its address is."""
    text = domain.strip("[]").removeprefix("IPv6:").removeprefix("ipv6:")
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return Standing(domain, False, "no-domain")
    inside = registry.is_national_address(ip)
    return Standing(domain, inside, "national-hosts" if inside else "foreign-hosts", (f"{domain} {ip}",))


async def gather_standings(domains: Iterable[str], registry: Registry, resolver: Resolver) -> Mapping[str, Standing]:
    """The standing of each domain, keyed as it was asked; the DNS is asked only where the registry does not know."""
    found: dict[str, Standing] = {}
    for domain in domains:
        if domain not in found:
            found[domain] = await _gather(domain, registry, resolver)
    return found


async def _gather(domain: str, registry: Registry, resolver: Resolver) -> Standing:
    first = standing(domain, registry, None)
    if first.national is not None:
        return first
    return standing(domain, registry, await gather_hosts(first.domain, resolver))
