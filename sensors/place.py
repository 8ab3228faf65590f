"""Whose address it is: the registry's answer for both ends of a conversation, remembered."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from hudhud.entity import NetworkClass, Registry, suffixes
from sensors.flow import Flow, address_text

MAX_REMEMBERED = 65_536  # addresses


@dataclass(frozen=True, slots=True)
class Side:
    """One end: its address, the body and class of the network that it lies in (None: in no network of the registry)."""

    address: str
    entity: str | None
    kind: NetworkClass | None
    national: bool


@dataclass(frozen=True, slots=True)
class Ends:
    """Source is the client, destination the server."""

    source: Side
    destination: Side


class Places:
    """Look-ups in one registry. `mail_hosts` are the addresses that may speak SMTP abroad: relays and registered mail
    hosts.
    """

    def __init__(self, registry: Registry) -> None:
        self._known: dict[bytes, Side] = {}
        self.use(registry)

    def use(self, registry: Registry) -> None:
        """Another release of the registry; detectors keep their windows."""
        self.registry = registry
        self._known.clear()
        self.mail_hosts = frozenset(
            str(address) for entity in registry.entities.values() for address in entity.mail_hosts
        )

    def side(self, packed: bytes) -> Side:
        """The end with an address of 4 or 16 bytes."""
        found = self._known.get(packed)
        if found is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            address = ipaddress.ip_address(packed)
            owner = self.registry.by_address(address)
            entity, kind = (owner[0].code, owner[1].kind) if owner is not None else (None, None)
            national = owner is not None or self.registry.is_national_address(address)
            found = self._known[packed] = Side(address_text(packed), entity, kind, national)
        return found

    def ends(self, flow: Flow) -> Ends:
        """Both ends of a flow."""
        return Ends(self.side(flow.client_address), self.side(flow.server_address))

    def is_webmail(self, name: str) -> bool:
        """Whether a host name is, or lies below, a well-known foreign webmail host."""
        hosts = self.registry.foreign_webmail_hosts
        return name in hosts or any(above in hosts for above in suffixes(name))

    def is_foreign_mail(self, name: str) -> bool:
        """Whether a host name belongs to a foreign webmail or mail service."""
        return self.is_webmail(name) or any(above in self.registry.foreign_services for above in suffixes(name))
