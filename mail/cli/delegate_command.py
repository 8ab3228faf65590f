"""`hudhud mail delegate`: who may send as whom, because of whom, until when. Live within seconds, each act recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from hudhud import config as configuration
from hudhud.cli import Exit, Problem, err, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.entity import a_label, suffixes
from hudhud.event import format_time
from hudhud.settings import Auth
from mail import accounts, delegating
from mail.accounts import Accounts, Delegation
from mail.cli import keeping
from mail.cli.words import _
from mail.delegating import NotAllowed

CONFIG: Final = Path(configuration.DEFAULT)

delegate = App(name="delegate", help="Who may send as whom, until when: give, list, end.")


@delegate.command
def give(
    address: str,
    to: str,
    *,
    until: Annotated[str, Parameter(help="Last day, 2026-12-31, or a time with its zone.")],
    owner: Annotated[str, Parameter(help="The person of the address's body who answers for it.")],
    reason: Annotated[str, Parameter(help="Why, for the audit record.")] = "",
    config: Path = CONFIG,
) -> int:
    """Let the person TO send as ADDRESS: a role's mailbox, a shared or a colleague's address.

    Parameters
    ----------
    address
        The address that is lent.
    to
        The account of the person who may send as it.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    wish = Delegation(
        address=keeping.normal(address), to=keeping.normal(to), owner=keeping.normal(owner), ends=keeping.day_end(until)
    )
    registry = keeping.registry(settings)

    def work(now: Accounts) -> tuple[Accounts, object]:
        if now.find(wish.to) is None and not _elsewhere(settings.auth, wish.to):
            raise Problem(_("there is no account {address}", address=wish.to), Exit.NO)
        try:
            fresh = delegating.given(now, wish, registry, SYSTEM.now(), settings.relay.max_delegation_days)
        except NotAllowed as error:
            raise Problem(_(error.text, **error.values), Exit.NO) from None
        return fresh, {"to": wish.to, "owner": wish.owner, "ends": format_time(wish.ends)}

    keeping.change(settings, "delegation.give", wish.address, work, reason=reason)
    out(
        _("{to} may send as {address} until {end}", to=wish.to, address=wish.address, end=f"{wish.ends:%Y-%m-%d %H:%M}")
    )
    return Exit.DONE


@delegate.command(name="list")
def list_delegations(
    *,
    address: Annotated[str, Parameter(help="Only of this address.")] = "",
    to: Annotated[str, Parameter(help="Only to this person.")] = "",
    json: bool = False,
    config: Path = CONFIG,
) -> int:
    """List delegations, those that are over too. Exit code 1 where there are none."""
    settings = configuration.load(config).settings
    wanted = [keeping.normal(text) if text else "" for text in (address, to)]
    known = accounts.load(settings.path(accounts.FILE))
    found = [d for d in known.delegations if wanted[0] in ("", d.address) and wanted[1] in ("", d.to)]
    now = SYSTEM.now()
    if json:
        for one in found:
            fields = {"address": one.address, "to": one.to, "owner": one.owner, "ends": format_time(one.ends)}
            row = known.find(one.address)
            out_json(fields | {"in_force": now < one.ends, "role": row is not None and row.kind == "role"})
    elif found:
        columns = (_("Address"), _("May be used by"), _("Because of"), _("Until"), _("State"))
        state = {True: _("in force"), False: _("over")}
        rows = [(d.address, d.to, d.owner, f"{d.ends:%Y-%m-%d %H:%M}", state[now < d.ends]) for d in found]
        table("", columns, rows)
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO


@delegate.command
def end(address: str, to: str, *, reason: Annotated[str, Parameter(help="Why.")] = "", config: Path = CONFIG) -> int:
    """End a delegation before its time; open sessions too.

    Parameters
    ----------
    address
        The address that was lent.
    to
        The person who could send as it.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    lent, person = keeping.normal(address), keeping.normal(to)

    def work(now: Accounts) -> tuple[Accounts, object]:
        try:
            return delegating.ended(now, lent, person), {"to": person}
        except NotAllowed as error:
            raise Problem(_(error.text, **error.values), Exit.NO) from None

    keeping.change(settings, "delegation.end", lent, work, reason=reason)
    out(_("{to} may no longer send as {address}", to=person, address=lent))
    return Exit.DONE


def _elsewhere(auth: Auth, address: str) -> bool:
    """Whether another back end than accounts.toml may know the person."""
    served = {domain for one in auth.ldap.values() for domain in one.domains}
    served |= {domain for one in auth.dovecot.values() for domain in one.domains}
    served |= {domain for one in auth.oauth.values() for domain in one.domains}
    named = {a_label(domain) for domain in served - {"*"}}
    return "*" in served or any(above in named for above in suffixes(address.rpartition("@")[2]))
