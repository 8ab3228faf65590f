"""The fields that events may have: one table of names and types for both stores, and the shape every event is given.

Names and types are those of ECS 9 (elastic/ecs, generated/csv/fields.csv), below `hudhud.` our own. A value that does
not fit its type, and a field that is not in the table, is kept under `hudhud.other`: nothing is lost to a mapping
conflict.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal, cast

from hudhud.event import Event, EventError, Value, format_time, parse_time

Type = Literal["keyword", "text", "ip", "long", "double", "boolean", "date", "kept"]
"""`text` is searched by its folded words, `kept` is stored and not searched."""

_TABLE: Final = {
    "keyword": """
        event.id event.kind event.category event.type event.action event.dataset event.module event.provider
        event.outcome event.reason event.code event.hash event.reference event.timezone
        organization.id observer.name observer.type observer.vendor observer.product observer.ingress.interface.name
        agent.id agent.type ecs.version tags
        source.address source.domain source.mac source.user.name source.as.organization.name
        source.geo.country_iso_code
        destination.address destination.domain destination.mac destination.user.name destination.as.organization.name
        destination.geo.country_iso_code
        client.address client.domain server.address server.domain
        network.transport network.protocol network.type network.application network.community_id network.direction
        network.name network.vlan.id network.iana_number
        dns.question.name dns.question.type dns.question.class dns.question.registered_domain
        dns.question.top_level_domain dns.question.subdomain
        dns.response_code dns.id dns.type dns.op_code dns.header_flags dns.answers.name dns.answers.type
        dns.answers.data dns.answers.class
        tls.version tls.version_protocol tls.cipher tls.curve tls.next_protocol tls.client.server_name tls.client.ja3
        tls.client.hash.sha256 tls.client.issuer tls.client.subject tls.server.ja3s tls.server.issuer
        tls.server.subject tls.server.hash.sha256 tls.server.hash.sha1 tls.server.x509.serial_number
        tls.server.x509.alternative_names
        http.request.method http.request.referrer http.request.mime_type http.request.id http.version
        http.response.mime_type
        url.domain url.path url.full url.original url.query url.scheme url.extension url.registered_domain
        url.subdomain url.username
        user_agent.original user_agent.name
        email.message_id email.local_id email.direction email.from.address email.to.address email.cc.address
        email.bcc.address email.sender.address email.reply_to.address email.content_type email.x_mailer
        email.attachments.file.hash.sha256 email.attachments.file.hash.sha1 email.attachments.file.hash.md5
        email.attachments.file.extension email.attachments.file.mime_type
        file.path file.extension file.mime_type file.hash.sha256 file.hash.sha1 file.hash.md5 file.type file.owner
        host.name host.hostname host.id host.mac host.os.type host.os.name host.type
        user.name user.id user.email user.domain user.roles
        process.name process.executable process.command_line process.entity_id process.parent.name
        process.hash.sha256 service.name service.type service.id
        rule.id rule.version rule.category rule.ruleset rule.reference rule.uuid rule.author rule.license
        threat.framework threat.tactic.id threat.tactic.name threat.technique.id threat.technique.name
        threat.indicator.type threat.indicator.name threat.indicator.provider threat.indicator.marking.tlp
        vulnerability.id vulnerability.severity
        related.hosts related.user related.hash
        error.code error.type log.level log.logger transaction.id""",
    "text": """
        message rule.name rule.description organization.name file.name email.subject
        email.attachments.file.name threat.indicator.description error.message vulnerability.description""",
    "ip": """
        source.ip source.nat.ip destination.ip destination.nat.ip client.ip server.ip host.ip observer.ip
        dns.resolved_ip related.ip threat.indicator.ip""",
    "long": """
        event.severity event.sequence event.duration
        source.port source.bytes source.packets source.as.number destination.port destination.bytes
        destination.packets destination.as.number client.port server.port client.bytes server.bytes
        network.bytes network.packets
        dns.answers.ttl http.request.bytes http.request.body.bytes http.response.status_code http.response.bytes
        http.response.body.bytes url.port email.attachments.file.size file.size process.pid process.exit_code""",
    "double": "event.risk_score",
    "boolean": "tls.established tls.resumed",
    "date": """
        event.created event.ingested event.start event.end email.origination_timestamp email.delivery_timestamp
        tls.server.not_after tls.server.not_before file.mtime file.created threat.indicator.first_seen
        threat.indicator.last_seen""",
    "kept": "event.original",
}
_OURS: Final = {
    "keyword": """
        hudhud.mail.queue_id hudhud.mail.disposition hudhud.mail.listener hudhud.mail.account hudhud.mail.lure
        hudhud.mail.role hudhud.mail.person hudhud.mail.noted
        hudhud.mail.sha256 hudhud.mail.exemption hudhud.mail.reply hudhud.smtp.peer_domains
        hudhud.mail.spf hudhud.mail.dkim hudhud.mail.dmarc
        hudhud.webmail.service
        hudhud.smtp.helo hudhud.smtp.banner hudhud.smtp.reply hudhud.imap.banner hudhud.pop3.banner
        hudhud.dhcp.type hudhud.dhcp.host_name hudhud.dhcp.client_mac hudhud.arp.operation hudhud.tls.alpn
        hudhud.flow.state hudhud.flow.reason hudhud.flow.tcp_flags hudhud.auth.method
        hudhud.source.entity hudhud.source.network hudhud.destination.entity hudhud.destination.network
        hudhud.sender.entity hudhud.recipient.entity hudhud.run hudhud.source_id
        tls.client.ja4 hudhud.time.problem""",
    "ip": "hudhud.dhcp.requested_ip hudhud.dhcp.assigned_ip",
    "long": """
        hudhud.mail.size hudhud.mail.recipients hudhud.webmail.hosts hudhud.webmail.logins hudhud.clock_skew_ms
        hudhud.replay_offset_s""",
    "boolean": """
        hudhud.auth.clear hudhud.smtp.starttls hudhud.imap.starttls hudhud.pop3.starttls
        hudhud.source.national hudhud.destination.national hudhud.sender.national hudhud.recipient.national""",
}


def _read(table: Mapping[str, str]) -> dict[str, Type]:
    return {name: _type(kind) for kind, names in table.items() for name in names.split()}


def _type(kind: str) -> Type:
    types: dict[str, Type] = {
        "keyword": "keyword", "text": "text", "ip": "ip", "long": "long",
        "double": "double", "boolean": "boolean", "date": "date", "kept": "kept",
    }  # fmt: skip
    return types[kind]


ECS: Final[Mapping[str, Type]] = _read(_TABLE)
OURS: Final[Mapping[str, Type]] = _read(_OURS)
FIELDS: Final[Mapping[str, Type]] = {**ECS, **OURS}
"""Every field an event of ours may have, but for `@timestamp`."""

OTHER: Final = "hudhud.other"  # what is not in the table: its dotted name below this one, as keywords
MAX_KEYWORD: Final = 1024  # characters; a longer value is kept and not searched (both stores)
ALL: Final = "all"  # the folded words of everything that people look for by a bare word

IN_ALL: Final = (
    *(name for name, kind in FIELDS.items() if kind == "text"),
    "event.reason", "email.from.address", "email.to.address", "email.message_id", "source.domain", "destination.domain",
    "dns.question.name", "tls.client.server_name", "url.domain", "url.path", "user_agent.original", "user.name",
    "host.name", "rule.id", "hudhud.mail.queue_id", "hudhud.smtp.helo", "hudhud.run",
    "email.attachments.file.hash.sha256",
)  # fmt: skip

EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)
LATEST: Final = datetime(2140, 1, 1, tzinfo=UTC)


_TEXTUAL: Final = frozenset({"keyword", "text", "kept"})


def shape(event: Event) -> Event:
    """The event with every value of its field's type. EventError where its time lies outside 1970 … 2139."""
    if not EARLIEST <= event.timestamp < LATEST:
        raise EventError("@timestamp", f"{event.timestamp.isoformat()} is no time of an event (1970 … 2139)")
    fields: dict[str, Value] = {}
    for name, value in event.fields.items():
        if value is None or value == []:
            continue
        kind = FIELDS.get(name)
        if type(value) is str and kind in _TEXTUAL:
            fields[name] = value
            continue
        fitted = _fit(value, _FITS[kind]) if kind is not None else None
        if fitted is not None:
            fields[name] = fitted
        else:
            kept = name if name.startswith(f"{OTHER}.") else f"{OTHER}.{name}"
            fields[kept] = [_as_text(one) for one in value] if isinstance(value, list) else _as_text(value)
    fields["event.id"] = event.id
    return Event(event.id, event.timestamp, fields)


