"""An attempt: what one try to hand a message to its next hop came to, for one recipient. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

# How far the try came; what failed before `mail` says something of the next hop, not of the message.
Stage = Literal["judge", "local", "route", "connect", "mail", "rcpt", "data", "done"]

_ENHANCED = re.compile(r"^(?:[245]\d\d[ -])?([245]\.\d{1,3}\.\d{1,3})\b")


@dataclass(frozen=True, slots=True)
class Attempt:
    """`reply` is the next hop's words where `remote`, ours otherwise; always printable and at most 1,000 characters.

    `permanent` matters only where it was not delivered. `handed` says that the next hop took over to tell the sender
    of a success (it offers DSN, RFC 3461 section 5.2), `final` that it was the mailbox itself (LMTP).
    """

    delivered: bool
    permanent: bool
    reply: str
    host: str
    when: datetime
    stage: Stage = "done"
    remote: bool = False
    tls: str = ""
    handed: bool = False
    final: bool = False

    @property
    def status(self) -> str:
        """The RFC 3463 status: the one in the reply where its class fits the outcome, else the plain one."""
        first = "2" if self.delivered else "5" if self.permanent else "4"
        found = _ENHANCED.match(self.reply)
        return found[1] if found and found[1][0] == first else f"{first}.0.0"

    @property
    def reached(self) -> bool:
        """Whether a next hop spoke to us far enough to judge the message."""
        return self.stage in ("mail", "rcpt", "data", "done")
