"""What the relay writes above a message, and the few bytes in it that give way to it: hops and forged claims. Pure.

RFC 5321 section 4.4 (Received, loops in 6.3), RFC 8601 section 5 (Authentication-Results that claim to be ours). Below
these headers every byte stays as it came (invariant 3), or a signature would break.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import format_datetime
from typing import Final

from mail.accounts import Account
from mail.auth.results import Auth
from mail.envelope import Client, Envelope
from mail.message import Field, Message
from mail.shelf.stored import Edit
from mail.verdict import Disposition, Judgement

MAX_RECEIVED: Final = 50  # hops, as Postfix has it; RFC 5321 section 6.3 would have 100 where nothing else is counted
MAX_OURS: Final = 3  # times that a message may come to this relay
TRACE_ID: Final = b"X-Hudhud-Id"
MAX_COMMENTS: Final = 4096  # octets of comments that are read over before an authserv-id
RESULTS: Final = b"authentication-results"
SIGNED: Final = (b"dkim-signature", b"arc-seal")
UNMARKED: Final = frozenset({"leak", "unlisted", "house", "mentions", "onward", "forwarding", "national", "answer"})
"""Checks of the national policy: their tags are for the record, not for who reads the subject."""

TAGS: Final = {"from-abroad": "[EXTERNAL] "}
TAG: Final = "[CAUTION] "

_TOKEN = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_COMMENTED = re.compile(r"[^A-Za-z0-9.@_/+-]")  # what may not stand in a comment of ours
_AUTHSERV = re.compile(rb'(?:"((?:[^"\\]|\\.)*)"|([^\s;"(]+))')


def received(envelope: Envelope, queue_id: str, hostname: str) -> bytes:
    """Our Received field. A recipient stands in it only where it is the one: blind copies stay so."""
    client = envelope.client
    lines = [
        f"Received: from {_helo(client)} ([{_literal(client.ip)}])",
        f"by {hostname} (Hudhud) with {_with(envelope)}",
    ]
    if envelope.account is not None and envelope.account.kind == "server":
        lines.append(f"({_server(envelope.account)})")
    if client.tls:
        lines.append(f"(using {_TOKEN.sub('_', client.tls)})")
    lines.append(f"id {queue_id}")
    if len(envelope.recipients) == 1 and envelope.recipients[0].address.raw.isascii():
        lines.append(f"for <{envelope.recipients[0].address.text}>")
    lines[-1] += ";"
    lines.append(format_datetime(envelope.received))
    return "\r\n\t".join(lines).encode("ascii", "replace") + b"\r\n"


def _server(account: Account) -> str:
    """A body's own server, and for whom it says it acts: what its message says of itself already, no more is told."""
    person = f" for {_COMMENTED.sub('_', account.claimed)}" if account.claimed else ""
    return f"registered server {_COMMENTED.sub('_', account.name)}{person}"


def headers(envelope: Envelope, queue_id: str, judgement: Judgement, *, hostname: str, authserv_id: str = "") -> bytes:
    """Everything that goes above the message: Received, where it comes from, our trace id, what tagged or held it."""
    parts = [received(envelope, queue_id, hostname)]
    if judgement.auth is not None:
        parts.append(results(judgement.auth, authserv_id or hostname))
    parts.append(b"%b: %b by=%b\r\n" % (TRACE_ID, queue_id.encode(), hostname.encode("ascii", "replace")))
    rules = dict.fromkeys(
        f.rule for v in judgement.verdicts for f in v.findings if Disposition.TAG <= f.disposition <= Disposition.HOLD
    )
    if rules:
        words = ", ".join(_TOKEN.sub("_", rule) for rule in list(rules)[:20])
        parts.append(f"X-Hudhud-Rules: {words}\r\n".encode())
    return b"".join(parts)


def results(auth: Auth, authserv_id: str) -> bytes:
    """Our Authentication-Results field (RFC 8601): what mail programs and the bodies' servers may go by."""
    spf, dmarc = auth.spf, auth.dmarc
    said = [f"spf={spf.result} smtp.{'helo' if spf.helo else 'mailfrom'}={_value(spf.domain)}"]
    said += [f"dkim={one.result} header.d={_value(one.domain)} header.s={_value(one.selector)}" for one in auth.dkim]
    if not auth.dkim:
        said.append("dkim=none")
    said.append(f"dmarc={dmarc.result}" + (f" header.from={_value(dmarc.author)}" if dmarc.author else ""))
    if auth.arc.result != "none":
        said.append(f"arc={auth.arc.result}")
    field = ";\r\n\t".join([f"Authentication-Results: {authserv_id}", *said])
    return field.encode("ascii", "replace") + b"\r\n"