def kind_of(name: str) -> Type:
    """The type of a stored field: of the table, or keyword below `hudhud.other`."""
    return FIELDS.get(name, "keyword")


def texts(value: Value) -> Iterable[str]:
    """Each value of a field as the text that exact search compares."""
    return (_as_text(one) for one in value) if isinstance(value, list) else (_as_text(value),)


def _fit(value: Value, fit: Callable[[object], Value]) -> Value:
    """The value, or the list, in its field's type; None where any of it does not fit."""
    if not isinstance(value, list):
        return fit(value)
    fitted = [fit(one) for one in value]
    if any(one is None for one in fitted):
        return None
    return cast("Value", fitted)  # a list of one type: each went through the same `fit`


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _long(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    elif isinstance(value, str):
        value = int(value) if value.isascii() and value.lstrip("-").isdigit() and len(value) < 20 else None
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None


def _double(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < 1e300 else None


def _boolean(value: object) -> bool | None:
    return (
        {"true": True, "false": False}.get(value)
        if isinstance(value, str)
        else value
        if isinstance(value, bool)
        else None
    )


def _ip(value: object) -> str | None:
    return _canonical_ip(value) if isinstance(value, str) else None


@lru_cache(maxsize=65_536)
def _canonical_ip(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else str(address)


def _date(value: object) -> str | None:
    try:
        moment = parse_time(value) if isinstance(value, str) else None
    except EventError:
        return None
    return format_time(moment) if moment is not None and EARLIEST <= moment < LATEST else None


_FITS: Final[Mapping[Type, Callable[[object], Value]]] = {
    "keyword": _as_text,
    "text": _as_text,
    "kept": _as_text,
    "ip": _ip,
    "long": _long,
    "double": _double,
    "boolean": _boolean,
    "date": _date,
}
