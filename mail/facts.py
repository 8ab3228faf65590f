"""What the checks may know: gathered before them (DNS, threads, content), frozen, so that they are pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from hudhud.entity import Registry, suffixes
from mail import reports
from mail.accounts import Account
from mail.auth.gather import authenticate
from mail.auth.results import Auth
from mail.content import addresses
from mail.content.features import Features
from mail.content.marks import Marks
from mail.content.mentions import Mention, mailtos
from mail.content.parts import Contents
from mail.dns import Resolver
from mail.envelope import Address, Envelope, Recipient
from mail.houses import House
from mail.message import Field, Message
from mail.national import Standing, gather_standings
from mail.nexthop import Ahead, Offer
from mail.policy import Policy
from mail.threads import Threads
from mail.verdict import Finding
from rules.yara import Hit

NOTHING_READ: Final = Contents()
NO_FEATURES: Final = Features()
NO_MARKS: Final = Marks()
AUTHOR: Final = b"from"
LEAKS: Final[Mapping[bytes, str]] = {
    b"reply-to": "H-LEAK-01",
    b"mail-reply-to": "H-LEAK-01",
    b"x-reply-to": "H-LEAK-01",
    b"list-post": "H-LEAK-01",
    b"list-reply": "H-LEAK-01",
    b"list-reply-to": "H-LEAK-01",
    b"sender": "H-LEAK-02",
    b"author": "H-LEAK-02",
    b"resent-from": "H-LEAK-03",
    b"resent-sender": "H-LEAK-03",
    b"resent-reply-to": "H-LEAK-03",
    b"resent-to": "H-LEAK-03",
    b"resent-cc": "H-LEAK-03",
    b"resent-bcc": "H-LEAK-03",
    b"disposition-notification-to": "H-LEAK-04",
    b"x-disposition-notification-to": "H-LEAK-04",
    b"x-confirm-reading-to": "H-LEAK-04",
    b"x-acknowledge-to": "H-LEAK-04",
    b"return-receipt-to": "H-LEAK-05",
    b"x-return-receipt-to": "H-LEAK-05",
    b"read-receipt-to": "H-LEAK-05",
    b"registered-mail-reply-requested-by": "H-LEAK-05",
    b"notice-requested-upon-delivery-to": "H-LEAK-05",
    b"errors-to": "H-LEAK-06",
    b"x-errors-to": "H-LEAK-06",
    b"return-path": "H-LEAK-06",
    b"originator-return-address": "H-LEAK-06",
    b"mail-followup-to": "H-LEAK-07",
    b"mail-copies-to": "H-LEAK-07",
}
"""Header fields that draw answers, receipts or copies to an address (rule A), and the rule each is judged by.

RFC 5322, 9057 (Author), 8098, 2369 (List-Post), 2156 (Originator-Return-Address), 2076; X- names
are of mail programs.
"""

LINKS: Final = frozenset({b"list-post", b"list-reply", b"list-reply-to"})
"""Those whose addresses are mailto: links (RFC 2369), which mail programs offer as "reply to the list"."""


BATV: Final = re.compile(r"(?:prvs=[0-9a-z]{1,20}=|btv1==[0-9a-z]{1,40}==)(.+@.+)")


@dataclass(frozen=True, slots=True)
class Carrier:
    """A header field that carries addresses: its name (lower case) and what is read in it."""

    name: str
    reading: addresses.Reading


@dataclass(frozen=True, slots=True)
class Facts:
    """Frozen. Addresses are local@domain in lower case; domains are keys as they stood in envelope or header.

    `began`: foreign recipients who wrote first. `answered`: those whose message this one answers. `hits`: part path and
    rule. `rcpt`: what the envelope checks found for the recipients that were taken. `auth`: where it comes from;
    None of what an account handed in. `marks`: by which the message is known again; `came`: those of them that came in
    within the window, with who wrote them. `houses`: bodies' domains whose mail hosts stand abroad. `mentions`: rule D.
    """

    now: datetime
    standings: Mapping[str, Standing] = field(default_factory=dict)
    began: frozenset[str] = frozenset()
    answered: frozenset[str] = frozenset()
    carriers: tuple[Carrier, ...] = ()
    contents: Contents = NOTHING_READ
    hits: tuple[tuple[str, Hit], ...] = ()
    rcpt: tuple[Finding, ...] = ()
    offers: Mapping[str, Offer] = field(default_factory=dict)  # by domain, of next hops that were spoken to lately
    auth: Auth | None = None
    features: Features = NO_FEATURES
    marks: Marks = NO_MARKS
    came: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)
    houses: Mapping[str, House] = field(default_factory=dict)
    mentions: tuple[Mention, ...] = ()
    level: int = 0  # of classification, a place in the policy's levels …
    mark: str = ""  # … and what in header or subject says so
    spent: frozenset[str] = frozenset()  # exemptions for one message that were used by another

    def standing(self, domain: str) -> Standing:
        """What is known of a domain; one that was not gathered counts as not found out."""
        return self.standings.get(domain) or Standing(domain, None, "dns-failed")


def plain(address: Address) -> str:
    """The address as it is compared: lower case, A-label."""
    return f"{address.local.lower()}@{address.domain}"


def own_addresses(account: Account) -> frozenset[str]:
    """Every address the account may send as: its own and those delegated to it. None for a server: `may_use` says."""
    if account.kind == "server":
        return frozenset()
    return frozenset(text.lower() for text in (account.name, *account.addresses, *account.delegated))


def may_use(account: Account, address: str, registry: Registry) -> bool:
    """Whether the account may send as `address` (local@domain in lower case)."""
    if account.kind != "server":
        return address in own_addresses(account)
    domain = addresses.domain_of(address)
    owner = registry.by_domain(domain)
    if owner is None or owner.code != account.entity:
        return False
    narrower = account.senders
    return not narrower or address in narrower or any(above in narrower for above in suffixes(domain))


def read_carriers(message: Message) -> tuple[Carrier, ...]:
    """From and the header fields of rule A, in the message's order."""
    return tuple(
        Carrier(f.name.decode("ascii", "replace"), _reading(f))
        for f in message.headers
        if f.name == AUTHOR or f.name in LEAKS
    )


