"""Exemptions as nodes know them: who may write to whom abroad, until when, how large, how secret; from a release.

What is asked for, approved and revoked stands in mail/grants; here is what came of it, and what a release must keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final, Literal

import msgspec

from hudhud import toml
from hudhud.entity import a_label

FILE = "exemptions.json"
APPROVERS = 2  # distinct people, neither the applicant
MAX_DAYS = 366  # days; a longer need is asked for again
BREAK_GLASS_S: Final = 3600  # seconds that a break-glass exemption lasts
ENTITY: Final = "entity:"  # a sender's scope: all of a public body

Kind = Literal["ordinary", "partner", "break-glass"]

ExemptionError = toml.PlaceError


class Exemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What approvers allowed. `sender`: an address, a domain (A-label) or entity:CODE; `recipient`: address or domain.

    `max_size`: octets of one message, None: the body's limit. `classification`: the highest level, "": what is not
    marked. `uses`: messages, None: any number. A partner (embassy, United Nations) has an `owner` of ours, who answers
    for it, a `contact` there, and a day on which it is reviewed.
    """

    id: str
    sender: str
    recipient: str
    starts: datetime
    ends: datetime
    reason: str
    document: str
    applicant: str
    approvers: tuple[str, ...] = ()
    max_size: int | None = None
    classification: str = ""
    kind: Kind = "ordinary"
    uses: int | None = None
    owner: str = ""
    contact: str = ""
    review: date | None = None

    def in_force(self, now: datetime) -> bool:
        """By the clock of whoever asks: each node its own."""
        return self.starts <= now < self.ends

    def fits(self, size: int | None) -> bool:
        """Whether a message of `size` octets (None: not yet known) is within it."""
        return self.max_size is None or size is None or size <= self.max_size

    @property
    def wide(self) -> bool:
        """Whether it is of a whole domain or body, to a whole domain."""
        return "@" not in self.sender and "@" not in self.recipient

    @property
    def needed(self) -> int:
        """How many people approve it."""
        return 1 if self.kind == "break-glass" else APPROVERS


def normal_scope(text: str) -> str:
    """An address or domain in the form that is compared; ValueError where it is neither or covers a whole suffix."""
    local, at, domain = text.strip().rpartition("@")
    name = a_label(domain)
    if "." not in name:
        raise ValueError(f"{text!r} covers more than a domain")
    if at and (not local or any(c.isspace() for c in local)):
        raise ValueError(f"{text!r} is not an address")
    return f"{local.lower()}@{name}" if at else name


def normal_sender(text: str) -> str:
    """The same for a sender, which may be a whole body: entity:FIN."""
    head, _, code = text.strip().partition(":")
    if head.strip().lower() != "entity":
        return normal_scope(text)
    code = code.strip().upper()
    if not code.isascii() or not code.replace("-", "").isalnum():
        raise ValueError(f"{text!r} names no body")
    return ENTITY + code


def parse_exemptions(files: Mapping[str, bytes]) -> tuple[Exemption, ...]:
    """The exemptions of a release; ExemptionError names the file and the entry. No file: none."""
    if FILE not in files:
        return ()
    try:
        found = msgspec.json.decode(files[FILE], type=list[Exemption])
    except msgspec.DecodeError as error:
        raise ExemptionError(FILE, 0, "", str(error)) from None
    for index, exemption in enumerate(found):
        key, problem = _problem(exemption)
        if problem:
            raise ExemptionError(FILE, 0, f"[{index}]{key}", f"{exemption.id} {problem}")
    return tuple(found)


def _problem(one: Exemption) -> tuple[str, str]:
    """Which rule of exemptions it breaks, and where."""
    if len({name.casefold() for name in one.approvers} - {one.applicant.casefold()}) < one.needed:
        return ".approvers", f"lacks {one.needed} approvers"
    if one.starts.tzinfo is None or one.ends.tzinfo is None:
        return "", "has times without a zone"
    if one.ends <= one.starts or one.ends - one.starts > timedelta(days=MAX_DAYS):
        return ".ends", "is open-ended or ends before it begins"
    try:
        if (normal_sender(one.sender), normal_scope(one.recipient)) != (one.sender, one.recipient):
            return ".sender", "has a scope that is not in its normal form"
    except ValueError as error:
        return ".sender", str(error)
    if one.kind == "break-glass" and (
        one.uses != 1
        or one.ends - one.starts > timedelta(seconds=BREAK_GLASS_S)
        or "@" not in one.sender
        or "@" not in one.recipient
    ):
        return ".kind", "is break-glass: one message from one address to one, within one hour"
    if one.kind == "partner" and (not one.owner or one.review is None):
        return ".owner", "is a partner's: it needs an owner and a day of review"
    if one.uses not in (None, 1):
        return ".uses", "is of one message or of any number"
    return "", ""
