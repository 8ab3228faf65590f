"""Where names are asked: the one door to dnspython, and a zone file in its place; what the DNS answers is a value."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from hudhud import codec
from hudhud.clock import SYSTEM, Clock
from hudhud.settings import Dns, split_address
from mail import meter

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.resolver

Failure = Literal["SERVFAIL", "TIMEOUT", "NXDOMAIN"]
Kind = Literal["A", "AAAA", "MX", "TXT", "PTR", "CNAME", "TLSA", "SRV"]
Answer = tuple[str, ...] | Failure
"""The records as text, () where the name has none of that type, or why there is no answer.

MX: "10 mx.example" in order of preference; the null MX (RFC 7505) is "0 .". Names have no trailing dot."""

FAILURES: Final = get_args(Failure)
MAX_CNAMES = 8  # steps, as most resolvers
FAILURE_TTL = 5.0  # seconds a SERVFAIL or TIMEOUT is kept, so that a dead server is not asked by every message
NEGATIVE_TTL = 60.0  # seconds; RFC 2308 section 5 advises at most hours


@dataclass(frozen=True, slots=True)
class Proven:
    """An answer, whether a trusted resolver validated it (DNSSEC), and the name at the end of its aliases."""

    answer: Answer
    secure: bool = False
    name: str = ""


class Resolver(Protocol):
    """Answers about names; never raises for what the DNS does. An implementation gives `ask`."""

    async def ask(self, name: str, kind: Kind) -> Answer:
        """The records of one type."""
        ...

    async def proven(self, name: str, kind: Kind) -> Proven:
        """The same, with what is known of its truth; here nothing is."""
        return Proven(await self.ask(name, kind), False, canonical(name))

    async def txt(self, name: str) -> Answer:
        """TXT records, each with its strings joined."""
        return await self.ask(name, "TXT")

    async def mx(self, name: str) -> Answer:
        """MX records in order of preference."""
        return await self.ask(name, "MX")

    async def addresses(self, name: str) -> Answer:
        """A and AAAA records together; a failure of either is one, unless it only says that the name does not exist."""
        four, six = await self.ask(name, "A"), await self.ask(name, "AAAA")
        for answer in (four, six):
            if isinstance(answer, str) and answer != "NXDOMAIN":
                return answer
        if isinstance(four, str) and isinstance(six, str):
            return four
        return (*(() if isinstance(four, str) else four), *(() if isinstance(six, str) else six))


class DnsError(ValueError):
    """A zone file that cannot be used: the message names the file and the key."""


def failed(answer: Answer) -> bool:
    """Whether nothing is known (a missing name is known)."""
    return answer in ("SERVFAIL", "TIMEOUT")


def canonical(name: str) -> str:
    """Lower case, no trailing dot."""
    return name.rstrip(".").lower()


def preference(record: str) -> tuple[int, str]:
    """The preference and host of an MX record's text."""
    number, _, host = record.rpartition(" ")
    return (int(number) if number.strip().isdigit() else 0), (canonical(host) or ".")


class ZoneResolver(Resolver):
    """Answers from a table {"name": {"TXT": […], "MX": […]}}; a failure's name may stand for records or for a name."""

    def __init__(self, zone: Mapping[str, object], *, secure: Collection[str] = ()) -> None:
        """`secure` are names whose answers count as validated. DnsError names the key of what is no record."""
        self._zone = {canonical(name): _rows(name, value) for name, value in zone.items()}
        self._secure = frozenset(map(canonical, secure))

    @classmethod
    def load(cls, path: Path) -> ZoneResolver:
        """Reads a zone.json; DnsError where it is none."""
        try:
            value = codec.decode(path.read_bytes())
        except (OSError, codec.CodecError) as error:
            raise DnsError(f"{path}: {error}") from None
        if not isinstance(value, dict):
            raise DnsError(f"{path}: a zone is an object of names")
        return cls(value)

    async def ask(self, name: str, kind: Kind) -> Answer:
        return (await self.proven(name, kind)).answer

    async def proven(self, name: str, kind: Kind) -> Proven:
        asked, secure = canonical(name), True
        for _ in range(MAX_CNAMES):
            secure = secure and asked in self._secure
            rows = self._zone.get(asked, self._wildcard(asked))
            if rows is None:
                return Proven(() if self._exists(asked) else "NXDOMAIN", secure, asked)
            if isinstance(rows, str):
                return Proven(rows, False, asked)
            if kind in rows or "CNAME" not in rows:
                return Proven(rows.get(kind, ()), secure, asked)
            alias = rows["CNAME"]
            if isinstance(alias, str) or not alias:
                return Proven(alias, secure, asked)
            asked = canonical(alias[0])
        return Proven("SERVFAIL", False, asked)

    def _wildcard(self, name: str) -> Mapping[str, Answer] | Failure | None:
        _, _, above = name.partition(".")
        return self._zone.get(f"*.{above}") if above else None

    def _exists(self, name: str) -> bool:
        """Whether names below it make it an empty non-terminal (RFC 8020)."""
        return any(known.endswith("." + name) for known in self._zone)


