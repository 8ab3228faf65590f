"""An account as the relay knows it while somebody is logged in: whose it is, and as whom it may send. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hudhud.i18n import Language

Kind = Literal["person", "role", "server"]


@dataclass(frozen=True, slots=True)
class Role:
    """A role's mailbox, for which persons act: its primary address, its body, all its addresses."""

    name: str
    entity: str
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Account:
    """`name` is its primary address, `entity` the code of its body; `addresses` are its own, the primary one included.

    `delegated` are addresses of others that it may use now, with their owner; `roles` those of them that are a role's.
    All addresses are local@domain in lower case, the domain as A-label. `kind`: a person; a role's mailbox, for which
    `person` acts (`as_role`); or a body's own server (mail/session/servers.py), "FIN/exchange". Of a server: `senders`
    are the domains and addresses that it may use, none: all of its body; `lists`: posts of others go through it;
    `per_minute`: messages, 0: as the node has it; `claimed`: whom it says it acts for, recorded and never trusted.
    """

    name: str
    entity: str
    addresses: frozenset[str] = frozenset()
    delegated: Mapping[str, str] = field(default_factory=dict)
    language: Language = "ar"
    kind: Kind = "person"
    person: str = ""
    senders: frozenset[str] = frozenset()
    lists: bool = False
    per_minute: int = 0
    claimed: str = ""
    roles: Mapping[str, Role] = field(default_factory=dict)

    def as_role(self, address: str) -> Account:
        """The role that this person acts for by sending as `address`; itself for any other address."""
        role = self.roles.get(address)
        if role is None or self.kind != "person":
            return self
        used = {**self.delegated, **dict.fromkeys(self.addresses, self.name)}
        return Account(role.name, role.entity, role.addresses, used, self.language, "role", self.name)

    @property
    def acts(self) -> str:
        """Whom its mail is recorded for: the person where one acts for a role, else the account itself."""
        return self.person if self.kind == "role" else self.name

    @property
    def hears(self) -> str:
        """The address that is told what becomes of its mail: of the person who acts; "" for a server, which reads its
        replies, unless it is known for whom it acts."""
        return self.person or ("" if self.kind == "server" else self.name)
