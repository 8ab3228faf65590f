"""Everything that is asked about one domain before it is judged: names, records, and how its mail hosts speak."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mail.auth import dmarc
from mail.auth.dmarc import Record
from mail.dkim_door import tags
from mail.dns import Answer, Resolver, failed, preference, reverse_name
from mail.posture.senders import Senders
from mail.posture.senders import gather as gather_senders

MAX_HOSTS: Final = 10  # mail hosts of one domain that are looked at
SELECTORS: Final = ("default", "mail", "dkim", "selector1", "selector2", "google", "k1", "s1")
WEB: Final = ("webmail", "mail", "owa", "autodiscover")
"""Where people read their mail in a browser, as houses usually call it."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a mail host said when it was called. `tls` is the version, "" in clear; `problem` why nothing was said.

    `named`: its certificate holds for its name. `days`: until it ends. `open`: it took mail from abroad to abroad.
    """

    tls: str = ""
    named: bool = False
    days: int | None = None
    open: bool | None = None
    problem: str = ""


class Caller(Protocol):
    """Calls a mail host; what it finds is a value."""

    async def call(self, host: str, address: str) -> Spoken: ...


@dataclass(frozen=True, slots=True)
class Host:
    """One MX host: addresses, the names these give back, TLSA records, whether DNSSEC proved them, what it said."""

    name: str
    addresses: Answer
    pointers: Mapping[str, Answer] = field(default_factory=dict)
    tlsa: Answer = ()
    secure: bool = False
    spoken: Spoken | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one domain. `keys`: selector and bits of each DKIM key that was found (0: unreadable or revoked)."""

    domain: str
    mx: Answer
    hosts: tuple[Host, ...]
    senders: Senders
    keys: tuple[tuple[str, int], ...]
    keys_known: bool
    dmarc: Record | None
    dmarc_known: bool
    sts: Answer
    tls_reports: Answer
    web: tuple[tuple[str, tuple[str, ...]], ...]


async def gather(
    domain: str, resolver: Resolver, *, selectors: Sequence[str] = (), caller: Caller | None = None
) -> Facts:
    """Asks for everything at once; without a `caller` no host is called."""
    mx = await resolver.mx(domain)
    names = [] if isinstance(mx, str) else [preference(row)[1] for row in mx][:MAX_HOSTS]
    hosts = await asyncio.gather(*(_host(name, resolver, caller) for name in names if name != "."))
    senders, keys, policy, web = await asyncio.gather(
        gather_senders(domain, resolver),
        _keys(domain, (*selectors, *SELECTORS), resolver),
        _policy(domain, resolver),
        _web(domain, resolver),
    )
    sts, reports = await asyncio.gather(resolver.txt(f"_mta-sts.{domain}"), resolver.txt(f"_smtp._tls.{domain}"))
    return Facts(domain, mx, tuple(hosts), senders, *keys, policy[0], policy[1], sts, reports, web)


async def _host(name: str, resolver: Resolver, caller: Caller | None) -> Host:
    addresses, tlsa = await asyncio.gather(resolver.addresses(name), resolver.proven(f"_25._tcp.{name}", "TLSA"))
    known = () if isinstance(addresses, str) else addresses
    pointers = await asyncio.gather(*(resolver.ask(reverse_name(address), "PTR") for address in known))
    spoken = await caller.call(name, known[0]) if caller is not None and known else None
    return Host(name, addresses, dict(zip(known, pointers, strict=True)), tlsa.answer, tlsa.secure, spoken)


async def _keys(domain: str, selectors: Sequence[str], resolver: Resolver) -> tuple[tuple[tuple[str, int], ...], bool]:
    """Selector and bits of each key, and whether the DNS answered."""
    names = list(dict.fromkeys(selectors))
    answers = await asyncio.gather(*(resolver.txt(f"{name}._domainkey.{domain}") for name in names))
    found = []
    for name, answer in zip(names, answers, strict=True):
        record = next((text for text in answer if "p=" in text), "") if not isinstance(answer, str) else ""
        if record:
            found.append((name, bits(record)))
    return tuple(found), not any(map(failed, answers))


def bits(record: str) -> int:
    """The size of the key in a DKIM record; 0 where it is revoked or unreadable. An ed25519 key counts as 3072."""
    said = tags(record.encode())
    if said.get(b"k", b"rsa") == b"ed25519":
        return 3072 if said.get(b"p") else 0
    try:
        key = load_der_public_key(base64.b64decode(said.get(b"p", b""), validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return 0
    return key.key_size if isinstance(key, rsa.RSAPublicKey) else 0


async def _policy(domain: str, resolver: Resolver) -> tuple[Record | None, bool]:
    """The DMARC record that counts for the domain, and whether the DNS answered."""
    try:
        walked = await dmarc.walk(domain, resolver)
    except dmarc.UnknownError:
        return None, False
    return walked.get(domain) or walked.get(dmarc.organizational(domain, walked)), True


async def _web(domain: str, resolver: Resolver) -> tuple[tuple[str, tuple[str, ...]], ...]:
    names = [f"{label}.{domain}" for label in WEB]
    answers = await asyncio.gather(*(resolver.addresses(name) for name in names))
    return tuple((n, a) for n, a in zip(names, answers, strict=True) if not isinstance(a, str) and a)
