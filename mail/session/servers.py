"""Whether a client is a registered server of a body: by the certificate it has shown, else by its address.

Such a server hands mail in without logging in, on any port, for the people of its body (mail/checks/identity.py says
from which addresses). The registry that is live is asked at each message.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hudhud.entity import Entity, MailServer, Registry
from mail.accounts import Account

if TYPE_CHECKING:
    from mail.session.shown import Shown


REMEMBERED: Final = 4096  # addresses, per worker


class Servers:
    """Stands on the registry that is live."""

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry
        self._read: Registry | None = None
        self._known: dict[str, Account | None] = {}  # by address, of the registry that was read last

    def asks(self) -> bool:
        """Whether a certificate is worth asking for."""
        return self._registry().knows_certificates

    def find(self, ip: str, shown: Shown | None) -> Account | None:
        """The server that a client at `ip` with that certificate is; None for anybody else."""
        registry = self._registry()
        if shown is not None:
            for key in (shown.fingerprint, *shown.names):
                if known := registry.server_by_certificate(key):
                    return account(*known)
        if registry is not self._read or len(self._known) >= REMEMBERED:
            self._read, self._known = registry, {}
        if ip not in self._known:
            self._known[ip] = _at(registry, ip)
        return self._known[ip]

    def named(self, name: str) -> Account | None:
        """The server with an account's name, "FIN/exchange"."""
        return named(self._registry(), name)


def _at(registry: Registry, ip: str) -> Account | None:
    try:
        found = registry.server_by_address(ipaddress.ip_address(ip))
    except ValueError:
        return None
    return account(*found) if found is not None else None


def account(entity: Entity, server: MailServer) -> Account:
    """What a server may do, as an account."""
    return Account(
        f"{entity.code}/{server.name}",
        entity.code,
        kind="server",
        senders=server.senders,
        lists=server.lists,
        per_minute=server.messages_per_minute,
    )


def named(registry: Registry, name: str) -> Account | None:
    """The account of "FIN/exchange"; None where the registry has no such server."""
    code, _, server = name.partition("/")
    entity = registry.entities.get(code)
    if entity is None:
        return None
    return next((account(entity, one) for one in entity.servers if one.name == server), None)
