"""IP prefixes: a table with longest match, and the readers of prefix lists (CIDR lines, RIR delegated-extended)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")


class PrefixError(ValueError):
    """A line that is no prefix: `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


class PrefixTable(Generic[T]):
    """Values by prefix; `longest` asks one dictionary for each prefix length in use, longest first."""

    def __init__(self, rows: Iterable[tuple[Prefix, T]] = ()) -> None:
        self._tables: dict[tuple[int, int], dict[int, T]] = {}
        for prefix, value in rows:
            shift = prefix.max_prefixlen - prefix.prefixlen
            table = self._tables.setdefault((prefix.version, shift), {})
            table[int(prefix.network_address) >> shift] = value
        order = sorted(self._tables, key=lambda key: key[1])
        self._order = {v: [(s, self._tables[v, s]) for ver, s in order if ver == v] for v in (4, 6)}

    def longest(self, address: Address) -> T | None:
        """The value of the longest prefix that holds the address. An IPv4-mapped IPv6 address counts as IPv4."""
        if address.version == 6 and (mapped := address.ipv4_mapped) is not None:
            address = mapped
        number = int(address)
        for shift, table in self._order[address.version]:
            if (key := number >> shift) in table:
                return table[key]
        return None

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())


def read_cidr(text: str) -> Iterator[Prefix]:
    """One prefix a line; `#` and `;` begin a comment. PrefixError names the line."""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#")[0].split(";")[0].strip()
        if line:
            try:
                yield ipaddress.ip_network(line)
            except ValueError as error:
                raise PrefixError(number, str(error)) from None


def read_delegated(text: str, country: str) -> Iterator[Prefix]:
    """The prefixes of `country` (ISO 3166 code) in an RIR delegated-extended file: registry|cc|type|start|value|…."""
    for number, raw in enumerate(text.splitlines(), 1):
        columns = raw.strip().split("|")
        if raw.startswith("#") or len(columns) < 7 or columns[1].upper() != country.upper():
            continue
        kind, start, value = columns[2], columns[3], columns[4]
        try:
            if kind == "ipv4":
                first = ipaddress.IPv4Address(start)
                yield from ipaddress.summarize_address_range(first, first + (int(value) - 1))
            elif kind == "ipv6":
                yield ipaddress.IPv6Network(f"{start}/{value}")
        except ValueError as error:
            raise PrefixError(number, str(error)) from None
