"""`hudhud mail checks`: turn a content check that breaks to tagging for some hours (two people), and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from hudhud import config as configuration
from hudhud.cli import Exit, Problem, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.event import format_time
from hudhud.people import Person
from hudhud.settings import Settings
from mail.cli.person import logged_in, need, publish, record
from mail.cli.words import _
from mail.node.asked import age
from mail.suspend import CHECKS, KIND, Act, Ledger, NotAllowed, Request, Status, release_files

CONFIG: Final = Path(configuration.DEFAULT)
ASKERS: Final = ("analyst", "administrator")
DECIDERS: Final = ("administrator",)

Login = Annotated[str, Parameter(help="Who acts; the password is asked for, or read from stdin.")]

checks = App(name="checks", help="Content checks: list, suspend (two people), approve, resume.")


@checks.command(name="list")
def list_checks(*, all: bool = False, json: bool = False, config: Path = CONFIG) -> int:
    """List the checks that may be suspended, and what is asked for or in force; with --all what is over too."""
    with closing(_ledger(configuration.load(config).settings)) as ledger:
        found, now = ledger.list(), SYSTEM.now()
    shown = [one for one in found if all or not _over(one, now)]
    if json:
        for one in shown:
            out_json(_as_json(one, now))
        return Exit.DONE
    out(_("May be suspended: {checks}. The national policy never is.", checks=", ".join(CHECKS)))
    columns = (_("Id"), _("Check"), _("State"), _("Until"), _("Requested by"), _("Approved by"), _("Reason"))
    if shown:
        table("", columns, [_row(one, now) for one in shown])
    else:
        out(_("Every check bites."))
    return Exit.DONE


@checks.command
def suspend(
    check: str,
    *,
    for_: Annotated[str, Parameter(name="--for", help="How long: 1h, 90m; a day at most.")],
    reason: Annotated[str, Parameter(help="What is broken.")],
    login: Login,
    config: Path = CONFIG,
) -> int:
    """Ask that a content check only tags for some time; nothing changes until another person approves it."""
    settings = configuration.load(config).settings
    with _told():
        try:
            seconds = age(for_)
        except ValueError as error:
            raise Problem(str(error)) from None
        person, now = logged_in(settings, login), SYSTEM.now()
        need(person, ASKERS, _("{login} may not suspend checks", login=login))
        with closing(_ledger(settings)) as ledger:
            done = ledger.request(check, seconds, applicant=person.login, reason=reason, now=now)
            _record(settings, person, "check.suspend", done, reason)
    out(
        _(
            "{id}: requested; another administrator approves it with `hudhud mail checks approve {id}`",
            id=done.suspension.id,
        )
    )
    return Exit.DONE


@checks.command
def approve(id: str, *, login: Login, reason: str = "", config: Path = CONFIG) -> int:
    """Approve a suspension that another person asked for: from now on the check only tags, until the time is over."""
    return _act(Act.APPROVE, id, login, reason, config)


@checks.command
def resume(id: str, *, login: Login, reason: str, config: Path = CONFIG) -> int:
    """Let the check bite again before its time: one person is enough."""
    return _act(Act.RESUME, id, login, reason, config)


# inside


def _act(act: Act, id: str, login: str, reason: str, config: Path) -> int:
    settings = configuration.load(config).settings
    person, now = logged_in(settings, login), SYSTEM.now()
    need(person, DECIDERS if act is Act.APPROVE else ASKERS, _("{login} may not suspend checks", login=login))
    with _told(), closing(_ledger(settings)) as ledger:
        done = ledger.move(id, act, person.login, now, reason)
        _record(settings, person, f"check.{act}", done, reason)
        publish(settings, KIND, release_files(ledger, now), person.login, f"{act} {id}")
    until = format_time(done.suspension.ends) if done.status is Status.SUSPENDED else "–"
    out(
        _(
            "{id}: {check} is {status} (until {until})",
            id=id,
            check=done.suspension.check,
            status=done.status,
            until=until,
        )
    )
    return Exit.DONE


def _record(settings: Settings, person: Person, act: str, done: Request, reason: str) -> None:
    one = done.suspension
    after = {"check": one.check, "status": str(done.status), "ends": format_time(one.ends)}
    record(settings, KIND, person.login, act, one.id, reason=reason, after=after)


@contextmanager
def _told() -> Iterator[None]:
    """What the rules of suspensions forbid is told in one line."""
    try:
        yield
    except NotAllowed as error:
        raise Problem(str(error), Exit.NO) from None


def _ledger(settings: Settings) -> Ledger:
    return Ledger(settings.path("desk", "suspensions.db"))


def _over(one: Request, now: datetime) -> bool:
    return one.over(now) or one.status is Status.RESUMED


def _state(one: Request, now: datetime) -> str:
    return _("over") if one.over(now) else str(one.status)


def _row(one: Request, now: datetime) -> tuple[str, ...]:
    s = one.suspension
    until = f"{s.ends:%Y-%m-%d %H:%M}" if one.status is Status.SUSPENDED else "–"
    return s.id, s.check, _state(one, now), until, s.applicant, s.approver or "–", s.reason


def _as_json(one: Request, now: datetime) -> dict[str, object]:
    s = one.suspension
    return {
        "id": s.id,
        "check": s.check,
        "status": str(one.status),
        "in_force": one.status is Status.SUSPENDED and s.in_force(now),
        "starts": format_time(s.starts),
        "ends": format_time(s.ends),
        "reason": s.reason,
        "applicant": s.applicant,
        "approver": s.approver,
    }
