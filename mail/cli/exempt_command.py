"""`hudhud mail exempt`: request, approve, list, revoke. Who acts logs in; what two others approve is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from hudhud import config as configuration
from hudhud import release
from hudhud.cli import Exit, Problem, err, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.entity import Registry
from hudhud.event import format_time
from hudhud.people import Person
from hudhud.registry import parse_registry
from hudhud.release import Trust
from hudhud.settings import Settings
from mail.cli.keeping import day_end
from mail.cli.person import logged_in, publish, record
from mail.cli.words import _
from mail.exempt import Exemption, normal_scope
from mail.grants.asking import Act, NotAllowed, Request, Status
from mail.grants.ledger import Ledger, release_files

CONFIG: Final = Path(configuration.DEFAULT)
KIND: Final = "exemptions"

Login = Annotated[str, Parameter(help="Who acts; the password is asked for, or read from stdin.")]

exempt = App(name="exempt", help="Exemptions: request, approve, list, revoke.")


@exempt.command
def request(
    *,
    sender: Annotated[str, Parameter(help="Address or domain that may write abroad.")],
    recipient: Annotated[str, Parameter(help="Address or domain abroad.")],
    until: Annotated[str, Parameter(help="Last day, 2026-12-31, or a time with its zone.")],
    reason: Annotated[str, Parameter(help="What it is needed for.")],
    document: Annotated[str, Parameter(help="The letter or decision that asks for it.")],
    login: Login,
    max_size: Annotated[int | None, Parameter(help="Octets of one message; none: the body's limit.")] = None,
    config: Path = CONFIG,
) -> int:
    """Ask for an exemption; nothing is allowed by it until two others have approved it."""
    settings = configuration.load(config).settings
    person, now = logged_in(settings, login), SYSTEM.now()
    asked = Exemption("", sender, recipient, now, day_end(until), reason, document, person.login, max_size=max_size)
    with _told(), closing(_ledger(settings)) as ledger:
        done = ledger.request(asked, _entity(_registry(settings), sender), now)
    _record(settings, person, "exemption.request", done, reason)
    out(_("{id}: requested; two others approve it with `hudhud mail exempt approve {id}`", id=done.exemption.id))
    return Exit.DONE


@exempt.command
def approve(id: str, *, login: Login, reason: str = "", config: Path = CONFIG) -> int:
    """Approve an exemption: the second approval, by another person, puts it in force."""
    return _act(Act.APPROVE, id, login, reason, config)


@exempt.command
def refuse(id: str, *, login: Login, reason: str, config: Path = CONFIG) -> int:
    """Decline an exemption that was requested."""
    return _act(Act.REFUSE, id, login, reason, config)


@exempt.command
def revoke(id: str, *, login: Login, reason: str, config: Path = CONFIG) -> int:
    """Take an exemption back."""
    return _act(Act.REVOKE, id, login, reason, config)


@exempt.command(name="list")
def list_exemptions(
    *,
    status: Annotated[Status | None, Parameter(help="Only of this status.")] = None,
    entity: Annotated[str | None, Parameter(help="Only of this body.")] = None,
    json: bool = False,
    config: Path = CONFIG,
) -> int:
    """List exemptions in the order of their requests. Exit code 1 where there are none."""
    with closing(_ledger(configuration.load(config).settings)) as ledger:
        found = ledger.list(status=status, entity=entity)
    now = SYSTEM.now()
    if json:
        for one in found:
            out_json(_as_json(one, now))
    elif found:
        columns = (_("Id"), _("State"), _("Sender"), _("Recipient"), _("Until"), _("Requested by"), _("Approved by"))
        table("", columns, [_row(one, now) for one in found])
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO


# inside


def _act(act: Act, id: str, login: str, reason: str, config: Path) -> int:
    settings = configuration.load(config).settings
    person, now = logged_in(settings, login), SYSTEM.now()
    with _told(), closing(_ledger(settings)) as ledger:
        before = ledger.get(id)
        if "administrator" not in person.roles and not ("officer" in person.roles and person.entity == before.entity):
            raise Problem(_("{login} decides on exemptions of no body, or of another one", login=person.login), Exit.NO)
        moves = {Act.APPROVE: ledger.approve, Act.REFUSE: ledger.refuse, Act.REVOKE: ledger.revoke}
        after = moves[act](id, person.login, now, reason)
        _record(settings, person, f"exemption.{act}", after, reason)
        if Status.APPROVED in (before.status, after.status):
            publish(settings, KIND, release_files(ledger, now), person.login, f"{act} {id}")
    out(_("{id}: {status}", id=id, status=after.status))
    return Exit.DONE


def _record(settings: Settings, person: Person, act: str, done: Request, reason: str) -> None:
    after = {"status": str(done.status), "ends": format_time(done.exemption.ends)}
    record(settings, KIND, person.login, act, done.exemption.id, reason=reason, after=after)


@contextmanager
def _told() -> Iterator[None]:
    """What the rules of exemptions forbid is told in one line."""
    try:
        yield
    except NotAllowed as error:
        raise Problem(str(error), Exit.NO) from None


def _ledger(settings: Settings) -> Ledger:
    return Ledger(settings.path("desk", "exemptions.db"))


def _registry(settings: Settings) -> Registry:
    found = release.load(settings.path(settings.releases.folder), "registry", Trust.of(settings.releases))
    return parse_registry(found.files, version=found.digest)


def _entity(registry: Registry, sender: str) -> str:
    try:
        domain = normal_scope(sender).rpartition("@")[2]
    except ValueError as error:
        raise Problem(str(error)) from None
    entity = registry.by_domain(domain)
    if entity is None:
        raise Problem(_("{sender} belongs to no public body; `hudhud registry show` lists them", sender=sender))
    return entity.code


def _state(one: Request, now: datetime) -> str:
    over = one.exemption.ends <= now and one.status in (Status.APPROVED, Status.REQUESTED, Status.SECONDED)
    return _("over") if over else str(one.status)


def _row(one: Request, now: datetime) -> tuple[str, ...]:
    e = one.exemption
    return (
        e.id,
        _state(one, now),
        e.sender,
        e.recipient,
        f"{e.ends:%Y-%m-%d %H:%M}",
        e.applicant,
        ", ".join(e.approvers),
    )


def _as_json(one: Request, now: datetime) -> dict[str, object]:
    e = one.exemption
    return {
        "id": e.id,
        "status": str(one.status),
        "in_force": one.status is Status.APPROVED and e.in_force(now),
        "entity": one.entity,
        "sender": e.sender,
        "recipient": e.recipient,
        "starts": format_time(e.starts),
        "ends": format_time(e.ends),
        "max_size": e.max_size,
        "reason": e.reason,
        "document": e.document,
        "applicant": e.applicant,
        "approvers": list(e.approvers),
    }