def _rows(name: str, value: object) -> Mapping[str, Answer] | Failure:
    if failure := _failure(value):
        return failure
    if not isinstance(value, Mapping):
        raise DnsError(f"{name}: an object of record types, or one of {', '.join(FAILURES)}")
    return {str(kind).upper(): _records(f"{name}.{kind}", str(kind).upper(), rows) for kind, rows in value.items()}


def _records(place: str, kind: str, rows: object) -> Answer:
    if failure := _failure(rows):
        return failure
    if isinstance(rows, str):
        rows = [rows]
    if not isinstance(rows, Sequence):
        raise DnsError(f"{place}: a list of records, or one of {', '.join(FAILURES)}")
    texts = ["".join(map(str, row)) if kind == "TXT" and isinstance(row, list) else _text(row) for row in rows]
    return _shown(kind, texts)


def _text(row: object) -> str:
    return " ".join(map(str, row)) if isinstance(row, list) else str(row)


def _failure(value: object) -> Failure | None:
    word = value[0] if isinstance(value, list) and len(value) == 1 else value
    return next((failure for failure in get_args(Failure) if failure == word), None)


def _shown(kind: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Records as this module promises them."""
    if kind == "MX":
        return tuple(f"{number} {host}" for number, host in sorted(map(preference, texts)))
    if kind in ("CNAME", "PTR"):
        return tuple(map(canonical, texts))
    return tuple(texts)


class Cache:
    """Answers with their end, bounded; the oldest used goes first. `hits` and `evicted` count."""

    def __init__(self, entries: int, clock: Clock = SYSTEM) -> None:
        self._rows: OrderedDict[tuple[str, str], tuple[float, Proven]] = OrderedDict()
        self._entries, self._clock = entries, clock
        self.hits = self.misses = self.evicted = 0

    def get(self, name: str, kind: str) -> Proven | None:
        row = self._rows.get((name, kind))
        if row is None or row[0] <= self._clock.monotonic():
            self.misses += 1
            return None
        self._rows.move_to_end((name, kind))
        self.hits += 1
        return row[1]

    def put(self, name: str, kind: str, answer: Proven, ttl: float) -> None:
        self._rows[name, kind] = (self._clock.monotonic() + ttl, answer)
        self._rows.move_to_end((name, kind))
        while len(self._rows) > self._entries:
            self._rows.popitem(last=False)
            self.evicted += 1


class LiveResolver(Resolver):
    """Asks the configured name servers, with a bounded cache that keeps to the records' TTL."""

    def __init__(self, settings: Dns, clock: Clock = SYSTEM) -> None:
        self._settings = settings
        self.cache = Cache(settings.cache_entries, clock)
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def ask(self, name: str, kind: Kind) -> Answer:
        return (await self.proven(name, kind)).answer

    async def proven(self, name: str, kind: Kind) -> Proven:
        asked = canonical(name)
        known = self.cache.get(asked, kind)
        if known is not None:
            return known
        began = time.perf_counter()
        answer, ttl = await self._ask(asked, kind)
        meter.observe(meter.DNS_TIME, time.perf_counter() - began)
        meter.count(meter.DNS, answer.answer if isinstance(answer.answer, str) else "ok")
        self.cache.put(asked, kind, answer, min(ttl, self._settings.cache_max_ttl_s))
        return answer

    async def _ask(self, name: str, kind: Kind) -> tuple[Proven, float]:
        import dns.exception
        import dns.flags
        import dns.resolver

        try:
            found = await self._server().resolve(name, kind, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return Proven("NXDOMAIN"), NEGATIVE_TTL
        except dns.exception.Timeout:
            return Proven("TIMEOUT"), FAILURE_TTL
        except (dns.exception.DNSException, OSError, ValueError):
            return Proven("SERVFAIL"), FAILURE_TTL
        secure = self._settings.trusted and bool(found.response.flags & dns.flags.AD)
        end = canonical(found.canonical_name.to_text())
        if found.rrset is None:
            return Proven((), secure, end), NEGATIVE_TTL
        records = _shown(kind, [_record(kind, row) for row in found.rrset])
        return Proven(records, secure, end), float(found.rrset.ttl)

    def _server(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            self._resolver = _server(self._settings)
        return self._resolver


def _server(settings: Dns) -> dns.asyncresolver.Resolver:
    import dns.asyncresolver
    import dns.flags
    import dns.nameserver

    resolver = dns.asyncresolver.Resolver(configure=not settings.nameservers)
    if settings.trusted:
        resolver.set_flags(dns.flags.RD | dns.flags.AD)  # RFC 6840 section 5.7: tell us whether it was validated
    resolver.lifetime = settings.timeout_s
    resolver.timeout = min(settings.timeout_s, 2.0)
    if settings.nameservers:
        pairs = [split_address(text) for text in settings.nameservers]
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in pairs]
    return resolver


def _record(kind: Kind, row: object) -> str:
    if kind == "TXT":
        strings = getattr(row, "strings", ())
        return b"".join(strings).decode("utf-8", "replace")
    return str(row)


def reverse_name(address: str) -> str:
    """The name whose PTR records name an IP address."""
    return ipaddress.ip_address(address).reverse_pointer
