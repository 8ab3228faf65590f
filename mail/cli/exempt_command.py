"""`hudhud mail exempt`: request, approve, reject, list, show, revoke, review, break-glass. Who acts logs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from hudhud import config as configuration
from hudhud.cli import Exit, Problem, out
from hudhud.clock import SYSTEM
from hudhud.settings import Settings
from mail.cli.keeping import day_end
from mail.cli.person import logged_in
from mail.cli.words import _
from mail.exempt import Exemption
from mail.grants.asking import Act, NotAllowed, Request
from mail.grants.desk import Desk
from mail.grants.opening import NoDesk, opened
from mail.grants.telling import STATES

CONFIG: Final = Path(configuration.DEFAULT)

Login = Annotated[str, Parameter(help="Who acts; the password is asked for, or read from stdin.")]
Sender = Annotated[str, Parameter(help="Who may write abroad: an address, a domain, or entity:CODE.")]
Recipient = Annotated[str, Parameter(help="Address or domain abroad.")]
Reason = Annotated[str, Parameter(help="What it is needed for.")]
Document = Annotated[str, Parameter(help="The letter or decision that asks for it.")]
Size = Annotated[int | None, Parameter(help="Octets of one message; none: the body's limit.")]
Level = Annotated[str, Parameter(help="The highest classification; none: what is not marked.")]

exempt = App(name="exempt", help="Exemptions: request, approve, reject, list, show, revoke, review, break-glass.")
exempt.command("mail.cli.exempt_text:list_exemptions", name="list", help="List exemptions, with their use.")
exempt.command("mail.cli.exempt_text:show", name="show", help="Show an exemption: history, use log, review.")


@exempt.command
def request(
    *,
    sender: Sender,
    recipient: Recipient,
    until: Annotated[str, Parameter(help="Last day, 2026-12-31, or a time with its zone.")],
    reason: Reason,
    document: Document,
    login: Login,
    since: Annotated[str, Parameter(name="--from", help="First day, or a time with its zone; none: now.")] = "",
    max_size: Size = None,
    classification: Level = "",
    owner: Annotated[str, Parameter(help="Of a partner (embassy, United Nations): who of ours answers for it.")] = "",
    contact: Annotated[str, Parameter(help="Of a partner: whom to ask there.")] = "",
    review: Annotated[str, Parameter(help="Of a partner: the day on which it is looked at again.")] = "",
    config: Path = CONFIG,
) -> int:
    """Ask for an exemption; nothing is allowed by it until two others have approved it."""
    settings = configuration.load(config).settings
    now = SYSTEM.now()
    wish = Exemption(
        "", sender, recipient, _begins(since, now), day_end(until), reason, document, login,
        max_size=max_size, classification=classification, owner=owner, contact=contact, review=_day(review),
        kind="partner" if owner or contact or review else "ordinary",
    )  # fmt: skip
    done = _asked(settings, wish, login)
    out(_("{id}: requested; two others approve it with `hudhud mail exempt approve {id}`", id=done.exemption.id))
    return Exit.DONE


@exempt.command
def break_glass(
    *,
    sender: Sender,
    recipient: Recipient,
    reason: Reason,
    login: Login,
    document: Document = "",
    max_size: Size = None,
    classification: Level = "",
    config: Path = CONFIG,
) -> int:
    """Ask for one message to one address, now: one approver on duty, one hour, reviewed within three working days."""
    settings = configuration.load(config).settings
    now = SYSTEM.now()
    wish = Exemption(
        "", sender, recipient, now, now, reason, document or "break-glass", login,
        max_size=max_size, classification=classification, kind="break-glass",
    )  # fmt: skip
    done = _asked(settings, wish, login)
    out(
        _(
            "{id}: requested; whoever is on duty approves it with `hudhud mail exempt approve {id}`",
            id=done.exemption.id,
        )
    )
    return Exit.DONE


@exempt.command
def approve(id: str, *, login: Login, reason: str = "", config: Path = CONFIG) -> int:
    """Approve an exemption: the second approval, by another person, puts it in force; break-glass needs one."""
    return _act(Act.APPROVE, id, login, reason, config)


@exempt.command(name=["reject", "refuse"])
def reject(id: str, *, login: Login, reason: str, config: Path = CONFIG) -> int:
    """Decline an exemption that was requested."""
    return _act(Act.REFUSE, id, login, reason, config)


@exempt.command
def revoke(id: str, *, login: Login, reason: str, config: Path = CONFIG) -> int:
    """Take an exemption back; nodes go by it within seconds."""
    return _act(Act.REVOKE, id, login, reason, config)


@exempt.command
def review(
    id: str,
    *,
    login: Login,
    reason: Annotated[str, Parameter(help="What was found.")],
    wrong: Annotated[bool, Parameter(negative="", help="It was not right; the exemption is revoked.")] = False,
    config: Path = CONFIG,
) -> int:
    """Review a break-glass exemption, as somebody who neither asked for it nor approved it."""
    return _act(Act.OBJECT if wrong else Act.REVIEW, id, login, reason, config)


# inside


def _asked(settings: Settings, wish: Exemption, login: str) -> Request:
    person = logged_in(settings, login)
    with _desk(settings) as desk:
        return desk.request(person, wish, SYSTEM.now())


def _act(act: Act, id: str, login: str, reason: str, config: Path) -> int:
    settings = configuration.load(config).settings
    person = logged_in(settings, login)
    with _desk(settings) as desk:
        after = desk.act(person, id, act, SYSTEM.now(), reason)
        until = desk.review_by(after)
    if act in (Act.REVIEW, Act.OBJECT):
        out(_("{id}: reviewed", id=id))
        return Exit.DONE
    out(f"{id}: {_(STATES[after.status])}")
    if until is not None and act is Act.APPROVE:
        out(_("another person reviews it until {when}", when=f"{until:%Y-%m-%d}"))
    return Exit.DONE


@contextmanager
def _desk(settings: Settings) -> Iterator[Desk]:
    """The desk of this machine; what the rules of exemptions forbid is told in one line."""
    try:
        with opened(settings) as desk:
            yield desk
    except NotAllowed as error:
        raise Problem(_(error.text, **error.values), Exit.NO) from None
    except NoDesk as error:
        raise Problem(
            _("the desk is on another machine: there is no {path}", path=str(error)), Exit.UNAVAILABLE
        ) from None


def _begins(text: str, now: datetime) -> datetime:
    """A day begins at midnight UTC, today at once."""
    if not text:
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Problem(_("{text!r} is no day; write for example 2026-12-31", text=text)) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    today = datetime.combine(now.date(), time(), UTC)
    return now if moment == today else moment


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Problem(_("{text!r} is no day; write for example 2026-12-31", text=text)) from None
