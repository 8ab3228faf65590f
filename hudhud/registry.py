"""Reads the registry release (registry.toml, prefix lists beside it) into a Registry; errors name file, line, key."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from hudhud import toml
from hudhud.entity import (
    Contact,
    Entity,
    Imap,
    Network,
    NetworkClass,
    NextHop,
    NextHopTLS,
    Protocol,
    Registry,
    TlsPolicy,
    suffixes,
)
from hudhud.i18n import Language
from hudhud.prefix import Prefix, PrefixError, PrefixTable, read_cidr, read_delegated
from hudhud.reading import Reader
from hudhud.servers import ServerRow, certificate_table, read_servers, server_table
from hudhud.workdays import SUNDAY_TO_THURSDAY, Day, Workdays

FILE = "registry.toml"

RegistryError = toml.PlaceError


class _Network(msgspec.Struct, forbid_unknown_fields=True):
    prefix: str
    kind: NetworkClass = msgspec.field(name="class")


class _NextHop(msgspec.Struct, forbid_unknown_fields=True):
    host: str
    port: int = 25
    protocol: Protocol = "smtp"
    tls: NextHopTLS = "may"


class _Imap(msgspec.Struct, forbid_unknown_fields=True):
    host: str
    port: int = 993


class _Contact(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["security", "postmaster", "head", "diwan", "technical"]
    name: str
    email: str
    phone: str = ""
    language: Language = "ar"


class _Entity(msgspec.Struct, forbid_unknown_fields=True):
    name_ar: str
    name_en: str
    domains: list[str]
    parent: str | None = None
    sector: str = ""
    networks: list[_Network] = []
    mail_hosts: list[str] = []
    next_hop: _NextHop | None = None
    diwan: str = ""
    contacts: list[_Contact] = []
    servers: list[ServerRow] = []
    imap: _Imap | None = None


class _Country(msgspec.Struct, forbid_unknown_fields=True):
    code: str
    name_ar: str
    name_en: str
    national_prefixes: list[str] = []
    prefix_files: list[str] = []
    national_suffixes: list[str] = []
    national_services: list[str] = []
    foreign_services: list[str] = []
    foreign_webmail_hosts: list[str] = []
    working_days: list[Day] = []
    holidays: list[date] = []
    time_zone: str = "UTC"


class _TlsPolicy(msgspec.Struct, forbid_unknown_fields=True):
    domains: list[str]
    tls: NextHopTLS
    names: list[str] = []


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    country: _Country
    entity: dict[str, object]
    tls_policy: list[_TlsPolicy] = []


def parse_registry(files: Mapping[str, bytes], *, version: str = "") -> Registry:
    """The registry of a release's files. RegistryError names file, line and key; nothing is loaded by halves."""
    if FILE not in files:
        raise RegistryError(FILE, 0, "", "is missing from the registry's files")
    reader = Reader(FILE, files[FILE])
    document = toml.convert(reader.document, _Document, file=FILE, where=reader.where)
    country = document.country
    entities = {code: _entity(reader, code, value) for code, value in document.entity.items()}
    for code, entity in entities.items():
        if entity.parent is not None and entity.parent not in entities:
            raise reader.error(f"entity.{code}.parent", f"there is no body with the code {entity.parent!r}")
    return Registry(
        country=country.code,
        name_ar=country.name_ar,
        name_en=country.name_en,
        entities=entities,
        national_prefixes=PrefixTable((prefix, True) for prefix in _national(reader, country, files)),
        national_suffixes=reader.domains("country.national_suffixes", country.national_suffixes),
        national_services=reader.domains("country.national_services", country.national_services),
        foreign_services=reader.domains("country.foreign_services", country.foreign_services),
        foreign_webmail_hosts=reader.domains("country.foreign_webmail_hosts", country.foreign_webmail_hosts),
        version=version,
        tls_policies=_tls_policies(reader, document.tls_policy),
        workdays=_workdays(reader, country),
        _domains=_domain_table(reader, entities, country),
        _networks=_network_table(reader, entities),
        _servers=server_table(reader, entities),
        _certificates=certificate_table(reader, entities),
    )


def _workdays(reader: Reader, country: _Country) -> Workdays:
    try:
        ZoneInfo(country.time_zone)
    except (ValueError, OSError):
        raise reader.error("country.time_zone", f"there is no time zone {country.time_zone!r}") from None
    days = frozenset(country.working_days) or SUNDAY_TO_THURSDAY
    return Workdays(days, frozenset(country.holidays), country.time_zone)


