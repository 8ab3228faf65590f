"""What of an observation may leave the sensor (design: lawful and proportionate). Pure; the one place for it.

With a registry, in this order:
1. Only networks of the registry: a conversation between two others is not told.
2. A public network's conversations are not told; security detectors see them in memory. DHCP, ARP, mDNS are not told.
3. A staff network's host is not named: no address, port, card or community id of it; nor its flows, paths, user
   agents or envelopes. What it does with foreign webmail or foreign mail is not told at all, only counted
   (sensors/detect/webmail.py).
4. Of peers outside the registry no user names, paths or envelope addresses are kept: of any envelope the addresses of
   the bodies' own domains, and of the others the domain.
5. A log-in's account name is never told here; the detector of clear-text government credentials has a rule of its
   own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hudhud.event import Value
from sensors.observation import Observation
from sensors.place import Ends, Places, Side

MAIL_PORTS = frozenset((25, 110, 143, 465, 587, 993, 995, 2525))
_NEVER_TOLD = frozenset(("dhcp", "arp"))
_MAIL = frozenset(("smtp", "imap", "pop3"))
_OF_A_PERSON = ("url.path", "url.query", "url.port", "user_agent.original")
_ENVELOPE = ("email.from.address", "email.to.address")


def fields(observation: Observation, ends: Ends, places: Places) -> dict[str, Value] | None:
    """The fields that may be told of an observation, its flow's included; None where nothing may."""
    flow = observation.flow
    if flow is None or observation.dataset in _NEVER_TOLD or observation.fields.get("network.protocol") == "mdns":
        return None
    source, destination = ends.source, ends.destination
    kinds = (source.kind, destination.kind)
    if kinds == (None, None) or "public" in kinds:
        return None
    told = {**flow.base(), **observation.fields}
    told.pop("user.name", None)
    if "staff" in kinds:
        if observation.dataset == "flow" or _is_mail_abroad(observation, ends, told, places):
            return None
        for name in (*_OF_A_PERSON, *_ENVELOPE, "network.community_id", "hudhud.smtp.helo"):
            told.pop(name, None)
    if None in kinds:
        for name in ("url.path", "url.query"):
            told.pop(name, None)
    _envelope(told, places)
    for side, role in ((source, "source"), (destination, "destination")):
        if side.kind == "staff":
            for name in ("ip", "port", "mac", "bytes", "packets"):
                told.pop(f"{role}.{name}", None)
        if side.entity is not None and side.kind is not None:
            told[f"hudhud.{role}.entity"], told[f"hudhud.{role}.network"] = side.entity, side.kind
    told["organization.id"] = organization(ends)
    return told


def organization(ends: Ends) -> str | None:
    """Whose observation it is: the client's body, else the server's."""
    return ends.source.entity or ends.destination.entity


def named(side: Side, role: Literal["source", "destination"]) -> dict[str, Value]:
    """An end in an alert: a server or a peer outside the registry by its address, staff and public hosts by their
    network's class.
    """
    if side.kind in ("staff", "public"):
        return {f"hudhud.{role}.entity": side.entity, f"hudhud.{role}.network": side.kind}
    return {f"{role}.ip": side.address}


def host_name(told: Mapping[str, Value]) -> str:
    """The name of the host that a client asked for: SNI, HTTP host or DNS question; "" where there is none."""
    for name in ("tls.client.server_name", "url.domain", "dns.question.name"):
        value = told.get(name)
        if isinstance(value, str) and value:
            return value.lower()
    return ""


def _is_mail_abroad(observation: Observation, ends: Ends, told: Mapping[str, Value], places: Places) -> bool:
    """Whether staff's observation shows the use of foreign mail."""
    if not ends.destination.national and (observation.dataset in _MAIL or told.get("destination.port") in MAIL_PORTS):
        return True
    return places.is_foreign_mail(host_name(told))


def _envelope(told: dict[str, Value], places: Places) -> None:
    """Keep addresses of the registry's bodies; of others only the domain."""
    abroad: set[str] = set()
    for name in _ENVELOPE:
        addresses = told.pop(name, None)
        if not isinstance(addresses, list):
            continue
        ours: list[str] = []
        for address in addresses:
            domain = str(address).rpartition("@")[2].lower()
            if "@" in str(address) and places.registry.by_domain(domain) is not None:
                ours.append(str(address))
            elif "@" in str(address):
                abroad.add(domain)
        if ours:
            told[name] = ours
    if abroad:
        told["hudhud.smtp.peer_domains"] = sorted(abroad)
