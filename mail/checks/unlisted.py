"""H-TO-01: addresses in To and Cc that the envelope does not have: who answers to all writes to them. Pure."""

from __future__ import annotations

from typing import Final

from mail.checks.author import is_list_post
from mail.content import addresses
from mail.facts import Facts, own_addresses, plain
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "unlisted", "H-TO-01", "1"
FIELDS: Final = frozenset({b"to", b"cc", b"apparently-to", b"x-apparently-to"})
MAX_SHOWN: Final = 20  # addresses in the facts


def check(message: Message, facts: Facts, policy: Policy) -> Finding | None:
    """On submission only. Lists aside, and of a body's own server its own people: it has served them itself."""
    account = message.envelope.account
    if account is None or is_list_post(message):
        return None
    served = {plain(r.address) for r in message.envelope.recipients} | own_addresses(account)
    named = dict.fromkeys(
        one
        for f in message.headers
        if f.name in FIELDS
        for one in addresses.read(f.value).addresses
        if one not in served
    )
    registry = policy.registry
    other = [one for one in named if not (account.kind == "server" and _home(one, account.entity, policy))]
    if not other:
        return None
    foreign = [one for one in other if registry.is_national_domain(addresses.domain_of(one)) is False]
    told: dict[str, object] = {"addresses": other[:MAX_SHOWN], "foreign": foreign[:MAX_SHOWN], "count": len(other)}
    return Finding(NAME, RULE, VERSION, Disposition.REJECT, "unlisted-recipient", facts=told)


def _home(address: str, entity: str, policy: Policy) -> bool:
    owner = policy.registry.by_domain(addresses.domain_of(address))
    return owner is not None and owner.code == entity
