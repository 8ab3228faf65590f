"""The notice to a sender whose message was refused or held for some: one mail for each, Arabic first, then English.

It says what, why, what to do and who may exempt, with the reference that the SMTP reply had. RFC 3834: it answers
nobody automatically twice, and never goes to a null sender.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final, Literal

from hudhud.entity import Entity
from hudhud.i18n import DIRECTION, Catalogue, Language
from mail.tell.fate import apart
from mail.tell.replies import reason_of, remedy_of, shown_facts
from mail.verdict import Finding, Reply, Verdict

say: Final = Catalogue("mail")

What = Literal["refused", "held", "delayed"]
MAX_SHOWN: Final = 50  # refusals in one notice; more are counted
_POLICY: Final = SMTP.clone(max_line_length=76)
_STYLE: Final = "font-family:sans-serif;line-height:1.6"


@dataclass(frozen=True, slots=True)
class Refused:
    """One recipient that was refused: the address as people read it, the finding that decided, the reply given."""

    recipient: str
    finding: Finding | None
    reply: Reply

    @classmethod
    def of(cls, verdict: Verdict, reply: Reply) -> Refused:
        return cls(verdict.recipient.decode("utf-8", "replace"), verdict.decisive, verdict.reply or reply)

    @property
    def rule(self) -> str:
        return self.finding.rule if self.finding is not None else ""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a notice says. `total` recipients were named; `entity` is the sender's body, whose officer may exempt."""

    to: str
    reference: str
    refused: Sequence[Refused]
    total: int
    entity: Entity | None
    help_url: str
    subject: str = ""
    what: What = "refused"


def compose(notice: Notice, *, sender: str, hostname: str, now: datetime) -> bytes:
    """The whole mail, ASCII with CRLF line ends (quoted-printable), `sender` being its From address."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = f'"Hudhud" <{sender}>'
    mail["To"] = notice.to
    mail["Subject"] = " / ".join(_subject(notice, language) for language in ("ar", "en"))
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<notice.{notice.what}.{notice.reference}@{hostname}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Hudhud-Reference"] = notice.reference
    text = f"\n\n{'-' * 40}\n\n".join("\n".join(_lines(notice, language)) for language in ("ar", "en"))
    mail.set_content(text + "\n", cte="quoted-printable")
    sections = "".join(_section(notice, language) for language in ("ar", "en"))
    page = (
        f'<!DOCTYPE html>\n<html lang="ar">\n<head><meta charset="utf-8"></head>\n<body>\n{sections}</body>\n</html>\n'
    )
    mail.add_alternative(page, subtype="html", cte="quoted-printable")
    return mail.as_bytes()


def _subject(notice: Notice, language: Language) -> str:
    count, total = len(notice.refused), max(notice.total, 1)
    if notice.what == "held":
        return say(language, "Your message is held") if count == total else say(
            language, "Held for {count} of {total} recipients", count=count, total=total
        )  # fmt: skip
    if notice.what == "delayed":
        return say(language, "Your message is delayed")
    if count == total == 1:
        return say(language, "Your message was not sent")
    return say(language, "Not sent to {count} of {total} recipients", count=count, total=total)


def _lines(notice: Notice, language: Language) -> list[str]:
    lines = [_opening(notice, language), ""]
    for refused in notice.refused[:MAX_SHOWN]:
        lines += [refused.recipient] if refused.recipient else []  # none where the message was refused before any
        lines += [f"  {label}: {value}" for label, value in _facts(notice, refused, language)]
        lines.append("")
    return [*lines, *_closing(notice, language)]


def _section(notice: Notice, language: Language) -> str:
    """One language as simple HTML. Values that came from outside stand isolated (<bdi>)."""
    parts = [f'<div lang="{language}" dir="{DIRECTION[language]}" style="{_STYLE}">\n', _p(_opening(notice, language))]
    for refused in notice.refused[:MAX_SHOWN]:
        whom = f"<p><b><bdi>{html.escape(refused.recipient)}</bdi></b></p>\n" if refused.recipient else ""
        parts.append(f"{whom}<ul>\n")
        parts += [_item(label, value) for label, value in _facts(notice, refused, language)]
        parts.append("</ul>\n")
    parts += [_p(line) for line in _closing(notice, language)]
    return "".join([*parts, "</div>\n<hr>\n" if language == "ar" else "</div>\n"])


def _opening(notice: Notice, language: Language) -> str:
    if notice.what == "delayed":
        return say(
            language,
            "Your message “{subject}” has not been sent yet: a fault of the mail system keeps it from being examined. "
            "Nothing is lost and you need not send it again; the recipients below wait for it.",
            subject=apart(notice.subject or "–"),
        )
    if notice.what == "held":
        return say(
            language,
            "Your message “{subject}” is held until a person has looked at it. Nothing is lost and you need not send "
            "it again; the recipients below wait for it.",
            subject=apart(notice.subject or "–"),
        )
    if notice.subject:
        return say(
            language,
            "Your message “{subject}” was not sent to the recipients below. The other recipients get it.",
            subject=apart(notice.subject),
        ) if len(notice.refused) < notice.total else say(
            language, "Your message “{subject}” was not sent.", subject=apart(notice.subject)
        )  # fmt: skip
    if len(notice.refused) < notice.total:
        return say(language, "Your message was not sent to the recipients below. The other recipients get it.")
    return say(language, "Your message was not sent.")


def _facts(notice: Notice, refused: Refused, language: Language) -> list[tuple[str, str]]:
    """Why, what to do, and where it is explained."""
    if refused.finding is None:
        return [(say(language, "The server's reply"), refused.reply.line())]
    reason = reason_of(refused.finding)
    facts = [
        (say(language, "Reason"), say(language, reason.sentence, **shown_facts(refused.finding))),
        (say(language, "What to do"), remedy_of(refused.finding, language)),
        (say(language, "Rule"), refused.rule),
    ]
    if notice.help_url:
        facts.append((say(language, "Explanation"), f"{notice.help_url}/{refused.rule}"))
    return facts


def _closing(notice: Notice, language: Language) -> list[str]:
    lines = []
    if len(notice.refused) > MAX_SHOWN:
        lines.append(say(language, "And {count} more recipients.", count=len(notice.refused) - MAX_SHOWN))
    contact = notice.entity.contact("security") if notice.entity is not None else None
    if notice.what == "refused" and notice.entity is not None and contact is not None and _exemptible(notice):
        lines.append(
            say(
                language,
                "Exemptions are asked for at {body}: {name}, {email}, {phone}.",
                body=notice.entity.name(language),
                name=apart(contact.name),
                email=apart(contact.email),
                phone=apart(contact.phone),
            )
        )
    return [*lines, say(language, "Reference: {reference}", reference=apart(notice.reference))]


def _exemptible(notice: Notice) -> bool:
    """Whether an exemption would help any of them: the remedy says so. It mends no typing mistake and no size."""
    findings = [one.finding for one in notice.refused if one.finding is not None]
    return any("exemption" in reason_of(finding).remedy for finding in findings)


def _p(text: str) -> str:
    """A paragraph; what is isolated in the text is isolated here."""
    return f"<p>{html.escape(text)}</p>\n".replace("\u2068", "<bdi>").replace("\u2069", "</bdi>")


def _item(label: str, value: str) -> str:
    shown = html.escape(value)
    if value.startswith("https://"):
        shown = f'<a dir="ltr" href="{html.escape(value, quote=True)}">{shown}</a>'
    return f"<li>{html.escape(label)}: {shown}</li>\n"
