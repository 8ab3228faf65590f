"""H-ID-02, H-ID-03: on submission the From header is the account's own address, there once and plain to read. Pure.

A body's own server names people of its body; what a list server sends on for a list names whoever posted it.
"""

from __future__ import annotations

from mail.facts import Facts, may_use
from mail.message import Message
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, VERSION = "author", "1"
NOT_YOURS, NOT_ONE, AMBIGUOUS = "H-ID-02", "H-ID-03", "H-ADDR-01"


def check(message: Message, facts: Facts, policy: Policy) -> Finding | None:
    """Every address that any reading finds in From must be the account's (RFC 5322 section 3.6.2, RFC 6409)."""
    account = message.envelope.account
    if account is None:
        return None
    authors = [carrier for carrier in facts.carriers if carrier.name == "from"]
    found = tuple(dict.fromkeys(address for carrier in authors for address in carrier.reading.addresses))
    told: dict[str, object] = {"header": "From", "addresses": list(found)}
    if not found:
        return Finding(NAME, NOT_ONE, VERSION, Disposition.REJECT, "no-from", facts=told)
    foreign = [address for address in found if not may_use(account, address, policy.registry)]
    if foreign and not is_list_post(message):
        told |= {"account": account.name, "addresses": foreign}
        reason = "from-not-your-domain" if account.kind == "server" else "from-not-yours"
        return Finding(NAME, NOT_YOURS, VERSION, Disposition.REJECT, reason, facts=told)
    if len(authors) > 1:
        return Finding(NAME, NOT_ONE, VERSION, Disposition.REJECT, "several-from", facts=told)
    why = authors[0].reading.ambiguous
    if why:
        told["why"] = why
        return Finding(NAME, AMBIGUOUS, VERSION, Disposition.REJECT, "ambiguous-address", facts=told)
    return None


def is_list_post(message: Message) -> bool:
    """Whether a registered list server sends it on for a list (RFC 2919): From is the poster's, the sender its own."""
    account = message.envelope.account
    registered = account is not None and account.kind == "server" and account.lists
    return registered and bool(message.envelope.sender) and message.first(b"list-id") is not None
