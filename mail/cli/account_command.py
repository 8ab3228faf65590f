"""`hudhud mail account`: mail accounts of this relay. Passwords are asked for or read from stdin, never arguments."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter

from hudhud import auth_config
from hudhud import config as configuration
from hudhud.cli import Exit, Problem, err, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.entity import Registry
from hudhud.event import format_time
from hudhud.i18n import Language
from hudhud.people import hash_password
from hudhud.settings import Settings
from mail import accounts
from mail.accounts import Accounts, Row
from mail.cli import keeping
from mail.cli.words import _
from mail.proof import apps
from mail.proof.prepare import prepared
from mail.proof.scram import Keys

CONFIG: Final = Path(configuration.DEFAULT)
MIN_PASSWORD: Final = 12  # characters; NIST SP 800-63B asks for 8 at least
MAX_PASSWORD: Final = 256

account = App(name="account", help="Mail accounts of this relay: add, passwd, list, show, app passwords, leave.")
account.command("mail.cli.leave_command:leave", name="leave", help="A person leaves: everything of theirs ends.")
account.command("mail.cli.leave_command:role", name="role", help="Add a role's mailbox, for which persons act.")
account.command("mail.cli.guest_command:guest", name="guest", help="A contractor's account, with a sponsor and an end.")
account.command("mail.cli.app_command:app", name="app", help="App passwords of an account: add, list, revoke.")


@account.command
def add(
    address: str,
    *,
    name: Annotated[str, Parameter(help="The person's name.")] = "",
    language: Annotated[Language, Parameter(help="Of notices.")] = "ar",
    alias: Annotated[list[str] | None, Parameter(help="Further addresses of the account.")] = None,
    config: Path = CONFIG,
) -> int:
    """Add an account; its body is the one that the domain belongs to. The password is asked for, or read from stdin.

    Where [auth] says that LDAP or Dovecot knows the passwords of the domain, none is asked for.

    Parameters
    ----------
    address
        The primary address, with which the person logs in.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    registry = keeping.registry(settings)
    mine = [keeping.normal(text) for text in (address, *(alias or []))]
    codes = {entity_of(registry, text) for text in mine}
    if len(codes) != 1:
        raise Problem(_("the addresses belong to different bodies: {codes}", codes=", ".join(sorted(codes))))
    fresh = Row(address=mine[0], entity=codes.pop(), name=name, aliases=tuple(mine[1:]), language=language)
    check_free(accounts.load(settings.path(accounts.FILE)), mine)
    elsewhere = served_by(settings, mine[0])
    if not elsewhere:
        fresh = with_password(fresh, asked_password(), apps.login_secret(settings.path("keys")))

    def work(now: Accounts) -> tuple[Accounts, object]:
        check_free(now, mine)
        return Accounts((*now, fresh), now.delegations), {"entity": fresh.entity, "aliases": list(fresh.aliases)}

    keeping.change(settings, "account.add", mine[0], work)
    out(_("{address}: added to {entity}", address=mine[0], entity=fresh.entity))
    if elsewhere:
        out(_("{backend} knows the password; none was asked for", backend=elsewhere))
    return Exit.DONE


