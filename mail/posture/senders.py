"""Who may send for a domain by its SPF record, includes and all: networks, other houses, the last word. RFC 7208."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final

from mail.dns import Resolver, canonical, failed, preference

MAX_LOOKUPS: Final = 10  # RFC 7208 section 4.6.4

_TERM = re.compile(
    r"([-+~?]?)(all|include|a|mx|ptr|ip4|ip6|exists|redirect|exp)(?:[:=]([^/\s]*))?((?:/{1,2}\d{1,3}){0,2})$", re.I
)


@dataclass(slots=True)
class Senders:
    """`last` is the qualifier of `all` ("" where there is none); `addresses` are hosts and prefixes that may send.

    `problem` is a word where the record cannot be used: none, several, syntax, lookups, dns.
    """

    last: str = ""
    addresses: set[str] = field(default_factory=set)
    includes: list[str] = field(default_factory=list)
    lookups: int = 0
    problem: str = ""


async def gather(domain: str, resolver: Resolver) -> Senders:
    """Follows the record of the domain. Never raises for what stands in it."""
    found = Senders()
    await _follow(domain, resolver, found, seen=set())
    if not found.problem and found.lookups > MAX_LOOKUPS:
        found.problem = "lookups"
    return found


async def _follow(domain: str, resolver: Resolver, found: Senders, *, seen: set[str], outer: bool = True) -> None:
    if domain in seen or found.lookups > MAX_LOOKUPS:
        return
    seen.add(domain)
    answer = await resolver.txt(domain)
    if failed(answer):
        found.problem = found.problem or "dns"
        return
    texts = () if isinstance(answer, str) else answer
    records = [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]
    if len(records) != 1:
        found.problem = found.problem or ("several" if records else "none")
        return
    for term in records[0].split()[1:]:
        await _term(term, domain, resolver, found, seen=seen, outer=outer)


async def _term(term: str, domain: str, resolver: Resolver, found: Senders, *, seen: set[str], outer: bool) -> None:
    match = _TERM.match(term)
    if match is None:
        if "=" not in term:  # an unknown modifier is to be passed over, an unknown mechanism is a fault
            found.problem = found.problem or "syntax"
        return
    qualifier, name, value = match[1] or "+", match[2].lower(), canonical(match[3] or domain)
    if name == "all" and outer:
        found.last = qualifier
    elif name in ("ip4", "ip6"):
        _prefix(match[3] or "", match[4], found)
    elif name in ("include", "redirect", "a", "mx", "ptr", "exists"):
        found.lookups += 1
        if "%" in value or found.lookups > MAX_LOOKUPS:
            return
        if name in ("include", "redirect"):
            found.includes.append(value)
            await _follow(value, resolver, found, seen=seen, outer=outer and name == "redirect")
        elif name == "a":
            await _host(value, resolver, found)
        elif name == "mx":
            records = await resolver.mx(value)
            for record in () if isinstance(records, str) else records[:MAX_LOOKUPS]:
                await _host(preference(record)[1], resolver, found)


def _prefix(address: str, length: str, found: Senders) -> None:
    try:
        found.addresses.add(str(ipaddress.ip_network(address + length, strict=False)))
    except ValueError:
        found.problem = found.problem or "syntax"


async def _host(name: str, resolver: Resolver, found: Senders) -> None:
    answer = await resolver.addresses(name)
    found.addresses |= set() if isinstance(answer, str) else {str(ipaddress.ip_network(a)) for a in answer}
