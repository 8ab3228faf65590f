"""`hudhud mail account leave` and `role`: a person leaves a post; a mailbox that is a post's and no person's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from hudhud import config as configuration
from hudhud import release
from hudhud.cli import Exit, Problem, err, out
from hudhud.clock import SYSTEM
from hudhud.event import format_time
from hudhud.i18n import Language
from hudhud.release import Trust
from hudhud.settings import Settings
from mail import delegating
from mail.accounts import Accounts, Row
from mail.cli import keeping
from mail.cli.person import publish, record, shell
from mail.cli.words import _
from mail.delegating import Departure, NotAllowed
from mail.exempt import Exemption, parse_exemptions
from mail.grants.asking import Act, Request, Status
from mail.grants.ledger import Ledger, release_files

CONFIG: Final = Path(configuration.DEFAULT)
KIND: Final = "exemptions"


def leave(
    address: str,
    *,
    successor: Annotated[
        str, Parameter(help="Who gets what she had of others: roles to act for, delegations to answer for.")
    ] = "",
    reason: Annotated[str, Parameter(help="Why, for the audit records.")] = "",
    config: Path = CONFIG,
) -> int:
    """A person leaves: log-in, app passwords, delegations and exemptions end within a minute, open sessions too.

    Said again, it ends what was not ended yet. Mail that arrives for the address is not the relay's: it still goes to
    the body's mailbox server.

    Parameters
    ----------
    address
        The account's address.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    who, heir = keeping.normal(address), keeping.normal(successor) if successor else ""
    registry = keeping.registry(settings)
    done: list[Departure] = []

    def work(now: Accounts) -> tuple[Accounts, object]:
        try:
            done.append(delegating.left(now, who, registry, SYSTEM.now(), heir))
        except NotAllowed as error:
            raise Problem(_(error.text, **error.values), Exit.NO) from None
        departure = done[0]
        ended = [f"{one.address} > {one.to}" for one in departure.ended]
        return departure.accounts, {"apps": departure.apps, "delegations": ended, "successor": heir}

    keeping.change(settings, "account.leave", who, work, reason=reason)
    departure = done[0]
    _say(who, heir, departure)
    revoked = _revoke(settings, departure.addresses, who, reason)
    out(_("{address}: {count} exemptions revoked", address=who, count=len(revoked)))
    out(
        _(
            "Mail for {address} still goes to its body's mailbox server: close, keep or forward the mailbox there.",
            address=who,
        )
    )
    return Exit.DONE


def _say(who: str, heir: str, departure: Departure) -> None:
    out(_("{address}: can no longer log in; {count} app passwords dropped", address=who, count=departure.apps))
    for one in departure.ended:
        out(_("ended: {to} may send as {address}", to=one.to, address=one.address))
    for one in departure.passed_on:
        text = _(
            "passed on: {to} may send as {address}, {owner} answers for it",
            to=one.to,
            address=one.address,
            owner=one.owner,
        )
        out(text)
    for guest in departure.guests:
        if heir:
            out(_("{address}: guest of {sponsor} from now on", address=guest, sponsor=heir))
        else:
            out(_("{address}: the guest's account has ended", address=guest))
    if heir and not (departure.passed_on or departure.guests):
        err(_("there was nothing to pass on to {address}", address=heir))


def _revoke(settings: Settings, addresses: Collection[str], who: str, reason: str) -> Sequence[Request]:
    """End the person's exemptions at the desk and publish what is left; Problem where the desk is another machine."""
    path, key = settings.path("desk", "exemptions.db"), settings.path("keys", "desk.key")
    if not (path.exists() and key.exists()):
        live = _live(settings)
        if ids := ", ".join(one.id for one in live if one.sender in addresses and one.ends > SYSTEM.now()):
            raise Problem(
                _("{ids}: still in force; revoke them at the desk, it is not here", ids=ids), Exit.UNAVAILABLE
            )
        return ()
    why, now = reason or "the person has left", SYSTEM.now()
    with closing(Ledger(path)) as ledger:
        hers = [one for one in ledger.list() if one.exemption.sender in addresses and Act.REVOKE in one.moves()]
        approved = any(one.status is Status.APPROVED for one in hers)
        revoked = []
        for one in hers:
            after = ledger.revoke(one.exemption.id, shell(), now, why)
            told = {"status": str(after.status), "ends": format_time(after.exemption.ends)}
            record(settings, KIND, shell(), "exemption.revoke", one.exemption.id, reason=why, after=told)
            revoked.append(after)
        if approved:
            publish(settings, KIND, release_files(ledger, now), shell(), f"{who} has left")
    return revoked


def _live(settings: Settings) -> Sequence[Exemption]:
    """What nodes go by now."""
    folder = settings.path(settings.releases.folder)
    if not release.pointer_path(folder, KIND, "enforce").exists():
        return ()
    return parse_exemptions(release.load(folder, KIND, Trust.of(settings.releases)).files)


def role(
    address: str,
    *,
    name: Annotated[str, Parameter(help="What the post is called.")] = "",
    language: Annotated[Language, Parameter(help="Of notices.")] = "ar",
    alias: Annotated[list[str] | None, Parameter(help="Further addresses of the mailbox.")] = None,
    config: Path = CONFIG,
) -> int:
    """Add a role's mailbox: nobody logs in as it; `hudhud mail delegate give` says who acts for it.

    Parameters
    ----------
    address
        The role's address, as minister@….
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    registry = keeping.registry(settings)
    mine = [keeping.normal(text) for text in (address, *(alias or []))]
    bodies = {entity.code if (entity := registry.by_domain(one.rpartition("@")[2])) else "" for one in mine}
    if len(bodies) != 1 or "" in bodies:
        raise Problem(_("the addresses are not all of one public body"))
    fresh = Row(
        address=mine[0], entity=bodies.pop(), name=name, kind="role", aliases=tuple(mine[1:]), language=language
    )

    def work(now: Accounts) -> tuple[Accounts, object]:
        for one in mine:
            if (taken := now.find(one)) is not None:
                problem = _("{address} belongs to the account {account} already", address=one, account=taken.address)
                raise Problem(problem, Exit.NO)
        return Accounts((*now, fresh), now.delegations), {"kind": "role", "entity": fresh.entity}

    keeping.change(settings, "account.role", mine[0], work)
    out(_("{address}: added to {entity} as a role", address=mine[0], entity=fresh.entity))
    return Exit.DONE