def _reading(field: Field) -> addresses.Reading:
    if field.name in LINKS and "mailto:" in field.value.lower():
        return addresses.Reading(mailtos(field.value))
    if field.name == b"mail-copies-to" and field.value.strip().lower() in ("always", "nobody", "never", "poster"):
        return addresses.Reading(())
    return addresses.read(field.value)


async def gather_envelope(
    envelope: Envelope, policy: Policy, resolver: Resolver, threads: Threads, now: datetime
) -> Facts:
    """Facts for the envelope checks: where each recipient's domain stands, and who wrote first."""
    domains = [r.address.domain for r in envelope.recipients]
    if envelope.account is None and envelope.sender.domain:
        domains.append(envelope.sender.domain)
    standings = await gather_standings(domains, policy.registry, resolver)
    return Facts(now, standings, began=_began(envelope, standings, policy, threads, now))


async def gather_headers(
    message: Message, policy: Policy, resolver: Resolver, threads: Threads, now: datetime
) -> Facts:
    """Facts for the message checks, content aside: addresses in the header, their standing, what is answered."""
    envelope = message.envelope
    carriers = read_carriers(message) if envelope.account is not None else ()
    domains = [addresses.domain_of(a) for carrier in carriers for a in carrier.reading.addresses]
    domains += [r.address.domain for r in envelope.recipients]
    if envelope.account is None and envelope.sender.domain:
        domains.append(envelope.sender.domain)
    standings = await gather_standings(domains, policy.registry, resolver)
    answered = _answered(message, standings, policy, threads, now)
    auth = await authenticate(message, resolver) if envelope.account is None else None
    return Facts(now, standings, answered=answered, carriers=carriers, auth=auth)


async def gather_offers(envelope: Envelope, ahead: Ahead | None) -> Mapping[str, Offer]:
    """What the recipients' next hops offered, by domain, as far as it is known."""
    if ahead is None:
        return {}
    found = {domain: await ahead.of(domain) for domain in {r.address.domain for r in envelope.recipients}}
    return {domain: offer for domain, offer in found.items() if offer is not None}


def _abroad(recipients: Iterable[Recipient], standings: Mapping[str, Standing]) -> Sequence[str]:
    return [plain(r.address) for r in recipients if standings[r.address.domain].national is False]


def _began(
    envelope: Envelope, standings: Mapping[str, Standing], policy: Policy, threads: Threads, now: datetime
) -> frozenset[str]:
    account = envelope.account
    if account is None or policy.foreign(account.entity) != "reply-only":
        return frozenset()
    foreign, since = _abroad(envelope.recipients, standings), policy.reply_since(account.entity, now)
    mine = _writers(envelope, account)
    return frozenset(f for f in foreign if threads.began(mine, f, since))


def _writers(envelope: Envelope, account: Account) -> tuple[str, ...]:
    """In whose name a thread may be answered: a server speaks for one of its body's people at a time."""
    return written_by(envelope) if account.kind == "server" else tuple(own_addresses(account))


def written_by(envelope: Envelope) -> tuple[str, ...]:
    """The sender, and where its server put a tag around it (BATV: prvs=1234567890=amal@…) the address within."""
    sender = plain(envelope.sender)
    tagged = BATV.fullmatch(sender)
    return (sender, tagged[1]) if tagged else (sender,)


def _answered(
    message: Message, standings: Mapping[str, Standing], policy: Policy, threads: Threads, now: datetime
) -> frozenset[str]:
    account = message.envelope.account
    if account is None:
        return frozenset()
    foreign = _abroad(message.envelope.recipients, standings)
    ids = message.answers_to() if foreign else ()
    since, mine = policy.reply_since(account.entity, now), _writers(message.envelope, account)
    if foreign and account.kind == "server" and not message.envelope.sender:
        report = reports.read(message)
        ids = (*ids, *report.messages)
        mine = tuple(one for one in report.whose if may_use(account, one, policy.registry))
    return frozenset(f for f in foreign if threads.answers(mine, f, ids, since))
