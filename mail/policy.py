"""The policy that is live: registry, what is asked of each body, exemptions; compiled from their releases. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from hudhud import toml
from hudhud.entity import Registry
from mail import levels
from mail.exempt import ENTITY, Exemption
from mail.levels import Scheme
from mail.suspend import Suspension

if TYPE_CHECKING:
    from mail.envelope import Address
    from rules.ruleset import Ruleset

FILE = "policy.toml"
MiB = 1024 * 1024
MAX_EN, MAX_AR = 200, 400  # characters of the lawful way for large files; the English one stands in SMTP replies

PolicyError = toml.PlaceError
Foreign = Literal["refuse", "reply-only", "allow"]
Inbound = Literal["accept", "tag", "hold"]
Strength = Literal["accept", "tag", "hold", "reject"]
Force = Literal["shadow", "tag", "hold", "refuse"]
"""How far a rule of the national policy goes; shadow: it is judged and told of, and never carried out."""


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked of a body; policy.toml gives the defaults in [default] and differences in [entity.CODE]."""

    mode: Literal["shadow", "enforce"] = "enforce"  # shadow: the national policy is judged and told, never carried out
    foreign: Foreign = "reply-only"  # rule B
    reply_days: int = 30  # days; how long whoever wrote first may be answered in that thread
    leak: Literal[Force, "reject"] = (
        "refuse"  # rule A: a foreign Reply-To and its like ("reject" is "refuse" of before)
    )
    inbound: Inbound = "accept"  # rule C: mail from abroad
    impersonation: Strength = "hold"  # rule C: mail from abroad that says it comes from one of our bodies
    dmarc: Strength = "hold"  # mail that fails the DMARC policy "reject" of From's domain ("quarantine" tags at most)
    max_size: int = 35 * MiB  # octets of DATA
    app_abroad: bool = False  # outside the national networks people log in with app passwords or tokens only
    null_sender: bool = False  # whether accounts may send with an empty MAIL FROM
    ambiguous: Strength = "tag"  # mail programs would read different contents
    encrypted: Strength = "tag"  # an attachment that cannot be examined without its password
    refusals: Literal["notice", "reply"] = "notice"  # how people hear that a recipient is forbidden; the rest is sent
    faults: Literal["spool", "defer"] = "spool"  # what our own fault stops is kept and judged again, or answered 451
    large_files_ar: str = ""  # the lawful way for what is too large, in Arabic …
    large_files_en: str = ""  # … and in English (ASCII: it stands in SMTP replies)
    unsolicited: Force = "refuse"  # rule B: what befalls who may not be written to by `foreign`
    unlisted: Force = "tag"  # rule A: an address in To or Cc that the envelope does not have
    forwarding: Force = "refuse"  # rule A: marks of automatic forwarding on what goes abroad
    onward: Force = "refuse"  # rule A: what came in within spool.arrival_days goes on abroad
    foreign_house: Force = "tag"  # rule A: a body's domain whose mail hosts stand abroad; target: refuse
    mentions: Literal["shadow", "tag"] = "tag"  # rule D: the text asks to be written to abroad; never more than a tag
    ambiguous_address: Force = "refuse"  # rule A: a carrier that can be read as different addresses
    response_centre: tuple[str, ...] = ()  # addresses of the response centre's notices; they may be sent anywhere


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    default: dict[str, object] = {}
    entity: dict[str, dict[str, object]] = {}
    classification: Scheme = Scheme()


@dataclass(frozen=True, slots=True)
class Document:
    """A policy.toml that was read: the default rules, those of bodies that differ, and its lines."""

    version: str
    default: Rules
    entities: Mapping[str, Rules]
    where: Mapping[str, int] = field(default_factory=dict)
    scheme: Scheme = field(default_factory=Scheme)


def parse_policy(files: Mapping[str, bytes]) -> Document:
    """The policy of a release; PolicyError names file, line and key."""
    if FILE not in files:
        raise PolicyError(FILE, 0, "", "is missing from the policy's files")
    raw, where = toml.read(FILE, files[FILE])
    document = toml.convert(raw, _Document, file=FILE, where=where)
    default = toml.convert(document.default, Rules, file=FILE, where=where, prefix="default")
    base = msgspec.structs.asdict(default)
    entities = {}
    for code, values in document.entity.items():
        toml.convert(values, Rules, file=FILE, where=where, prefix=f"entity.{code}")
        entities[code] = toml.convert(base | values, Rules, file=FILE, where=where, prefix=f"entity.{code}")
    for key, rules in (("default", default), *((f"entity.{code}", rules) for code, rules in entities.items())):
        _check_numbers(key, rules, where)
    levels.check(document.classification, FILE, where)
    return Document(document.version, default, entities, where, document.classification)