def _tls_policies(reader: Reader, rows: list[_TlsPolicy]) -> Mapping[str, TlsPolicy]:
    table: dict[str, TlsPolicy] = {}
    for row in rows:
        names = tuple(
            "." * text.startswith(".") + reader.domain("tls_policy.names", text.lstrip(".")) for text in row.names
        )
        for text in row.domains:
            domain = reader.domain("tls_policy.domains", text)
            if domain in table:
                raise reader.error("tls_policy.domains", f"{domain} is listed twice")
            table[domain] = TlsPolicy(row.tls, names)
    return table


def _entity(reader: Reader, code: str, value: object) -> Entity:
    key = f"entity.{code}"
    if not code.isascii() or not code.replace("-", "").isalnum():
        raise reader.error(key, "a national code is made of ASCII letters, digits and hyphens")
    row = toml.convert(value, _Entity, file=FILE, where=reader.where, prefix=key)
    hosts = []
    for text in row.mail_hosts:
        try:
            hosts.append(ipaddress.ip_address(text))
        except ValueError as error:
            raise reader.error(f"{key}.mail_hosts", f"{error}; write an IP address") from None
    for index, contact in enumerate(row.contacts):
        if contact.email.count("@") != 1:
            raise reader.error(f"{key}.contacts", f"contact {index + 1}: {contact.email!r} is not an e-mail address")
    if row.next_hop is not None and row.next_hop.tls == "dane" and _is_address(row.next_hop.host):
        raise reader.error(f"{key}.next_hop", "dane needs the next hop's name, not its address (RFC 7672)")
    if row.next_hop is not None and not 0 < row.next_hop.port < 65536:
        raise reader.error(f"{key}.next_hop", f"port {row.next_hop.port} is not between 1 and 65535")
    if row.imap is not None and not 0 < row.imap.port < 65536:
        raise reader.error(f"{key}.imap", f"port {row.imap.port} is not between 1 and 65535")
    return Entity(
        code=code,
        name_ar=row.name_ar,
        name_en=row.name_en,
        parent=row.parent,
        sector=row.sector,
        domains=tuple(reader.domain(f"{key}.domains", text) for text in row.domains),
        networks=tuple(Network(reader.prefix(f"{key}.networks", n.prefix), n.kind) for n in row.networks),
        mail_hosts=tuple(hosts),
        next_hop=NextHop(row.next_hop.host, row.next_hop.port, row.next_hop.protocol, row.next_hop.tls)
        if row.next_hop
        else None,
        diwan=row.diwan,
        contacts=tuple(Contact(c.role, c.name, c.email, c.phone, c.language) for c in row.contacts),
        servers=read_servers(reader, f"{key}.servers", row.servers),
        imap=Imap(reader.domain(f"{key}.imap", row.imap.host), row.imap.port) if row.imap else None,
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _national(reader: Reader, country: _Country, files: Mapping[str, bytes]) -> Iterator[Prefix]:
    for text in country.national_prefixes:
        yield reader.prefix("country.national_prefixes", text)
    for name in country.prefix_files:
        if name not in files:
            raise reader.error("country.prefix_files", f"the file {name!r} is not beside {FILE}")
        text = files[name].decode("utf-8", "replace")
        try:
            yield from read_delegated(text, country.code) if name.startswith("delegated") else read_cidr(text)
        except PrefixError as error:
            raise RegistryError(name, error.line, "", error.problem) from None


def _domain_table(reader: Reader, entities: Mapping[str, Entity], country: _Country) -> dict[str, Entity]:
    table: dict[str, Entity] = {}
    services = {*country.foreign_services, *country.national_services}
    for entity in entities.values():
        for domain in entity.domains:
            if domain in services:
                raise reader.error(
                    f"entity.{entity.code}.domains", f"{domain} is listed as a mail service for everybody"
                )
            if domain in table:
                raise reader.error(f"entity.{entity.code}.domains", f"{domain} already belongs to {table[domain].code}")
            table[domain] = entity
    for entity in entities.values():
        for sender in (sender for server in entity.servers for sender in server.senders):
            domain = sender.rpartition("@")[2]
            if next((table[above] for above in suffixes(domain) if above in table), None) is not entity:
                raise reader.error(f"entity.{entity.code}.servers", f"{sender} is in no domain of {entity.code}")
    return table


def _network_table(reader: Reader, entities: Mapping[str, Entity]) -> PrefixTable[tuple[Entity, Network]]:
    owners: dict[Prefix, Entity] = {}
    for entity in entities.values():
        for network in entity.networks:
            other = owners.setdefault(network.prefix, entity)
            if other is not entity:
                key = f"entity.{entity.code}.networks"
                raise reader.error(key, f"{network.prefix} already belongs to {other.code}")
    return PrefixTable((n.prefix, (e, n)) for e in entities.values() for n in e.networks)
