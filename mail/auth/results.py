"""What was found out about where a message comes from, in RFC 8601's words. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Word = Literal["none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror"]


@dataclass(frozen=True, slots=True)
class Spf:
    """RFC 7208. `domain` is the one that was asked: MAIL FROM's, or for the null sender that of HELO (`helo`)."""

    result: Word
    domain: str
    helo: bool = False


@dataclass(frozen=True, slots=True)
class Dkim:
    """One signature (RFC 6376), in the message's order. `reason` says in a word why it is no pass."""

    domain: str
    selector: str
    result: Word
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Dmarc:
    """RFC 9989. `author` is the domain of From, `domain` the one whose record counts, `policy` what it asks for."""

    result: Word
    policy: str = ""
    domain: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class Arc:
    """RFC 8617: the chain as a whole."""

    result: Word


@dataclass(frozen=True, slots=True)
class Auth:
    """Everything about one message."""

    spf: Spf
    dkim: tuple[Dkim, ...] = ()
    dmarc: Dmarc = field(default_factory=lambda: Dmarc("none"))
    arc: Arc = field(default_factory=lambda: Arc("none"))
