"""`hudhud mail account guest`: a contractor's account, with a sponsor who answers for it and a day on which it ends."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from hudhud import config as configuration
from hudhud.cli import Exit, Problem, out
from hudhud.clock import SYSTEM
from hudhud.event import format_time
from hudhud.i18n import Language
from hudhud.settings import Settings
from mail import accounts
from mail.accounts import Accounts, Row
from mail.cli import keeping
from mail.cli.account_command import asked_password, check_free, entity_of, existing, replaced, served_by, with_password
from mail.cli.words import _
from mail.proof import apps

CONFIG: Final = Path(configuration.DEFAULT)


def guest(
    address: str,
    *,
    sponsor: Annotated[str, Parameter(help="The person of the same body who answers for it.")],
    until: Annotated[str, Parameter(help="Last day, 2026-12-31, or a time with its zone.")],
    name: Annotated[str, Parameter(help="The guest's name.")] = "",
    language: Annotated[Language, Parameter(help="Of notices.")] = "ar",
    reason: Annotated[str, Parameter(help="Why, for the audit record.")] = "",
    config: Path = CONFIG,
) -> int:
    """Add a guest's account, or give one that is there another sponsor or end. After it nobody logs in with it.

    Parameters
    ----------
    address
        The guest's address, in a domain of the sponsor's body.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    mine, ends, now = keeping.normal(address), keeping.day_end(until), SYSTEM.now()
    if ends <= now:
        raise Problem(_("the account would be over already"), Exit.NO)
    if ends > now + timedelta(days=settings.relay.max_guest_days):
        days = settings.relay.max_guest_days
        raise Problem(_("a guest's account lasts at most {days} days (relay.max_guest_days)", days=days), Exit.NO)
    known = accounts.load(settings.path(accounts.FILE))
    entity = entity_of(keeping.registry(settings), mine)
    answers = _sponsor(known, sponsor, entity, settings)
    before = known.find(mine)
    fresh = before or Row(address=mine, entity=entity, name=name, language=language, kind="guest")
    if fresh.kind != "guest" or fresh.left is not None:
        raise Problem(_("{address} is no guest's account", address=mine), Exit.NO)
    fresh = msgspec.structs.replace(fresh, sponsor=answers, ends=ends)
    if before is None and not served_by(settings, mine):
        fresh = with_password(fresh, asked_password(), apps.login_secret(settings.path("keys")))

    def work(now: Accounts) -> tuple[Accounts, object]:
        after = {"entity": entity, "sponsor": answers, "ends": format_time(ends)}
        _sponsor(now, answers, entity, settings)
        if before is None:
            check_free(now, [mine])
            return Accounts((*now, fresh), now.delegations), after
        return replaced(now, msgspec.structs.replace(existing(now, mine), sponsor=answers, ends=ends)), after

    keeping.change(settings, "account.guest", mine, work, reason=reason)
    out(_("{address}: guest of {sponsor} until {end}", address=mine, sponsor=answers, end=f"{ends:%Y-%m-%d %H:%M}"))
    return Exit.DONE


def _sponsor(known: Accounts, address: str, entity: str, settings: Settings) -> str:
    """Who answers for the guest; Problem where it is no person of the body. LDAP has people of its own."""
    wanted = keeping.normal(address)
    row = known.find(wanted)
    if row is None and served_by(settings, wanted) and entity_of(keeping.registry(settings), wanted) == entity:
        return wanted
    if row is None or row.kind != "person" or not row.logs_in or row.entity != entity:
        problem = _("the sponsor {address} is no person's account of {body}", address=address, body=entity)
        raise Problem(problem, Exit.NO)
    return row.address
