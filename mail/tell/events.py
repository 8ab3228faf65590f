"""What the relay decided of a message, as ECS documents: one for each message, organisation and action. Pure.

They go into the shard's journal in the transaction of what they tell of. No subject and no content is in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hudhud import event
from hudhud.entity import Registry
from hudhud.event import Value
from mail.accounts import Account
from mail.auth.results import Auth
from mail.content.features import host_of
from mail.envelope import Envelope
from mail.message import Message
from mail.verdict import EXEMPTED, Disposition, Finding, Judgement, Verdict, exempting

MAX_LISTED: Final = 100  # values of one field; a message to a thousand is told of by its first hundred recipients

_ACTIONS: Final[Mapping[Disposition, str]] = {
    Disposition.ACCEPT: "accepted",
    Disposition.TAG: "tagged",
    Disposition.HOLD: "held",
    Disposition.DEFER: "deferred",
    Disposition.REJECT: "refused",
}
_TYPES: Final[Mapping[str, str]] = {"accepted": "allowed", "tagged": "allowed", "held": "denied", "refused": "denied"}


@dataclass(frozen=True, slots=True)
class Teller:
    """Who tells: the node's name, and the registry that says whose an address is."""

    node: str
    registry: Registry

    def judged(self, message: Message, judgement: Judgement, now: datetime) -> list[bytes]:
        """The documents of a message at DATA: taken, held, deferred or refused; and of each exemption it used."""
        reply = judgement.data_reply.line()
        more = _of_message(message) | _of_judgement(judgement)
        documents = [
            self._document(message.envelope, message.queue_id, group, code, now, reply=reply, more=more)
            for code, group in self._groups(message.envelope, judgement.verdicts)
        ]
        documents += self._houses(message, judgement, now)
        if judgement.stored:
            documents += self._replies(message, judgement, now, more)
            documents += self._exemptions(message, judgement, now, more)
        return documents

    def refused(self, envelope: Envelope, queue_id: str, refusals: Sequence[Verdict], now: datetime) -> list[bytes]:
        """The documents of the recipients that were refused or deferred at RCPT."""
        return [
            self._document(envelope, queue_id, group, code, now, reply=group[0].reply.line() if group[0].reply else "")
            for code, group in self._groups(envelope, refusals)
        ]

    def act(self, action: str, now: datetime, fields: Mapping[str, Value], *, failure: bool = False) -> bytes:
        """A document of something that is not one message's: rule-stopped, rejudged."""
        return self._encoded(action, now, {"event.kind": "event", "event.type": ["info"], **fields}, failure=failure)

    def organization(self, envelope: Envelope, recipient: bytes) -> str:
        """The code of the official side: the sender's on submission, else the recipient's; "" where there is none."""
        if envelope.account is not None:
            return envelope.account.entity
        domain = next((r.address.domain for r in envelope.recipients if r.address.raw == recipient), "")
        domain = domain or recipient.rpartition(b"@")[2].decode("ascii", "replace").lower()
        entity = self.registry.by_domain(domain)
        return entity.code if entity is not None else ""

    def _groups(self, envelope: Envelope, verdicts: Iterable[Verdict]) -> Iterator[tuple[str, list[Verdict]]]:
        """Verdicts by organisation and disposition."""
        groups: dict[tuple[str, Disposition], list[Verdict]] = {}
        for verdict in verdicts:
            key = self.organization(envelope, verdict.recipient), verdict.disposition
            groups.setdefault(key, []).append(verdict)
        for (code, _), group in groups.items():
            yield code, group

    def _document(
        self,
        envelope: Envelope,
        queue_id: str,
        group: Sequence[Verdict],
        code: str,
        now: datetime,
        *,
        reply: str = "",
        more: Mapping[str, Value] | None = None,
    ) -> bytes:
        disposition = group[0].disposition
        spooled = disposition is Disposition.DEFER and reply.startswith("250")  # taken all the same, judged again
        action = "unjudged" if spooled else _ACTIONS[disposition]
        findings = [f for v in group for f in v.findings if f.disposition is not Disposition.ACCEPT]
        by_rule = any(f.disposition is Disposition.HOLD for f in findings) and disposition is Disposition.HOLD
        decisive = group[0].decisive
        fields: dict[str, Value] = {
            "event.kind": "alert" if by_rule else "event",
            "event.type": [_TYPES.get(action, "info")],
            "event.reason": decisive.reason if decisive is not None else None,
            "organization.id": code or None,
            **_of_envelope(envelope, queue_id, [v.recipient for v in group]),
            "email.direction": self._direction(envelope),
            "rule.id": _listed(f.rule for f in findings),
            "rule.version": [next(f.version for f in findings if f.rule == rule) for rule in _rules(findings)] or None,
            "hudhud.mail.disposition": disposition.word,
            "hudhud.mail.noted": _listed(f.rule for v in group for f in v.findings if f not in findings),
            "hudhud.mail.exemption": next((one for v in group if (one := exempting(v))), None),
            "hudhud.mail.reply": reply or None,
            **(more or {}),
        }
        return self._encoded(action, now, fields, failure=disposition >= Disposition.DEFER)

    def _exemptions(
        self, message: Message, judgement: Judgement, now: datetime, more: Mapping[str, Value]
    ) -> Iterator[bytes]:
        for verdict in judgement.verdicts:
            name = exempting(verdict)
            if not name or verdict.disposition >= Disposition.DEFER:
                continue
            fields: dict[str, Value] = {
                "event.kind": "event",
                "event.type": ["allowed"],
                "event.reason": EXEMPTED,
                "organization.id": self.organization(message.envelope, verdict.recipient) or None,
                **_of_envelope(message.envelope, message.queue_id, [verdict.recipient]),
                "email.direction": self._direction(message.envelope),
                "hudhud.mail.exemption": name,
                **more,
            }
            yield self._encoded("exemption-used", now, fields)

    def _replies(
        self, message: Message, judgement: Judgement, now: datetime, more: Mapping[str, Value]
    ) -> Iterator[bytes]:
        """Every answer to who wrote from abroad first: needs nobody's leave, and is on the record (rule B)."""
        for verdict in judgement.verdicts:
            if verdict.disposition < Disposition.HOLD and any(f.reason == "wrote-first" for f in verdict.findings):
                fields: dict[str, Value] = {
                    "event.kind": "event",
                    "event.type": ["allowed"],
                    "event.reason": "wrote-first",
                    "organization.id": self.organization(message.envelope, verdict.recipient) or None,
                    **_of_envelope(message.envelope, message.queue_id, [verdict.recipient]),
                    "email.direction": "outbound",
                    **more,
                }
                yield self._encoded("reply-abroad", now, fields)

    def _houses(self, message: Message, judgement: Judgement, now: datetime) -> Iterator[bytes]:
        """A body's domain whose mail hosts were found abroad, the first time in a day that a worker sees it."""
        for finding in judgement.findings:
            if finding.reason != "foreign-house" or not finding.facts.get("first"):
                continue
            domain = str(finding.facts["domain"])
            owner = self.registry.by_domain(domain)
            fields: dict[str, Value] = {
                "event.kind": "alert",
                "event.type": ["info"],
                "event.reason": finding.reason,
                "organization.id": owner.code if owner is not None else None,
                "destination.domain": domain,
                "rule.id": [finding.rule],
                "rule.version": [finding.version],
                "hudhud.mail.queue_id": message.queue_id,
            }
            yield self._encoded("foreign-house", now, fields)

    def _direction(self, envelope: Envelope) -> str:
        if envelope.account is None:
            known = self.registry.by_domain(envelope.sender.domain) if envelope.sender.domain else None
            return "internal" if known is not None else "inbound"
        domains = {r.address.domain for r in envelope.recipients}
        abroad = any(self.registry.is_national_domain(domain) is False for domain in domains)
        return "outbound" if abroad else "internal"

    def _encoded(self, action: str, now: datetime, fields: Mapping[str, Value], *, failure: bool = False) -> bytes:
        common: dict[str, Value] = {
            "event.category": ["email"],
            "event.action": action,
            "event.dataset": "hudhud.mail",
            "event.provider": "hudhud-relay",
            "event.outcome": "failure" if failure else "success",
            "observer.name": self.node,
            "observer.type": "relay",
        }
        return event.encode(common | dict(fields), now)


