"""The words in which a sender hears what became of the message: one letter in two languages, as text and as HTML. Pure.

What came from outside (addresses, the remote's words) is isolated, so that it reads right in either direction and
cannot reach out of its place: U+2068 … U+2069 in the text, <bdi> in the HTML.
"""

from __future__ import annotations

import html as markup
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from hudhud.i18n import Catalogue, Language
from mail.attempt import Attempt
from mail.shelf.stored import Stored, Waiting, shown_address

Action = Literal["failed", "delayed", "delivered", "relayed"]
Letter = Mapping[Language, tuple[str, ...]]  # lines; one that begins with two blanks belongs to a recipient

MAX_LISTED: Final = 100  # recipients that the human part names; the machine part has them all

say = Catalogue("mail")


@dataclass(frozen=True, slots=True)
class Told:
    """What the sender is told of one recipient: `until` is when a delayed one is given up.

    `cut`: since when the international link is, which stops the clock.
    """

    waiting: Waiting
    action: Action
    attempt: Attempt
    until: datetime | None = None
    cut: datetime | None = None


def letter(stored: Stored, told: Sequence[Told]) -> Letter:
    """What is to be said, Arabic first. `told` has one action."""
    return {language: tuple(_lines(language, stored, told)) for language in ("ar", "en")}


def plain(letter: Letter) -> str:
    """As text with CRLF line ends."""
    both = ("\r\n".join(lines) for lines in letter.values())
    return f"\r\n\r\n{'-' * 60}\r\n\r\n".join(both) + "\r\n"


def html(letter: Letter) -> str:
    """As one HTML document without anything from elsewhere."""
    sections = []
    for language, lines in letter.items():
        direction = "rtl" if language == "ar" else "ltr"
        rows = "\r\n".join(_row(line) for line in lines if line.strip())
        sections.append(f'<section lang="{language}" dir="{direction}">\r\n{rows}\r\n</section>')
    body = "\r\n<hr>\r\n".join(sections)
    return f'<!DOCTYPE html>\r\n<html><head><meta charset="utf-8"></head><body>\r\n{body}\r\n</body></html>\r\n'


def _row(line: str) -> str:
    """A paragraph; what is isolated in the text is isolated here."""
    text = markup.escape(line.strip()).replace("\u2068", "<bdi>").replace("\u2069", "</bdi>")
    return f"<blockquote>{text}</blockquote>" if line.startswith("  ") else f"<p>{text}</p>"


def _lines(language: Language, stored: Stored, told: Sequence[Told]) -> Iterator[str]:
    yield _opening(language, told[0].action)
    yield ""
    for one in told[:MAX_LISTED]:
        yield f"  {apart(f'<{shown_address(one.waiting.address)}>')}"
        if one.action in ("failed", "delayed"):
            yield from ("  " + text for text in _why(language, one))
        yield ""
    if len(told) > MAX_LISTED:
        yield say(language, "… and {count} more recipients.", count=len(told) - MAX_LISTED)
        yield ""
    yield from _clock(language, told[0])
    yield say(language, "Sent: {time}", time=_time(stored.received))
    yield say(language, "Reference: {reference}", reference=apart(stored.queue_id))


def _clock(language: Language, one: Told) -> Iterator[str]:
    if one.cut is not None:
        yield say(language, "The international link is down since {time}.", time=_time(one.cut))
        yield say(language, "The time that your message may wait stands still until it is back; nothing is lost.")
    elif one.until is not None:
        yield say(language, "We go on trying until {time}.", time=_time(one.until))


def _opening(language: Language, action: Action) -> str:
    if action == "failed":
        return say(language, "Your message could not be delivered to:")
    if action == "delayed":
        return say(language, "Your message has not been delivered yet. You need not send it again. It waits for:")
    if action == "delivered":
        return say(language, "Your message was delivered to the mailbox of:")
    return say(language, "Your message was handed on; the next system does not report delivery. It went to:")


def _why(language: Language, one: Told) -> Iterable[str]:
    if one.attempt.stage == "local" and one.attempt.status == "5.7.1":  # mail/carry/parting.py
        yield say(language, "It was removed by people before it was delivered. Ask your own postmaster.")
    else:
        yield _meaning(language, one)
    reply = apart(one.attempt.reply)
    if one.attempt.remote:
        yield say(language, "The server {host} said: {reply}", host=apart(one.attempt.host), reply=reply)
    else:
        yield say(language, "What happened: {reply}", reply=reply)


def _meaning(language: Language, one: Told) -> str:
    """What it means and what to do, by the RFC 3463 status."""
    status = one.attempt.status
    if one.action == "delayed":
        return say(language, "The receiving system could not take it so far.")
    if not one.attempt.permanent:
        return say(language, "We tried for days without success and have given up. Ask the recipient another way.")
    if status in ("5.1.1", "5.1.3", "5.1.6", "5.2.1"):
        return say(language, "There is no such mailbox. Check how the address is written.")
    if status in ("5.1.2", "5.1.10", "5.4.4"):
        return say(language, "The domain takes no mail. Check what stands after the @.")
    if status in ("5.1.7", "5.1.8"):
        return say(language, "The receiving system does not accept your address as a sender. Ask your own postmaster.")
    if status == "5.2.2":
        return say(language, "The mailbox is full. Ask the recipient to make room, then send it again.")
    if status in ("5.2.3", "5.3.4"):
        return say(language, "The message is too large for the receiving system. Send it in smaller parts.")
    if status == "5.4.6":
        return say(language, "The mail of that domain would go round in a circle. Its postmaster must mend the DNS.")
    if status in ("5.6.3", "5.6.7"):
        return say(language, "The receiving system cannot take this kind of text or address. Its postmaster can help.")
    if status in ("5.7.30", "5.7.10"):
        return say(language, "You asked for protected transport all the way, which that system cannot give.")
    if re.fullmatch(r"5\.7\.(?:2[0-7]|509)", status):
        return say(language, "The receiving system could not verify the sender's domain. Ask your own postmaster.")
    if status.startswith("5.7."):
        return say(language, "The receiving system refuses it by its rules. Its postmaster can say why.")
    return say(language, "The receiving system refuses it. Its answer says why; its postmaster can help.")


def apart(text: str) -> str:
    """Isolated: it reads right in a text of either direction. Its own direction controls do not count."""
    return f"\u2068{_CONTROLS.sub('', text)}\u2069"


_CONTROLS: Final = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


def _time(moment: datetime) -> str:
    return f"\u2068{moment:%Y-%m-%d %H:%M} UTC\u2069"
