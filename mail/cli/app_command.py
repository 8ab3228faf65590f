"""`hudhud mail account app`: passwords for one program each, shown once, revoked alone, over at their day."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter

from hudhud import config as configuration
from hudhud.cli import Exit, Problem, err, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.event import format_time
from hudhud.settings import Settings
from mail import accounts
from mail.accounts import Accounts, Row
from mail.accounts import App as AppPassword
from mail.cli import keeping
from mail.cli.account_command import entity_of, existing, replaced, served_by
from mail.cli.words import _
from mail.proof import apps
from mail.proof.used import Use, last_uses

CONFIG: Final = Path(configuration.DEFAULT)
MAX_LABEL: Final = 64  # characters

app = App(name="app", help="App passwords of an account: add, list, revoke.")


@app.command
def add(
    address: str,
    *,
    label: Annotated[str, Parameter(help="For which program or device: telephone, printer.")],
    days: Annotated[int, Parameter(help="How long it lasts.")] = apps.DAYS,
    json: bool = False,
    config: Path = CONFIG,
) -> int:
    """Make an app password. It is shown this once; the program is given it in the place of the person's password.

    Parameters
    ----------
    address
        The account's address. A person whom LDAP or Dovecot knows gets an entry in accounts.toml for it.
    json
        One JSON object.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    mine = keeping.normal(address)
    label = label.strip()
    if not 0 < len(label) <= MAX_LABEL or not label.isprintable():
        raise Problem(_("a label has 1 to {most} printable characters", most=MAX_LABEL))
    if not 0 < days <= apps.MAX_DAYS:
        raise Problem(_("an app password lasts 1 to {most} days", most=apps.MAX_DAYS))
    made: list[tuple[AppPassword, str]] = []
    secret = apps.login_secret(settings.path("keys"))

    def work(now: Accounts) -> tuple[Accounts, object]:
        row = _row(now, settings, mine)
        if len(apps.current(row, SYSTEM.now())) >= apps.MAX_APPS:
            raise Problem(_("{address} has {most} app passwords already; revoke one", address=mine, most=apps.MAX_APPS))
        fresh, shown = apps.make(row, label, SYSTEM.now(), days, secret)
        made.append((fresh, shown))
        kept = apps.current(row, SYSTEM.now())
        after = {"id": fresh.id, "label": label, "expires": format_time(fresh.expires)}
        return replaced(now, msgspec.structs.replace(row, app=(*kept, fresh))), after

    keeping.change(settings, "account.app.add", mine, work)
    fresh, shown = made[0]
    if json:
        out_json({"id": fresh.id, "label": label, "password": shown, "expires": format_time(fresh.expires)})
        return Exit.DONE
    out(_("App password {id} of {address}, until {day}:", id=fresh.id, address=mine, day=f"{fresh.expires:%Y-%m-%d}"))
    out(f"  {shown}")
    out(_("It is not shown again. User name in the program: {address}", address=mine))
    return Exit.DONE


@app.command(name="list")
def list_apps(address: str = "", /, *, json: bool = False, config: Path = CONFIG) -> int:
    """List app passwords, without what they are, and when each was used last. Exit code 1 where there are none.

    Parameters
    ----------
    address
        Only of this account.
    json
        One JSON object a line.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    known = accounts.load(settings.path(accounts.FILE))
    rows = [existing(known, address)] if address else list(known)
    uses = last_uses(settings.path(settings.spool.folder))
    found = [(row, one, uses.get(f"{row.address} {one.id}")) for row in rows for one in row.app]
    if json:
        for row, one, use in found:
            out_json(_told(row, one, use))
    elif found:
        columns = (_("Address"), _("Number"), _("For"), _("Made"), _("Until"), _("Last used"))
        table("", columns, [_line(row, one, use) for row, one, use in found])
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO


@app.command
def revoke(
    address: str,
    numbers: Annotated[tuple[str, ...], Parameter(help="Which, by their numbers.")] = (),
    /,
    *,
    all: Annotated[bool, Parameter(help="Every one of the account.")] = False,
    reason: Annotated[str, Parameter(help="Why, for the audit record.")] = "",
    config: Path = CONFIG,
) -> int:
    """End app passwords. Open sessions that they began end within a minute.

    Parameters
    ----------
    address
        The account's address.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    if bool(numbers) == all:
        raise Problem(_("name the numbers of app passwords, or say --all"))
    ended: list[str] = []

    def work(now: Accounts) -> tuple[Accounts, object]:
        row = existing(now, address)
        there = {one.id for one in row.app}
        if missing := sorted(set(numbers) - there):
            raise Problem(_("{address} has no app password {id}", address=row.address, id=missing[0]), Exit.NO)
        if not there:
            raise Problem(_("{address} has no app passwords", address=row.address), Exit.NO)
        kept = tuple(one for one in row.app if not (all or one.id in numbers))
        ended.extend(sorted(there - {one.id for one in kept}))
        return replaced(now, msgspec.structs.replace(row, app=kept)), {"ended": ended}

    keeping.change(settings, "account.app.revoke", keeping.normal(address), work, reason=reason)
    out(_("{address}: ended {ids}", address=address, ids=", ".join(ended)))
    return Exit.DONE


def _row(now: Accounts, settings: Settings, address: str) -> Row:
    """The account; of a person whom only another back end knows, a fresh one."""
    found = now.find(address)
    if found is None and served_by(settings, address):
        found = Row(address=address, entity=entity_of(keeping.registry(settings), address))
    row = found or existing(now, address)
    if not row.logs_in:
        raise Problem(_("nobody logs in as {address}: it is a role, or the person has left", address=row.address))
    return row


def _told(row: Row, one: AppPassword, use: Use | None) -> Mapping[str, object]:
    fields = {"address": row.address, "id": one.id, "label": one.label, "created": format_time(one.created)}
    used = {"used": format_time(use.at), "from": use.ip} if use is not None else {}
    return fields | {"expires": format_time(one.expires), "over": one.expires <= SYSTEM.now()} | used


def _line(row: Row, one: AppPassword, use: Use | None) -> tuple[str, ...]:
    last = f"{use.at:%Y-%m-%d %H:%M} {use.ip}" if use is not None else _("never")
    return row.address, one.id, one.label, f"{one.created:%Y-%m-%d}", f"{one.expires:%Y-%m-%d}", last
