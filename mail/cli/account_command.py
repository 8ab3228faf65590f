"""`hudhud mail account`: adds and lists mail accounts and sets their passwords, which never stand on a command line."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter

from hudhud import config as configuration
from hudhud import release
from hudhud.audit import Audit
from hudhud.cli import Exit, Problem, err, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.entity import Registry
from hudhud.i18n import Language
from hudhud.keys import SigningKey
from hudhud.people import hash_password
from hudhud.registry import parse_registry
from hudhud.release import Trust
from hudhud.settings import Settings
from mail import accounts
from mail.accounts import Row
from mail.cli.words import _

CONFIG: Final = Path(configuration.DEFAULT)
MIN_PASSWORD: Final = 12  # characters; NIST SP 800-63B asks for 8 at least
MAX_PASSWORD: Final = 256

account = App(name="account", help="Mail accounts of this relay: add, list, passwd.")


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

    Parameters
    ----------
    address
        The primary address, with which the person logs in.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    registry = _registry(settings)
    mine = [_normal(text) for text in (address, *(alias or []))]
    codes = {_entity(registry, text) for text in mine}
    if len(codes) != 1:
        raise Problem(_("the addresses belong to different bodies: {codes}", codes=", ".join(sorted(codes))))
    known = accounts.load(settings.path(accounts.FILE))
    for text in mine:
        if (taken := known.find(text)) is not None:
            raise Problem(
                _("{address} belongs to the account {account} already", address=text, account=taken.address), Exit.NO
            )
    password = _password()
    fresh = Row(
        address=mine[0], entity=codes.pop(), name=name, password=hash_password(password), aliases=tuple(mine[1:]),
        language=language,
    )  # fmt: skip
    _change(settings, "account.add", mine[0], lambda rows: {**rows, mine[0]: fresh})
    out(_("{address}: added to {entity}", address=mine[0], entity=fresh.entity))
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
            names = ("address", "entity", "name", "aliases", "language")
            out_json({name: getattr(row, name) for name in names} | {"password": bool(row.password)})
    elif found:
        columns = (_("Address"), _("Body"), _("Name"), _("Further addresses"), _("Language"))
        table("", columns, [(r.address, r.entity, r.name, ", ".join(r.aliases), r.language) for r in found])
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO


@account.command
def passwd(address: str, *, config: Path = CONFIG) -> int:
    """Set an account's password, asked for twice, or read from stdin.

    Parameters
    ----------
    address
        The account's address.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    found = accounts.load(settings.path(accounts.FILE)).find(address)
    if found is None:
        raise Problem(_("there is no account {address}", address=address), Exit.NO)
    hashed = hash_password(_password())

    def change(rows: dict[str, Row]) -> dict[str, Row]:
        return {**rows, found.address: msgspec.structs.replace(rows[found.address], password=hashed)}

    _change(settings, "account.passwd", found.address, change)
    out(_("{address}: the password is set", address=found.address))
    return Exit.DONE


def _change(settings: Settings, act: str, address: str, change: Callable[[dict[str, Row]], dict[str, Row]]) -> None:
    """Record the act, then write the file; the audit chain's lock lets one command at a time do so."""
    key = SigningKey.load(settings.path("keys", "node.key"))
    audit = Audit(settings.path("audit", "accounts.chain"), key, "accounts")
    try:
        path = settings.path(accounts.FILE)
        now = accounts.load(path)
        audit.record(f"{getpass.getuser()}@shell", act, address, now=SYSTEM.now())
        accounts.write(path, change(dict(now.rows)).values(), now.delegations)
    finally:
        audit.close()


def _registry(settings: Settings) -> Registry:
    found = release.load(settings.path(settings.releases.folder), "registry", Trust.of(settings.releases))
    return parse_registry(found.files, version=found.digest)


def _normal(text: str) -> str:
    try:
        return accounts.normal(text)
    except ValueError as error:
        raise Problem(str(error)) from None


def _entity(registry: Registry, address: str) -> str:
    entity = registry.by_domain(address.rpartition("@")[2])
    if entity is None:
        raise Problem(
            _("{address} is in no domain of a public body; `hudhud registry show` lists them", address=address)
        )
    return entity.code


def _password() -> str:
    """Asked for twice on a terminal, else the first line of stdin."""
    if sys.stdin.isatty():
        password = getpass.getpass(_("Password: "))
        if getpass.getpass(_("Once more: ")) != password:
            raise Problem(_("the two differ; nothing was changed"))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Problem(_("a password has {least} to {most} characters", least=MIN_PASSWORD, most=MAX_PASSWORD))
    return password