def _value(domain: str) -> str:
    """What came from outside, cut to what may stand there without quotes."""
    return _TOKEN.sub("_", domain)[:255] or "unknown"


def loops(message: Message, hostname: str) -> bool:
    """Whether the message goes round: too many hops, or it was here too often."""
    mine = b"by=" + hostname.encode("ascii", "replace").lower()
    seen = hops = 0
    for field in message.headers:
        if field.name == b"received":
            hops += 1
        elif field.name == TRACE_ID.lower() and field.body.lower().split()[1:2] == [mine]:
            seen += 1
    return hops > MAX_RECEIVED or seen >= MAX_OURS


def edits(message: Message, judgement: Judgement, authserv_id: str) -> tuple[Edit, ...]:
    """What gives way in the message as it came, in order."""
    tag = _subject_tag(message, judgement)
    outside = message.envelope.client.listener == "mx" and message.envelope.account is None
    dropped = {b"return-path"} if outside else set()
    if not tag and not any(f.name in dropped or f.name == RESULTS for f in message.headers):
        return ()
    found: list[Edit] = []
    for field, start in _placed(message):
        if field.name in dropped or (field.name == RESULTS and _claims(field, authserv_id)):
            found.append(Edit(start, start + len(field.raw)))
        elif field.name == b"subject" and tag:
            at = start + _value_at(field.raw)
            found.append(Edit(at, at, tag.encode()))
            tag = ""
    return tuple(found)


def _subject_tag(message: Message, judgement: Judgement) -> str:
    """A tag for people where every recipient's verdict is to tag, and no signature would break by it."""
    if not judgement.verdicts or any(v.disposition is not Disposition.TAG for v in judgement.verdicts):
        return ""
    if any(message.first(name) is not None for name in SIGNED) or _inner_signature(message):
        return ""
    decisive = judgement.verdicts[0].decisive
    if all(f.check in UNMARKED for v in judgement.verdicts for f in v.findings if f.disposition is Disposition.TAG):
        return ""
    return TAGS.get(decisive.reason if decisive is not None else "", TAG)


def _inner_signature(message: Message) -> bool:
    """S/MIME or OpenPGP: it may protect header fields (RFC 9788)."""
    field = message.first(b"content-type")
    kind = field.value.lower() if field is not None else ""
    return kind.startswith("multipart/signed") or "pkcs7-mime" in kind


def _placed(message: Message) -> Iterator[tuple[Field, int]]:
    """Each header field with the offset of its first byte; lines that are no field are passed over."""
    at = 0
    for field in message.headers:
        start = message.data.find(field.raw, at, message.body_at)
        if start < 0:
            continue
        at = start + len(field.raw)
        yield field, start


def _value_at(raw: bytes) -> int:
    """Where the value begins, behind the colon and its spaces."""
    at = raw.find(b":") + 1
    while raw[at : at + 1] in (b" ", b"\t"):
        at += 1
    return at


def _claims(field: Field, authserv_id: str) -> bool:
    """Whether an Authentication-Results field carries our own authserv-id, comments and quotes taken off."""
    body = field.body
    found = _AUTHSERV.match(body, _behind_comments(body))
    if found is None:
        return True  # nobody can say whose it is
    name = re.sub(rb"\\(.)", rb"\1", found[1]) if found[1] is not None else found[2]
    return name.lower().rstrip(b".") == authserv_id.encode("ascii", "replace").lower().rstrip(b".")


def _behind_comments(body: bytes) -> int:
    """Where the comments at the beginning end, which may stand in each other (RFC 5322 section 3.2.2); the end where
    they go on for too long to be meant."""
    depth = at = 0
    while at < min(len(body), MAX_COMMENTS):
        octet = body[at : at + 1]
        if octet == b"(":
            depth += 1
        elif octet == b")" and depth:
            depth -= 1
        elif octet == b"\\" and depth:
            at += 1
        elif not depth and octet not in b" \t":
            return at
        at += 1
    return len(body)


def _helo(client: Client) -> str:
    return _TOKEN.sub("_", client.helo)[:255] or "unknown"


def _literal(ip: str) -> str:
    return f"IPv6:{ip}" if ":" in ip else ip


def _with(envelope: Envelope) -> str:
    """RFC 3848 and RFC 6531 section 4.3: the protocol's name."""
    name = "UTF8SMTP" if envelope.smtputf8 else "ESMTP"
    proven = envelope.account is not None and envelope.account.kind != "server"  # RFC 3848: by AUTH
    return name + ("S" if envelope.client.tls else "") + ("A" if proven else "")