@account.command
def passwd(address: str, *, config: Path = CONFIG) -> int:
    """Set an account's password, asked for twice, or read from stdin. Open sessions with the old one end.

    Parameters
    ----------
    address
        The account's address.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    found = existing(accounts.load(settings.path(accounts.FILE)), address)
    if elsewhere := served_by(settings, found.address):
        raise Problem(_("{backend} knows the password; set it there", backend=elsewhere), Exit.NO)
    if not found.logs_in:
        raise Problem(_("nobody logs in as {address}: it is a role, or the person has left", address=found.address))
    password, secret = asked_password(), apps.login_secret(settings.path("keys"))

    def work(now: Accounts) -> tuple[Accounts, object]:
        return replaced(now, with_password(existing(now, found.address), password, secret)), None

    keeping.change(settings, "account.passwd", found.address, work)
    out(_("{address}: the password is set", address=found.address))
    return Exit.DONE


@account.command(name="list")
def list_accounts(
    *, entity: Annotated[str, Parameter(help="Only of this body.")] = "", json: bool = False, config: Path = CONFIG
) -> int:
    """List the accounts, without their passwords. Exit code 1 where there are none."""
    settings = configuration.load(config).settings
    found = [row for row in accounts.load(settings.path(accounts.FILE)) if entity in ("", row.entity)]
    if json:
        for row in found:
            out_json(_told(row, settings))
    elif found:
        columns = (_("Address"), _("Body"), _("Name"), _("Further addresses"), _("Language"), _("Password"))
        rows = [
            (r.address, r.entity, r.name, ", ".join(r.aliases), r.language, _password_is(r, settings)) for r in found
        ]
        table("", columns, rows)
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO


@account.command
def show(address: str, *, json: bool = False, config: Path = CONFIG) -> int:
    """Show an account: its addresses, who knows its password, what is delegated to it. Exit code 1: there is none.

    Parameters
    ----------
    address
        One of the account's addresses.
    json
        One JSON object.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    known = accounts.load(settings.path(accounts.FILE))
    row = existing(known, address)
    now = SYSTEM.now()
    given = [one for one in known.delegations if one.to == row.address and now < one.ends]
    if json:
        out_json(_told(row, settings) | {"delegated": {one.address: format_time(one.ends) for one in given}})
        return Exit.DONE
    rows = [
        (_("Address"), row.address),
        (_("Body"), row.entity),
        (_("Name"), row.name),
        (_("Further addresses"), ", ".join(row.aliases)),
        (_("Language"), row.language),
        (_("Password"), _password_is(row, settings)),
        (_("App passwords"), len(apps.current(row, now))),
        (_("May send as"), ", ".join(one.address for one in given)),
    ]
    if row.kind == "guest" and row.ends is not None:
        rows += [(_("Guest of"), row.sponsor), (_("Until"), f"{row.ends:%Y-%m-%d %H:%M}")]
    if row.left is not None:
        rows.append((_("Left on"), f"{row.left:%Y-%m-%d %H:%M}"))
    table("", (_("What"), _("Value")), rows)
    return Exit.DONE


# what the other commands of accounts use too


def entity_of(registry: Registry, address: str) -> str:
    """The code of the body whose domain it is; Problem where it is nobody's."""
    entity = registry.by_domain(address.rpartition("@")[2])
    if entity is None:
        raise Problem(
            _("{address} is in no domain of a public body; `hudhud registry show` lists them", address=address)
        )
    return entity.code


def existing(known: Accounts, address: str) -> Row:
    """The account with that address or alias; Problem where there is none."""
    found = known.find(address)
    if found is None:
        raise Problem(_("there is no account {address}", address=address), Exit.NO)
    return found


def replaced(now: Accounts, row: Row) -> Accounts:
    """The accounts with this one in the place of its former self."""
    return Accounts({**now.rows, row.address: row}.values(), now.delegations)


def served_by(settings: Settings, address: str) -> str:
    """The table of [auth] whose back end knows the password; "" where accounts.toml does."""
    return auth_config.served_by(settings.auth, address.rpartition("@")[2])


def with_password(row: Row, password: str, secret: bytes) -> Row:
    """The account with that password, as an argon2id hash and as SCRAM keys with the salt of its app passwords."""
    text = prepared(password)
    keys = Keys.make(text, apps.salt_for(row, secret))
    return msgspec.structs.replace(row, password=hash_password(text), scram=str(keys))


def check_free(known: Accounts, addresses: list[str]) -> None:
    for text in addresses:
        if (taken := known.find(text)) is not None:
            raise Problem(
                _("{address} belongs to the account {account} already", address=text, account=taken.address), Exit.NO
            )


def _told(row: Row, settings: Settings) -> dict[str, object]:
    """What a machine may read of an account: never a hash."""
    names = ("address", "entity", "kind", "name", "aliases", "language")
    ends = {"left": format_time(row.left)} if row.left is not None else {}
    if row.ends is not None:
        ends |= {"sponsor": row.sponsor, "ends": format_time(row.ends)}
    has = {"password": bool(row.password), "scram": bool(row.scram), "apps": len(apps.current(row, SYSTEM.now()))}
    return {name: getattr(row, name) for name in names} | ends | has | {"backend": served_by(settings, row.address)}


def _password_is(row: Row, settings: Settings) -> str:
    if not row.logs_in:
        return _("nobody logs in")
    if elsewhere := served_by(settings, row.address):
        return elsewhere
    if not row.password:
        return _("none")
    return _("set") if row.scram else _("set; for SCRAM set it again")


def asked_password() -> str:
    """Asked for twice on a terminal, else the first line of stdin."""
    if sys.stdin.isatty():
        password = getpass.getpass(_("Password: "))
        if getpass.getpass(_("Once more: ")) != password:
            raise Problem(_("the two differ; nothing was changed"))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Problem(_("a password has {least} to {most} characters", least=MIN_PASSWORD, most=MAX_PASSWORD))
    try:
        return prepared(password)
    except ValueError as error:
        raise Problem(_("that password cannot be used: {problem}", problem=str(error))) from None