def _of_envelope(envelope: Envelope, queue_id: str, recipients: Sequence[bytes]) -> dict[str, Value]:
    client = envelope.client
    return {
        "email.from.address": [envelope.sender.text] if envelope.sender else None,
        "email.to.address": [raw.decode("utf-8", "replace") for raw in recipients[:MAX_LISTED]],
        "source.ip": client.ip or None,
        "source.domain": client.helo or None,
        "hudhud.mail.queue_id": queue_id,
        "hudhud.mail.listener": client.listener,
        **_of_account(envelope.account),
        "hudhud.mail.recipients": len(recipients),
    }


def _of_account(account: Account | None) -> dict[str, Value]:
    """Who acted; for which role; and for whom a body's server says it did."""
    if account is None:
        return {}
    return {
        "hudhud.mail.account": account.acts,
        "hudhud.mail.role": account.name if account.kind == "role" else None,
        "hudhud.mail.person": account.claimed or None,
    }


def _of_message(message: Message) -> dict[str, Value]:
    return {
        "email.message_id": message.message_id or None,
        "hudhud.mail.size": message.size,
        "hudhud.mail.sha256": message.sha256,
    }


def _of_judgement(judgement: Judgement) -> dict[str, Value]:
    files = [part for part in judgement.parts if part.name or part.disposition == "attachment"][:MAX_LISTED]
    return {
        "email.attachments.file.name": [part.name for part in files] or None,
        "email.attachments.file.hash.sha256": [part.sha256 for part in files] or None,
        "url.domain": _listed(filter(None, map(host_of, judgement.urls))),
        "hudhud.mail.lure": list(judgement.lure) or None,
        **(_of_auth(judgement.auth) if judgement.auth is not None else {}),
    }


def _of_auth(auth: Auth) -> dict[str, Value]:
    """RFC 8601's words; the domains of signatures that hold."""
    return {
        "hudhud.mail.spf": auth.spf.result,
        "hudhud.mail.dkim": _listed(one.domain for one in auth.dkim if one.result == "pass"),
        "hudhud.mail.dmarc": auth.dmarc.result,
    }


def _listed(values: Iterable[str]) -> list[str] | None:
    return list(dict.fromkeys(values))[:MAX_LISTED] or None


def _rules(findings: Iterable[Finding]) -> list[str]:
    return _listed(f.rule for f in findings) or []
