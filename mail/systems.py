"""System classes of mail that rule B lets go abroad by design, and how each is known; never a hole for persons. Pure.

The envelope makes a class possible (RCPT), the message must prove it (DATA): a report of a body's server is a report by
its structure, a postmaster's mail is written by the postmaster.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

from mail.content import addresses
from mail.content.parts import Contents
from mail.envelope import Envelope
from mail.facts import may_use, plain
from mail.message import Message
from mail.policy import Policy

Class = Literal["postmaster", "delivery-report", "policy-report", "response-centre"]

POSTMASTERS: Final = frozenset({"postmaster", "abuse"})
"""Local parts whose mail runs the mail itself (RFC 2142): they answer the world's postmasters."""

MAX_REPORT: Final = 256 * 1024  # octets; a longer delivery report must answer a message that came from there
MAX_POLICY_REPORT: Final = 10 * 1024 * 1024  # octets
MAX_WORDS: Final = 4096  # octets of text beside a policy report

_REPORTER = re.compile(r"(?:.*[-._+])?(?:dmarc|tls-?rpt|tls-?reports?|smtp-tls-report(?:s|ing)?)(?:[-._+].*)?")
_REPORT_NAME = re.compile(r"([a-z0-9.-]+)!([a-z0-9.-]+)!\d+!\d+(?:![\w.-]+)?\.(?:xml|json)(?:\.gz|\.zip)?|"
                          r"([a-z0-9.-]+)!([a-z0-9.-]+)!\d+!\d+(?:![\w.-]+)?\.zip", re.I)  # fmt: skip
_FINAL = re.compile(rb"^Final-Recipient:[ \t]*(?:rfc822|utf-8);[ \t]*<?([^\s<>;]{3,320})>?[ \t]*\r?$", re.I | re.M)
_ACTION = re.compile(rb"^Action:[ \t]*(?:failed|delayed|delivered|relayed|expanded)\b", re.I | re.M)


def possible(envelope: Envelope, policy: Policy) -> Class | None:
    """The class that the envelope may be of; None for the mail of persons and everything else."""
    account = envelope.account
    if account is None:
        return None
    local, server = envelope.sender.local.lower(), account.kind == "server"
    if not envelope.sender:
        return "delivery-report" if server else None
    if local in POSTMASTERS:
        return "postmaster"
    if plain(envelope.sender) in {one.lower() for one in policy.rules(account.entity).response_centre}:
        return "response-centre"
    return "policy-report" if server and _REPORTER.fullmatch(local) else None


def proven(kind: str, message: Message, contents: Contents, policy: Policy) -> bool:
    """Whether the message is what its envelope may be."""
    check = _PROOFS.get(kind)
    return check is not None and check(message, contents, policy)


def _postmaster(message: Message, contents: Contents, policy: Policy) -> bool:
    """The author is a postmaster as well, not a person behind its address."""
    return _authors(message, lambda one: one.rpartition("@")[0] in POSTMASTERS)


def _response_centre(message: Message, contents: Contents, policy: Policy) -> bool:
    account = message.envelope.account
    known = {one.lower() for one in policy.rules(account.entity if account else None).response_centre}
    return _authors(message, known.__contains__)


def _authors(message: Message, fits: Callable[[str], bool]) -> bool:
    found = [one for field in message.all(b"from") for one in addresses.read(field.value).addresses]
    return bool(found) and all(map(fits, found))


def _delivery_report(message: Message, contents: Contents, policy: Policy) -> bool:
    """RFC 3464: of this body's own mailboxes, to one recipient, no larger than a report is."""
    account, kind = message.envelope.account, message.first(b"content-type")
    if account is None or kind is None or len(message.envelope.recipients) != 1 or message.size > MAX_REPORT:
        return False
    words = re.sub(r"[\s\"]", "", kind.value.lower())
    if not words.startswith("multipart/report;") or "report-type=delivery-status" not in words:
        return False
    status = b"".join(p.data for p in contents.parts if p.media_type == "message/delivery-status" and not p.depth)
    whose = [one.decode("ascii", "replace").lower() for one in _FINAL.findall(status)]
    return bool(whose and _ACTION.search(status)) and all(may_use(account, one, policy.registry) for one in whose)


def _policy_report(message: Message, contents: Contents, policy: Policy) -> bool:
    """RFC 9990 and RFC 8460: one file, named by the body that reports; hardly any text beside it."""
    account = message.envelope.account
    parts = [part for part in contents.parts if part.depth == 0]
    files, texts = [p for p in parts if not p.is_body], [p for p in parts if p.is_body]
    if account is None or len(files) != 1 or message.size > MAX_POLICY_REPORT:
        return False
    named = _REPORT_NAME.fullmatch(files[0].name)
    owner = policy.registry.by_domain((named[1] or named[3]).lower()) if named else None
    plain_report = files[0].detected_type in ("gzip", "zip", "xml", "text", "json")
    return (
        plain_report and owner is not None and owner.code == account.entity and sum(p.size for p in texts) <= MAX_WORDS
    )


_PROOFS: Final[Mapping[str, Callable[[Message, Contents, Policy], bool]]] = {
    "postmaster": _postmaster,
    "delivery-report": _delivery_report,
    "policy-report": _policy_report,
    "response-centre": _response_centre,
}
