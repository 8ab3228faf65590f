"""The bodies' own servers as registry.toml writes them, and the tables by which one is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from hudhud.entity import Entity, MailServer, ServerKind
from hudhud.prefix import PrefixTable
from hudhud.reading import Reader

WIDEST: Final[Mapping[int, int]] = {4: 24, 6: 56}  # prefix lengths by IP version; one server's addresses are no wider
_FINGERPRINT = re.compile(r"(?:sha-?256[:=])?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

K = TypeVar("K")


class ServerRow(msgspec.Struct, forbid_unknown_fields=True):
    """One of a body's `servers`; hudhud.entity.MailServer says what its values mean."""

    name: str
    kind: ServerKind = "other"
    addresses: list[str] = []
    certificates: list[str] = []
    senders: list[str] = []
    lists: bool = False
    messages_per_minute: int = 0


def read_servers(reader: Reader, key: str, written: list[ServerRow]) -> tuple[MailServer, ...]:
    """The servers of one body; RegistryError names line and key."""
    found: dict[str, MailServer] = {}
    for one in written:
        if not _NAME.fullmatch(one.name) or one.name in found:
            raise reader.error(
                key, f"{one.name!r} is no name for a server (ASCII letters, digits, . _ -), or there twice"
            )
        if not one.addresses and not one.certificates:
            raise reader.error(key, f"{one.name} needs addresses or certificates: by what else would it be known?")
        prefixes = tuple(reader.prefix(key, text) for text in one.addresses)
        for prefix in prefixes:
            if prefix.prefixlen < WIDEST[prefix.version]:
                raise reader.error(
                    key, f"{prefix} is wider than /{WIDEST[prefix.version]}: name the server's addresses"
                )
        if one.messages_per_minute < 0:
            raise reader.error(key, f"{one.name}: messages_per_minute is 0 (as the node has it) or more")
        senders = frozenset(_sender(reader, key, text) for text in one.senders)
        certificates = tuple(_shown(reader, key, text) for text in one.certificates)
        found[one.name] = MailServer(
            one.name, one.kind, prefixes, certificates, senders, one.lists, one.messages_per_minute
        )
    return tuple(found.values())


def _shown(reader: Reader, key: str, text: str) -> str:
    """A certificate's name or fingerprint in the form that is compared."""
    plain = text.strip().lower()
    if fingerprint := _FINGERPRINT.fullmatch(plain):
        return fingerprint[1].replace(":", "")
    if not plain or "*" in plain or not plain.isprintable():
        raise reader.error(key, f"{text!r} is neither a name on a certificate nor a SHA-256 fingerprint")
    return plain


def _sender(reader: Reader, key: str, text: str) -> str:
    """local@domain or a domain, lower case, A-labels."""
    local, at, domain = text.strip().rpartition("@")
    name = reader.domain(key, domain)
    return f"{local.lower()}@{name}" if at else name


def server_table(reader: Reader, entities: Mapping[str, Entity]) -> PrefixTable[tuple[Entity, MailServer]]:
    """Each server by its addresses; none belongs to two."""
    return PrefixTable(_by(reader, entities, lambda server: server.addresses).items())


def certificate_table(reader: Reader, entities: Mapping[str, Entity]) -> dict[str, tuple[Entity, MailServer]]:
    """Each server by the names and fingerprints of its certificates; none belongs to two."""
    return _by(reader, entities, lambda server: server.certificates)


def _by(
    reader: Reader, entities: Mapping[str, Entity], keys: Callable[[MailServer], Iterable[K]]
) -> dict[K, tuple[Entity, MailServer]]:
    rows: dict[K, tuple[Entity, MailServer]] = {}
    for entity in entities.values():
        for server in entity.servers:
            for key in keys(server):
                owner, other = rows.setdefault(key, (entity, server))
                if other is not server:
                    problem = f"{key} already belongs to {owner.code}/{other.name}"
                    raise reader.error(f"entity.{entity.code}.servers", problem)
    return rows
