"""A message of the relay's spool as the control API tells of it, and its findings in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from console.reach import body_of
from hudhud.entity import Registry
from hudhud.event import EventError, parse_time
from hudhud.i18n import Catalogue, Language
from mail.tell.replies import REASONS
from rules.rule import THREATS, Rule

MAX_TEXT = 20_000  # characters of a preview

_MAIL = Catalogue("mail")
_NAME = re.compile(r"\{(\w+)\}")  # in a sentence, of a fact


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient; `state` is queued, held, delivered, failed or deleted, `reply` the last word of the next hop."""

    address: str
    state: str
    held_by: tuple[str, ...]
    reply: str


@dataclass(frozen=True, slots=True)
class Found:
    """One finding; `reason` is its slug or a threat class, `facts` what it was decided on."""

    check: str
    rule: str
    version: str
    disposition: str
    reason: str
    recipients: tuple[str, ...] | None
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did with the message."""

    when: datetime | None
    actor: str
    act: str
    reason: str


@dataclass(frozen=True, slots=True)
class HeldMail:
    """A message that lies in the spool."""

    id: str
    state: str
    sender: str
    recipients: tuple[Recipient, ...]
    received: datetime | None
    size: int
    account: str
    entity: str
    listener: str
    held_by: tuple[str, ...]
    sha256: str
    message_id: str
    client: str
    findings: tuple[Found, ...]
    acts: tuple[Act, ...]

    @property
    def held(self) -> bool:
        """Whether somebody still has to decide."""
        return self.state == "held"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message: by what it says it is, and what it is."""

    path: str
    name: str
    media_type: str
    detected_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says, as the relay shows it: header fields, text, parts by name; `cut` when shortened."""

    headers: Mapping[str, str]
    text: str
    cut: bool
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """A finding for people: `what` it says, `todo` for the sender, "" where nothing is to be said."""

    found: Found
    what: str
    todo: str


def read(answer: Mapping[str, Any]) -> HeldMail:
    """What the control API said, as values; what is missing is empty, so that a newer relay can still be shown."""
    client = answer.get("client") or {}
    return HeldMail(
        id=_text(answer, "id"),
        state=_text(answer, "state"),
        sender=_text(answer, "sender"),
        recipients=tuple(
            Recipient(_text(one, "address"), _text(one, "state"), _texts(one.get("held_by")), _text(one, "reply"))
            for one in _maps(answer.get("recipients"))
        ),
        received=_time(answer.get("received")),
        size=int(answer.get("size") or 0),
        account=_text(answer, "account"),
        entity=_text(answer, "organization"),
        listener=_text(answer, "listener"),
        held_by=_texts(answer.get("held_by")),
        sha256=_text(answer, "sha256"),
        message_id=_text(answer, "message_id"),
        client=" ".join(str(client[name]) for name in ("ip", "helo") if client.get(name))
        if isinstance(client, Mapping)
        else "",
        findings=tuple(_found(one) for one in _maps(answer.get("findings"))),
        acts=tuple(
            Act(_time(one.get("at")), _text(one, "actor"), _text(one, "act"), _text(one, "reason"))
            for one in _maps(answer.get("acts"))
        ),
    )


def read_content(answer: Mapping[str, Any]) -> Content:
    """A preview of the control API."""
    return Content(
        headers={name: _text(answer, name) for name in ("subject", "from", "to", "date") if answer.get(name)},
        text=_text(answer, "text")[:MAX_TEXT],
        cut=bool(answer.get("cut")) or len(_text(answer, "text")) > MAX_TEXT,
        parts=tuple(
            Part(
                _text(one, "path"), _text(one, "name"), _text(one, "media_type"), _text(one, "detected_type"),
                int(one.get("size") or 0), _text(one, "sha256"),
            )
            for one in _maps(answer.get("parts"))
        ),
    )  # fmt: skip


def entities(mail: HeldMail, registry: Registry) -> tuple[str, ...]:
    """The codes of the bodies that the message concerns: its account's, and its recipients'."""
    codes = {mail.entity} if mail.entity else set()
    codes |= {body_of(recipient.address, registry) for recipient in mail.recipients}
    return tuple(sorted(codes - {""}))


def in_words(mail: HeldMail, language: Language, rules: Mapping[str, Rule]) -> Sequence[Words]:
    """The findings in the reader's language, the gravest first."""
    order = ("reject", "defer", "hold", "tag", "accept")
    found = sorted(mail.findings, key=lambda one: order.index(one.disposition) if one.disposition in order else 9)
    return [_words(one, language, rules.get(one.rule)) for one in found]


def _words(found: Found, language: Language, rule: Rule | None) -> Words:
    threat = THREATS.get(found.reason)
    if rule is not None or threat is not None:
        title = rule.title.get(language, rule.id) if rule is not None else found.rule
        kind = (threat.ar if language == "ar" else threat.en) if threat is not None else ""
        return Words(found, f"{title} · {kind}" if kind else title, "")
    reason = REASONS.get(found.reason)
    if reason is None:
        return Words(found, found.reason, "")
    facts = {
        **dict.fromkeys(_NAME.findall(reason.sentence + reason.remedy), ""),
        **{name: str(value) for name, value in found.facts.items()},
    }
    try:
        return Words(found, _MAIL(language, reason.sentence, **facts), _MAIL(language, reason.remedy))
    except (KeyError, IndexError):  # a sentence with a name that the facts of an older relay lack
        return Words(found, found.reason, "")


def _found(one: Mapping[str, Any]) -> Found:
    facts, recipients = one.get("facts"), one.get("recipients")
    return Found(
        _text(one, "check"),
        _text(one, "rule"),
        _text(one, "version"),
        _text(one, "disposition"),
        _text(one, "reason"),
        None if recipients is None else _texts(recipients),
        facts if isinstance(facts, Mapping) else {},
    )


def _text(one: Mapping[str, Any], name: str) -> str:
    value = one.get(name)
    return "" if value is None else str(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list | tuple) else ()


def _maps(value: object) -> Sequence[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _time(value: object) -> datetime | None:
    try:
        return parse_time(value) if isinstance(value, str) else None
    except EventError:
        return None
