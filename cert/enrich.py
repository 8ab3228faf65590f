"""Adds to an event what our own data know: whose it is, national or not, what it relates to. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, Literal

from hudhud.entity import Registry, a_label
from hudhud.event import Event, Value

COUNTS_OF_PEOPLE: Final = frozenset({"HS-WEBMAIL-COUNT"})
"""Rules whose events are numbers of a whole body: whatever names a host or a user is taken out (design §8.2)."""
_NAMING: Final = ("source.", "client.", "user.", "host.", "related.ip", "related.user", "related.hosts")

Role = Literal["source", "destination", "sender", "recipient"]
MAX_RELATED: Final = 100  # values of one related.* field


def enrich(event: Event, registry: Registry) -> Event:
    """The event with organization, entities of both ends, national or not, related.*; what it says itself stays."""
    fields = dict(event.fields)
    if is_count_of_people(fields):
        for name in [name for name in fields if name.startswith(_NAMING)]:
            del fields[name]
    _ends(fields, registry)
    _envelope(fields, registry)
    _organization(fields, registry)
    _related(fields)
    original = fields.get("event.original")
    if isinstance(original, str):
        fields.setdefault("event.hash", hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest())
    return Event(event.id, event.timestamp, fields)


def is_count_of_people(fields: Mapping[str, Value]) -> bool:
    """Whether the event counts what people did, and so must name nobody."""
    return fields.get("event.dataset") == "hudhud.webmail" or not COUNTS_OF_PEOPLE.isdisjoint(listed(fields, "rule.id"))


def listed(fields: Mapping[str, Value], name: str) -> list[str]:
    """A field's values as texts, [] where it is absent."""
    value = fields.get(name)
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _ends(fields: dict[str, Value], registry: Registry) -> None:
    ends: tuple[Role, ...] = ("source", "destination")
    for role in ends:
        address = fields.get(f"{role}.ip")
        if not isinstance(address, str):
            continue
        try:
            owner, national = registry.by_address(address), registry.is_official_address(address)
        except ValueError:
            continue
        fields.setdefault(f"hudhud.{role}.national", national)
        if owner is not None:
            fields.setdefault(f"hudhud.{role}.entity", owner[0].code)
            fields.setdefault(f"hudhud.{role}.network", owner[1].kind)


def _envelope(fields: dict[str, Value], registry: Registry) -> None:
    for role, name in (("sender", "email.from.address"), ("recipient", "email.to.address")):
        domains = {domain for address in listed(fields, name) if (domain := domain_of(address))}
        if not domains:
            continue
        codes = {entity.code for domain in domains if (entity := registry.by_domain(domain)) is not None}
        if codes:
            fields.setdefault(f"hudhud.{role}.entity", sorted(codes))
        known = {registry.is_national_domain(domain) for domain in domains}
        if None not in known:  # unknown ones are decided by their mail hosts' addresses, which is the relay's work
            fields.setdefault(f"hudhud.{role}.national", known == {True})


@lru_cache(maxsize=65_536)
def domain_of(address: str) -> str:
    """The A-label domain of an e-mail address, "" where it has none."""
    try:
        return a_label(address.rpartition("@")[2])
    except ValueError:
        return ""


def _organization(fields: dict[str, Value], registry: Registry) -> None:
    """The body the event is about: as the source says, else the one of its ends that is ours, its own side first."""
    code = next(iter(listed(fields, "organization.id")), "") or next(
        (
            code
            for role in ("source", "destination", "recipient", "sender")
            for code in listed(fields, f"hudhud.{role}.entity")
        ),
        "",
    )
    entity = registry.entities.get(code)
    if entity is not None:
        fields["organization.id"] = entity.code
        fields.setdefault("organization.name", [entity.name_ar, entity.name_en])


_RELATED: Final[Mapping[str, tuple[str, ...]]] = {
    "related.ip": ("source.ip", "destination.ip", "client.ip", "server.ip", "host.ip", "dns.resolved_ip"),
    "related.hosts": (
        "source.domain", "destination.domain", "host.name", "url.domain", "dns.question.name", "tls.client.server_name",
    ),
    "related.user": ("user.name", "user.email", "hudhud.mail.account", "hudhud.mail.role", "hudhud.mail.person"),
    "related.hash": (
        "file.hash.sha256", "file.hash.md5", "file.hash.sha1", "email.attachments.file.hash.sha256",
        "hudhud.mail.sha256", "tls.client.ja3", "tls.client.ja4", "tls.server.ja3s",
    ),
}  # fmt: skip


def _related(fields: dict[str, Value]) -> None:
    for related, names in _RELATED.items():
        found = dict.fromkeys(_values(fields, (related, *names)))
        if found:
            fields[related] = list(found)[:MAX_RELATED]


def _values(fields: Mapping[str, Value], names: Iterable[str]) -> Iterable[str]:
    return (value for name in names for value in listed(fields, name))
