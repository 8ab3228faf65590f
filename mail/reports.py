"""What a delivery report or automatic answer says of itself: of whose mailbox, about which message. RFC 3464. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mail.content import addresses
from mail.message import Message

MAX_READ: Final = 256 * 1024  # octets of the message that are looked at
MAX_FOUND: Final = 20  # of each

_RECIPIENT = re.compile(
    rb"^(?:Final|Original)-Recipient:[ \t]*rfc822;[ \t]*<?([^\s<>;]{3,320})>?[ \t]*\r?$", re.I | re.M
)
_MESSAGE_ID = re.compile(rb"^Message-ID:[ \t]*(?:\r\n[ \t]+)?<([^<>\s]{1,998})>", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Report:
    """`whose`: the mailboxes that it speaks of or for (local@domain, lower case); `messages`: ids that it is about."""

    whose: tuple[str, ...]
    messages: tuple[str, ...]


def read(message: Message) -> Report:
    """What the header and the parts in clear text say; a report says it nowhere else."""
    body = message.body[:MAX_READ]
    found = [m[1].decode("ascii", "replace").lower() for m in _RECIPIENT.finditer(body)]
    for field in message.all(b"from")[:1]:
        found += addresses.read(field.value).addresses
    ids = [m[1].decode("ascii", "replace") for m in _MESSAGE_ID.finditer(body)]
    return Report(tuple(dict.fromkeys(found))[:MAX_FOUND], tuple(dict.fromkeys(ids))[:MAX_FOUND])
