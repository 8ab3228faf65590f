"""The registry: public bodies with their national code, domains, networks, hosts and contacts, and what is national."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hudhud.i18n import Language
from hudhud.prefix import Address, Prefix, PrefixTable
from hudhud.workdays import Workdays

NetworkClass = Literal["server", "staff", "public"]
Protocol = Literal["smtp", "lmtp"]
NextHopTLS = Literal["none", "may", "verify", "dane"]
ServerKind = Literal["exchange", "zimbra", "postfix", "mailman", "printer", "application", "other"]


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom the response centre speaks to: `role` is one of security, postmaster, head, diwan, technical."""

    role: str
    name: str
    email: str
    phone: str
    language: Language


@dataclass(frozen=True, slots=True)
class Network:
    """A network of a body; its class says what a sensor may tell of it (server, staff, public)."""

    prefix: Prefix
    kind: NetworkClass


@dataclass(frozen=True, slots=True)
class NextHop:
    """The mailbox server behind the relay."""

    host: str
    port: int
    protocol: Protocol
    tls: NextHopTLS


@dataclass(frozen=True, slots=True)
class Imap:
    """Where people read their mail: TLS from the first octet (RFC 8314)."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """How mail to somebody else's domain is secured; `names` may stand on the certificate beside the domain's own."""

    tls: NextHopTLS
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server of a body's own that hands mail in without logging in: known by an address or a client certificate.

    `certificates` are names on a verified certificate (lower case), or the SHA-256 fingerprint of any (64 hex digits).
    `senders` are the domains (with those below) and addresses that it may use; empty: all of its body. `lists`: posts
    of others go through it. `messages_per_minute` 0 is what the node allows a server.
    """

    name: str
    kind: ServerKind
    addresses: tuple[Prefix, ...] = ()
    certificates: tuple[str, ...] = ()
    senders: frozenset[str] = frozenset()
    lists: bool = False
    messages_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Entity:
    """A public body. Domains are A-labels in lower case."""

    code: str
    name_ar: str
    name_en: str
    parent: str | None
    sector: str
    domains: tuple[str, ...]
    networks: tuple[Network, ...]
    mail_hosts: tuple[Address, ...]
    next_hop: NextHop | None
    diwan: str
    contacts: tuple[Contact, ...]
    servers: tuple[MailServer, ...] = ()
    imap: Imap | None = None

    def name(self, language: Language) -> str:
        return self.name_ar if language == "ar" else self.name_en

    def contact(self, role: str) -> Contact | None:
        """The first contact with that role, else the first of all, else None."""
        return next((c for c in self.contacts if c.role == role), self.contacts[0] if self.contacts else None)


@dataclass(frozen=True, slots=True)
class Who:
    """What the registry says of an address, a domain or an e-mail address; `national` None means: ask the DNS."""

    asked: str
    kind: Literal["address", "domain", "email"]
    entity: Entity | None
    network: Network | None
    national: bool | None
    reason: str


def a_label(domain: str) -> str:
    """The domain in lower case and A-labels (RFC 5890); ValueError where it is no domain name."""
    text = domain.strip().rstrip(".").lower()
    try:
        encoded = text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"{domain!r} is not a domain name: {error}") from None
    labels = encoded.split(".")
    if not encoded or len(encoded) > 253 or any(not label or len(label) > 63 for label in labels):
        raise ValueError(f"{domain!r} is not a domain name")
    if not all(c.isalnum() or c in "-_" for label in labels for c in label) or not encoded.isascii():
        raise ValueError(f"{domain!r} is not a domain name")
    return encoded


def suffixes(domain: str) -> Iterable[str]:
    """The domain, then each domain above it: a.b.c, b.c, c."""
    while domain:
        yield domain
        _, _, domain = domain.partition(".")


