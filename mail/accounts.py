"""The accounts of the relay: who may log in, which addresses are theirs, and what is delegated to whom until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hudhud.i18n import Language


@dataclass(frozen=True, slots=True)
class Account:
    """`name` is its primary address, `entity` the code of its body; `addresses` are its own, the primary one included.

    `delegated` are addresses of others that it may use now, with their owner; expired ones are not in it. All addresses
    are local@domain in lower case, the domain as A-label.
    """

    name: str
    entity: str
    addresses: frozenset[str] = frozenset()
    delegated: Mapping[str, str] = field(default_factory=dict)
    language: Language = "ar"
