"""Whether a client is a registered server of a body: by the certificate it has shown, else by its address.

Such a server hands mail in without logging in, on any port, for the people of its body (mail/checks/identity.py says
from which addresses). The registry that is live is asked at each message.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING

from hudhud.entity import Entity, MailServer, Registry
from mail.accounts import Account

if TYPE_CHECKING:
    from mail.session.shown import Shown


class Servers:
    """Stands on the registry that is live."""

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry

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
        try:
            found = registry.server_by_address(ipaddress.ip_address(ip))
        except ValueError:
            return None
        return account(*found) if found is not None else None

    def named(self, name: str) -> Account | None:
        """The server with an account's name, "FIN/exchange"."""
        return named(self._registry(), name)


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