@dataclass(frozen=True, slots=True)
class Registry:
    """All bodies of the country, and what counts as national. Immutable; look-ups cost a dictionary or a short walk."""

    country: str
    name_ar: str
    name_en: str
    entities: Mapping[str, Entity]
    national_prefixes: PrefixTable[bool]
    national_suffixes: frozenset[str]
    national_services: frozenset[str]
    foreign_services: frozenset[str]
    foreign_webmail_hosts: frozenset[str]
    version: str = ""
    tls_policies: Mapping[str, TlsPolicy] = field(default_factory=dict)
    workdays: Workdays = field(default_factory=Workdays)
    _domains: Mapping[str, Entity] = field(default_factory=dict)
    _networks: PrefixTable[tuple[Entity, Network]] = field(default_factory=PrefixTable)
    _servers: PrefixTable[tuple[Entity, MailServer]] = field(default_factory=PrefixTable)
    _certificates: Mapping[str, tuple[Entity, MailServer]] = field(default_factory=dict)

    def entity(self, code: str) -> Entity:
        """The body with that code; KeyError where there is none."""
        return self.entities[code]

    def by_domain(self, domain: str) -> Entity | None:
        """The body that owns the A-label domain or the longest listed domain above it."""
        found = self._domains.get(domain)
        if found is not None:
            return found
        return next((e for above in suffixes(domain) if (e := self._domains.get(above)) is not None), None)

    def by_address(self, address: str | Address) -> tuple[Entity, Network] | None:
        """The body and network an IP address lies in, longest prefix first; None for one that is nobody's."""
        return self._networks.longest(_address(address))

    def tls_policy(self, domain: str) -> TlsPolicy | None:
        """What was agreed for the domain or the longest listed domain above it; None for nothing."""
        return next((p for above in suffixes(domain) if (p := self.tls_policies.get(above)) is not None), None)

    def is_national_address(self, address: str | Address) -> bool:
        """Whether the address lies in a national prefix."""
        return self.national_prefixes.longest(_address(address)) is not None

    def is_official_address(self, address: str | Address) -> bool:
        """Whether it is national, or a body's own wherever it stands: a registered server, or an embassy's network that
        is not a public one."""
        one = _address(address)
        if self.is_national_address(one) or self._servers.longest(one) is not None:
            return True
        owner = self.by_address(one)
        return owner is not None and owner[1].kind != "public"

    def server_by_address(self, address: str | Address) -> tuple[Entity, MailServer] | None:
        """The server that is registered with that address, longest prefix first."""
        return self._servers.longest(_address(address))

    def server_by_certificate(self, shown: str) -> tuple[Entity, MailServer] | None:
        """The server that is registered with that name on a certificate, or that fingerprint."""
        return self._certificates.get(shown)

    @property
    def knows_certificates(self) -> bool:
        """Whether any server is known by its certificate, so that it is worth asking for one."""
        return bool(self._certificates)

    def is_national_domain(self, domain: str) -> bool | None:
        """True for a body's or a listed national service's domain; None under a national suffix, where the addresses
        of its mail hosts decide; False for everything else."""
        if self.by_domain(domain) is not None:
            return True
        above = tuple(suffixes(domain))
        if any(one in self.foreign_services for one in above):
            return False
        if any(one in self.national_services for one in above):
            return True
        if any(one in self.national_suffixes for one in above):
            return None
        return False

    def who(self, text: str) -> Who:
        """What the registry knows of an IP address, a domain or an e-mail address; ValueError where it is none."""
        asked = text.strip()
        try:
            address = ipaddress.ip_address(asked)
        except ValueError:
            return self._who_domain(asked)
        owner = self.by_address(address)
        national = self.is_national_address(address)
        reason = f"network {owner[1].prefix} ({owner[1].kind})" if owner else "in no network of the registry"
        return Who(asked, "address", owner[0] if owner else None, owner[1] if owner else None, national, reason)

    def _who_domain(self, asked: str) -> Who:
        local, at, name = asked.rpartition("@")
        domain = a_label(name)
        entity, national = self.by_domain(domain), self.is_national_domain(domain)
        if entity is not None:
            reason = "domain of the registry"
        elif national:
            reason = "listed national service"
        elif national is None:
            reason = "under a national suffix: the addresses of its mail hosts decide"
        elif any(one in self.foreign_services for one in suffixes(domain)):
            reason = "listed foreign service"
        else:
            reason = "neither in the registry nor national"
        return Who(asked, "email" if at and local else "domain", entity, None, national, reason)


def _address(address: str | Address) -> Address:
    return ipaddress.ip_address(address) if isinstance(address, str) else address
