"""What was found and what it means: finding, verdict, reply, judgement. mail/judge.py decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mail.auth.results import Auth
    from mail.content.parts import Part


class Disposition(IntEnum):
    """What happens to a message for a recipient, in rising order: the strongest finding decides."""

    ACCEPT = 0
    TAG = 1
    HOLD = 2
    DEFER = 3
    REJECT = 4

    @property
    def word(self) -> str:
        """The word that people and machines read: accept, tag, hold, defer, reject."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Disposition:
        """The disposition of a word; KeyError where it is none."""
        return cls[word.upper()]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says. `recipients` are raw addresses, None means every one; `facts` are what it was decided on."""

    check: str
    rule: str
    version: str
    disposition: Disposition
    reason: str
    recipients: tuple[bytes, ...] | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    def concerns(self, recipient: bytes) -> bool:
        """Whether it speaks of this raw address."""
        return self.recipients is None or recipient in self.recipients


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: `enhanced` is an RFC 3463 code, `text` printable ASCII (RFC 6531 section 3.7.4.2)."""

    code: int
    enhanced: str
    text: str

    def line(self) -> str:
        """As it is sent, without the line end."""
        return f"{self.code} {self.enhanced} {self.text}" if self.enhanced else f"{self.code} {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens for one recipient (raw address). `reply` is set when RCPT was refused, else the message's counts."""

    recipient: bytes
    disposition: Disposition
    findings: tuple[Finding, ...] = ()
    reply: Reply | None = None

    @property
    def decisive(self) -> Finding | None:
        """The strongest finding; the first of equals, which is the order of the tables in mail/checks."""
        return max(self.findings, key=lambda finding: finding.disposition, default=None)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that was decided of one message; it can be printed, explained, stored.

    `verdicts` are of the recipients that the envelope still has at DATA, in its order. `threads` are rows
    (account address, foreign address, message id) that begin or go on with a thread: the spool writes them, as it does
    `arrivals`, by which what came in is known again, and its `writers`. `auth` is of what came in from outside.
    """

    verdicts: tuple[Verdict, ...]
    data_reply: Reply
    findings: tuple[Finding, ...] = ()
    parts: tuple[Part, ...] = ()
    urls: tuple[str, ...] = ()
    lure: tuple[str, ...] = ()
    threads: tuple[tuple[str, str, str], ...] = ()
    arrivals: tuple[bytes, ...] = ()
    writers: tuple[str, ...] = ()
    auth: Auth | None = None
    took_ms: float = 0.0
    ruleset: str = ""
    policy: str = ""

    def verdict(self, recipient: bytes) -> Verdict:
        """The verdict of a raw recipient address; KeyError where there is none."""
        for verdict in self.verdicts:
            if verdict.recipient == recipient:
                return verdict
        raise KeyError(recipient)

    @property
    def stored(self) -> bool:
        """Whether the relay takes the message (250), so that the spool must have it first."""
        return self.data_reply.code < 300


EXEMPTED: Final = "exempted"


def exempting(verdict: Verdict) -> str:
    """The exemption that a recipient was taken for, the last that was found to cover it; "" for none."""
    found = [f.facts["exemption"] for f in verdict.findings if f.reason == EXEMPTED and "exemption" in f.facts]
    return str(found[-1]) if found else ""


def used_once(verdict: Verdict) -> str:
    """The same, where it is for one message only."""
    name = exempting(verdict)
    once = any(f.facts.get("exemption") == name and f.facts.get("once") for f in verdict.findings)
    return name if once else ""
