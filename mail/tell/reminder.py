"""The mail that reminds of an exemption: it ends soon, is to be reviewed, the glass was broken; in both languages."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from hudhud.i18n import Catalogue, Language
from mail.grants.reminding import Due, What

say: Final = Catalogue("mail")
_POLICY: Final = SMTP.clone(max_line_length=76)


def _(text: str) -> str:
    """Marks a text for the catalogue."""
    return text


SUBJECTS: Final[dict[What, str]] = {
    "ending": _("Exemption {id} ends on {day}"),
    "review": _("Exemption {id} is to be reviewed"),
    "broken": _("Break-glass exemption {id}: review it until {day}"),
    "unreviewed": _("Break-glass exemption {id} was not reviewed in time"),
}
REMEDIES: Final[dict[What, str]] = {
    "ending": _("It ends by itself. Whoever needs it longer asks for a new one: two others approve it."),
    "review": _("The owner looks whether the partner still needs it; what is not needed is revoked."),
    "broken": _("Somebody who neither asked for it nor approved it looks whether it was right."),
    "unreviewed": _("Somebody who neither asked for it nor approved it looks at it now."),
}


def compose(found: Due, to: tuple[str, ...], *, sender: str, hostname: str, now: datetime) -> bytes:
    """The whole mail, ASCII with CRLF line ends; RFC 3834: nobody answers it automatically."""
    e = found.request.exemption
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = f'"Hudhud" <{sender}>'
    mail["To"] = ", ".join(to)
    mail["Subject"] = " / ".join(_subject(found, language) for language in ("ar", "en"))
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<exemption.{found.what}.{e.id}@{hostname}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Hudhud-Reference"] = e.id
    text = f"\n\n{'-' * 40}\n\n".join("\n".join(_lines(found, language)) for language in ("ar", "en"))
    mail.set_content(text + "\n", cte="quoted-printable")
    return mail.as_bytes()


def _subject(found: Due, language: Language) -> str:
    return say(language, SUBJECTS[found.what]).format(id=found.request.exemption.id, day=f"{found.by:%Y-%m-%d}")


def _lines(found: Due, language: Language) -> list[str]:
    e = found.request.exemption
    facts = [
        (say(language, "Sender"), e.sender),
        (say(language, "Recipient"), e.recipient),
        (say(language, "Until"), f"{e.ends:%Y-%m-%d %H:%M %Z}"),
        (say(language, "Reason"), e.reason),
        (say(language, "Document"), e.document),
        (say(language, "Requested by"), e.applicant),
        (say(language, "Approved by"), ", ".join(e.approvers)),
    ]
    if e.kind == "partner":
        facts += [(say(language, "Owner"), e.owner), (say(language, "Contact"), e.contact)]
    return [
        _subject(found, language),
        "",
        *(f"  {label}: {value}" for label, value in facts),
        "",
        say(language, REMEDIES[found.what]),
    ]
