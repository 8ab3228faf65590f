"""Who stands behind a message, as the message says: for which role, or for whom a body's own server acts. Pure.

It is recorded, never trusted: what the account may do does not change by it. Postfix
(smtpd_sasl_authenticated_header) says it in its Received, Zimbra, Exim and others in fields of their own; Exchange says
only that the author logged in (AuthAs: Internal), and it lets nobody else write From.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from mail.content import addresses
from mail.message import Message

FIELDS: Final = (b"x-authenticated-user", b"x-authenticated-sender", b"x-authenticated-id", b"x-auth-user")
HOPS: Final = 3  # Received fields that are looked at: those of the server itself
MAX: Final = 254  # characters of a name

_SENDER = re.compile(rb"\(Authenticated sender:\s*([^()\s]{1,254})\s*\)", re.IGNORECASE)
_NAME = re.compile(r"[^\s<>()\",;:\\]+")


def told(message: Message) -> Message:
    """The message with what it says of itself: a person's for a role that From names, a server's for a person."""
    account = message.envelope.account
    if account is None:
        return message
    if account.kind == "server":
        known = replace(account, claimed=person(message))
    elif account.roles:
        authors = (address for field in message.all(b"from")[:1] for address in addresses.read(field.value).addresses)
        known = next((account.as_role(one) for one in authors if one in account.roles), account)
    else:
        return message
    return replace(message, envelope=replace(message.envelope, account=known))


def person(message: Message) -> str:
    """An address or a log-in name; "" where nothing is said."""
    for name in FIELDS:
        if (field := message.first(name)) is not None and (found := _name(field.value)):
            return found
    for field in message.all(b"received")[:HOPS]:
        if said := _SENDER.search(field.body):
            return _name(said[1].decode("ascii", "replace"))
    inside = message.first(b"x-ms-exchange-organization-authas")
    if inside is not None and inside.value.strip().lower() == "internal":
        author = message.first(b"sender") or message.first(b"from")
        if author is not None:
            return next(iter(addresses.read(author.value).addresses), "")
    return ""


def _name(text: str) -> str:
    """The last word: some write their own host before it."""
    words = _NAME.findall(text)
    return words[-1].lower() if words and len(words[-1]) <= MAX and words[-1].isprintable() else ""
