"""`hudhud mail trace order`: one person asks to search subjects, another allows it, and it ends by itself."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from hudhud import config as configuration
from hudhud.audit import Audit
from hudhud.cli import Exit, Problem, err, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.event import format_time
from hudhud.keys import SigningKey
from hudhud.people import People, Person
from hudhud.settings import Settings
from mail import orders
from mail.cli.node import CONFIG, Flag
from mail.cli.words import _
from mail.orders import Ledger, NotAllowed, Order, Status

Login = Annotated[str, Parameter(help="Who acts; the password is asked for, or read from stdin.")]

order_app = App(name="order", help="Search orders: request, approve, refuse, revoke, list.")


@order_app.command
def request(
    *,
    subject: Annotated[str, Parameter(help="The words that may be searched, together.")],
    ticket: Annotated[str, Parameter(help="The case that it is for.")],
    reason: Annotated[str, Parameter(help="What it is needed for.")],
    until: Annotated[str, Parameter(help="Last day, at most 30 days away.")],
    login: Login,
    config: Path = CONFIG,
) -> int:
    """Ask to search subjects; another person has to allow it."""
    settings = configuration.load(config).settings
    person, now = logged_in(settings, login), SYSTEM.now()
    _may(person, "analyst", "administrator")
    asked = Order("", subject, ticket, reason, person.login, now, _end(until))
    with _told(), closing(_ledger(settings)) as ledger:
        done = ledger.request(asked)
    _record(settings, person, "request", done, f"{ticket}: {reason}")
    out(_("{id}: requested; another person allows it with `hudhud mail trace order approve {id}`", id=done.id))
    return Exit.DONE


@order_app.command
def approve(id: str, /, *, login: Login, config: Path = CONFIG) -> int:
    """Allow a search that another person asked for."""
    return _move(id, Status.APPROVED, login, "", config)


@order_app.command
def refuse(id: str, /, *, login: Login, reason: str, config: Path = CONFIG) -> int:
    """Decline a search order."""
    return _move(id, Status.REFUSED, login, reason, config)


@order_app.command
def revoke(id: str, /, *, login: Login, reason: str, config: Path = CONFIG) -> int:
    """Take a search order back."""
    return _move(id, Status.REVOKED, login, reason, config)


@order_app.command(name="list")
def list_orders(*, json: Flag = False, config: Path = CONFIG) -> int:
    """List search orders in the order of their requests. Exit code 1 where there are none."""
    with closing(_ledger(configuration.load(config).settings)) as ledger:
        found, now = ledger.list(), SYSTEM.now()
    if json:
        for one in found:
            out_json(_as_json(one, now))
    elif found:
        columns = (_("Id"), _("State"), _("Subject"), _("Ticket"), _("Until"), _("Requested by"), _("Approved by"))
        table("", columns, [(*list(_as_json(one, now).values())[:4], *_ends(one)) for one in found])
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO


# inside


def _move(id: str, to: Status, login: str, reason: str, config: Path) -> int:
    settings = configuration.load(config).settings
    person = logged_in(settings, login)
    _may(person, "administrator")
    with _told(), closing(_ledger(settings)) as ledger:
        done = ledger.move(id, to, person.login, SYSTEM.now(), reason)
    _record(settings, person, str(to), done, reason or f"{done.ticket}: {done.reason}")
    out(_("{id}: {status}", id=id, status=done.status))
    return Exit.DONE


def _may(person: Person, *roles: str) -> None:
    if person.roles.isdisjoint(roles):
        raise Problem(
            _("{login} may not do that: it is for {roles}", login=person.login, roles=", ".join(roles)), Exit.NO
        )


def _record(settings: Settings, person: Person, act: str, done: Order, reason: str) -> None:
    key = SigningKey.load(settings.path("keys", "node.key"))
    audit = Audit(settings.path("audit", "searches.chain"), key, "searches")
    try:
        after = {"status": str(done.status), "subject": done.subject, "ends": format_time(done.ends)}
        audit.record(person.login, f"search-order.{act}", done.id, reason=reason, after=after, now=SYSTEM.now())
    finally:
        audit.close()


@contextmanager
def _told() -> Iterator[None]:
    """What the rules of search orders forbid is told in one line."""
    try:
        yield
    except NotAllowed as error:
        raise Problem(str(error), Exit.NO) from None


def _ledger(settings: Settings) -> Ledger:
    return Ledger(settings.path(*orders.FILE))


def logged_in(settings: Settings, login: str) -> Person:
    """The person, once the password fits; Problem where it does not."""
    prompt = _("Password of {login}: ", login=login)
    password = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    person = People.load(settings.path("people.toml")).verify(login, password)
    if person is None:
        raise Problem(_("user name or password is wrong"), Exit.NO)
    return person


def _end(text: str) -> datetime:
    """A day counts to its end, UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Problem(_("{text!r} is no day; write for example 2026-12-31", text=text)) from None
    if moment.tzinfo is not None:
        return moment
    return moment.replace(hour=23, minute=59, second=59, tzinfo=UTC) if len(text) == 10 else moment.replace(tzinfo=UTC)


def _as_json(one: Order, now: datetime) -> dict[str, object]:
    state = _("over") if one.over(now) else str(one.status)
    return {
        **{"id": one.id, "status": state, "subject": one.subject, "ticket": one.ticket, "reason": one.reason},
        **{"applicant": one.applicant, "approver": one.approver or None, "ends": format_time(one.ends)},
    }


def _ends(one: Order) -> tuple[str, str, str]:
    return f"{one.ends:%Y-%m-%d %H:%M}", one.applicant, one.approver