def _check_numbers(key: str, rules: Rules, where: Mapping[str, int]) -> None:
    for name, low, high in (("reply_days", 1, 366), ("max_size", 1024, 1024 * MiB)):
        if not low <= getattr(rules, name) <= high:
            place = f"{key}.{name}"
            raise PolicyError(FILE, toml.line_of(place, where), place, f"is between {low} and {high}")
    if any(local == "" or "@" in local or not domain for local, _, domain in map(_halves, rules.response_centre)):
        place = f"{key}.response_centre"
        raise PolicyError(FILE, toml.line_of(place, where), place, "is a list of addresses (local@domain)")
    for name, longest in (("large_files_en", MAX_EN), ("large_files_ar", MAX_AR)):
        text, place = getattr(rules, name), f"{key}.{name}"
        if len(text) > longest or not text.isprintable() or not (name.endswith("ar") or text.isascii()):
            problem = f"is one line of at most {longest} characters{'' if name.endswith('ar') else ' of ASCII'}"
            raise PolicyError(FILE, toml.line_of(place, where), place, problem)
    if bool(rules.large_files_en) != bool(rules.large_files_ar):
        place = f"{key}.large_files_{'ar' if rules.large_files_en else 'en'}"
        raise PolicyError(FILE, toml.line_of(key, where), place, "is missing: it is said in both languages or in none")


def _halves(address: str) -> tuple[str, str, str]:
    return address.strip().rpartition("@")


@dataclass(frozen=True, slots=True)
class Policy:
    """Immutable. Look-ups cost one or a few dictionaries."""

    version: str
    registry: Registry
    default: Rules
    entities: Mapping[str, Rules]
    exemptions: Mapping[tuple[str, str], tuple[Exemption, ...]]
    suspensions: tuple[Suspension, ...] = ()
    scheme: Scheme = field(default_factory=Scheme)
    single: tuple[Exemption, ...] = ()  # those of the exemptions that are for one message

    def rules(self, entity: str | None) -> Rules:
        """What is asked of the body with that code; the default for any other."""
        return self.entities.get(entity or "", self.default)

    def foreign(self, entity: str) -> Foreign:
        """Rule B for that body."""
        return self.rules(entity).foreign

    def reply_since(self, entity: str, now: datetime) -> datetime:
        """From when on a message from abroad may still be answered."""
        return now - timedelta(days=self.rules(entity).reply_days)

    def suspended(self, check: str, now: datetime) -> Suspension | None:
        """What turns the check's findings to tags at this moment; None where it bites."""
        return next((one for one in self.suspensions if one.check == check and one.in_force(now)), None)

    def exempting(
        self, sender: Address, recipient: Address, now: datetime, spent: Collection[str] = ()
    ) -> Iterator[Exemption]:
        """Those in force for that pair, the narrowest scope first, but for the ids that are `spent`."""
        if not self.exemptions:
            return
        for s in self._senders(sender):
            for r in _scopes(recipient):
                for exemption in self.exemptions.get((s, r), ()):
                    if exemption.in_force(now) and exemption.id not in spent:
                        yield exemption

    def exemption(
        self,
        sender: Address,
        recipient: Address,
        now: datetime,
        size: int | None,
        *,
        level: int = 0,
        spent: Collection[str] = (),
    ) -> Exemption | None:
        """The first of them that covers the size (octets; None: not known yet) and the level of classification."""
        found = self.exempting(sender, recipient, now, spent)
        return next((one for one in found if one.fits(size) and self.covers(one, level)), None)

    def covers(self, exemption: Exemption, level: int) -> bool:
        """Whether it is for messages of that level (a place in the policy's levels)."""
        return level <= self.scheme.rank(exemption.classification)

    def once(self, now: datetime) -> frozenset[str]:
        """The ids of those that are for one message only."""
        return frozenset(one.id for one in self.single if one.in_force(now))

    def _senders(self, address: Address) -> Iterator[str]:
        yield from _scopes(address)
        body = self.registry.by_domain(address.domain) if address.domain else None
        if body is not None:
            yield f"{ENTITY}{body.code}"


def _scopes(address: Address) -> tuple[str, str]:
    return f"{address.local.lower()}@{address.domain}", address.domain


def compile_policy(
    document: Document,
    registry: Registry,
    exemptions: Iterable[Exemption] = (),
    suspensions: Iterable[Suspension] = (),
) -> Policy:
    """Puts the three releases together. PolicyError names the line of a body that the registry does not know."""
    for code in document.entities:
        if code not in registry.entities:
            key = f"entity.{code}"
            problem = "the registry has no body with that code"
            raise PolicyError(FILE, toml.line_of(key, document.where), key, problem)
    table: dict[tuple[str, str], tuple[Exemption, ...]] = {}
    for exemption in exemptions:
        key_pair = exemption.sender, exemption.recipient
        table[key_pair] = (*table.get(key_pair, ()), exemption)
    return Policy(
        document.version,
        registry,
        document.default,
        document.entities,
        table,
        tuple(suspensions),
        document.scheme,
        tuple(one for some in table.values() for one in some if one.uses is not None),
    )


class LiveRules(Protocol):
    """What judges read once a message: the policy and the ruleset that are live."""

    @property
    def policy(self) -> Policy: ...
    @property
    def ruleset(self) -> Ruleset: ...
    def refresh(self) -> bool:
        """Looks for new releases; True when something was swapped."""
        ...
