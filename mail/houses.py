"""National name, foreign house: whether the mail hosts of a body's own domain stand abroad. Nobody waits for it.

A body is national by the registry, without DNS; where the world delivers its mail is asked beside the way of the
message, kept for a while, and looked up anew behind the answer. What is not found out says nothing against a body.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hudhud.clock import Clock
from hudhud.entity import Registry
from mail.dns import Resolver, preference

MAX_HOSTS: Final = 10  # mail hosts of one domain
KEPT: Final = 10_000  # domains that are remembered
TTL_S: Final = 900.0
FIRST_S: Final = 86_400.0  # a finding counts as the first again after a day
PATIENCE_S: Final = 0.02  # that a message waits for an answer which nobody has yet


@dataclass(frozen=True, slots=True)
class House:
    """Where the mail of a body's domain goes that lies abroad: "host address". `first`: seen for the first time."""

    domain: str
    hosts: tuple[str, ...]
    first: bool = False


class Houses:
    """What is known of the mail hosts of bodies' domains."""

    def __init__(self, resolver: Resolver, clock: Clock, patience_s: float = PATIENCE_S) -> None:
        self._resolver, self._clock, self._patience = resolver, clock, patience_s
        self._known: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._told: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def abroad(self, domains: Iterable[str], registry: Registry) -> Mapping[str, House]:
        """Those of the domains that are a body's and have a mail host abroad, as far as it is known."""
        asked = [one for one in dict.fromkeys(domains) if registry.by_domain(one) is not None]
        new = [task for one in asked if (task := self._ask(one, registry)) is not None]
        if new:
            await asyncio.wait(new, timeout=self._patience)
        found = {}
        for one in asked:
            hosts = self._known.get(one, (0.0, ()))[1]
            if hosts:
                found[one] = House(one, hosts, first=self._is_first(one))
        return found

    async def close(self) -> None:
        """Ask no further."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_first(self, domain: str) -> bool:
        now = self._clock.monotonic()
        if self._told.get(domain, 0.0) > now:
            return False
        if len(self._told) >= KEPT:
            self._told.clear()
        self._told[domain] = now + FIRST_S
        return True

    def _ask(self, domain: str, registry: Registry) -> asyncio.Task[None] | None:
        """A task where nothing is known yet; what is known but old is asked again beside the message."""
        known = self._known.get(domain)
        if known is not None and known[0] > self._clock.monotonic():
            return None
        task = self._asking.get(domain)
        if task is None:
            task = self._asking[domain] = asyncio.create_task(self._look(domain, registry))
        return task if known is None else None

    async def _look(self, domain: str, registry: Registry) -> None:
        try:
            hosts = await _hosts_abroad(domain, registry, self._resolver)
            self._known[domain] = (self._clock.monotonic() + TTL_S, hosts)
            self._known.move_to_end(domain)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        finally:
            self._asking.pop(domain, None)


async def _hosts_abroad(domain: str, registry: Registry, resolver: Resolver) -> tuple[str, ...]:
    records = await resolver.mx(domain)
    if isinstance(records, str):
        return ()
    found = []
    for host in [preference(record)[1] for record in records][:MAX_HOSTS]:
        answer = await resolver.addresses(host) if host != "." else ()
        found += [f"{host} {ip}" for ip in (() if isinstance(answer, str) else answer) if _is_abroad(ip, registry)]
    return tuple(found)


_INNER: Final = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"))
) + tuple(map(ipaddress.ip_network, ("fc00::/7", "fe80::/10", "::1/128")))
"""Addresses of nobody's country: a name that leads there leads into the house."""


def _is_abroad(text: str, registry: Registry) -> bool:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return False
    inner = any(ip in network for network in _INNER if network.version == ip.version)
    return not inner and not registry.is_official_address(ip)
