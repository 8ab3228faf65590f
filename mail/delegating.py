"""Who may be allowed to send as somebody else, until when, and what ends when a person leaves a post. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from hudhud.entity import Registry
from mail.accounts import Accounts, Delegation, Row


def _(text: str) -> str:
    """Marks a text for the catalogue."""
    return text


class NotAllowed(Exception):  # noqa: N818 - it is an answer to a person, not a fault
    """What the rules of delegations forbid: `text` is of the catalogue and says which and why, `values` are in it."""

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(text.format(**values))
        self.text, self.values = text, values


def given(accounts: Accounts, wish: Delegation, registry: Registry, now: datetime, max_days: int) -> Accounts:
    """The accounts with that delegation, in the place of one for the same pair; NotAllowed says why not."""
    owner, to = accounts.find(wish.owner), accounts.find(wish.to)
    if owner is None or not owner.logs_in or owner.kind == "guest":
        raise NotAllowed(
            _("the owner {owner} is no person's account: a person answers for a delegation"), owner=wish.owner
        )
    if to is not None and not to.logs_in:
        raise NotAllowed(_("{to} is a role, or has left: delegate to a person"), to=wish.to)
    body, person = registry.by_domain(_domain(wish.address)), registry.by_domain(_domain(wish.to))
    if body is None or person is None:
        raise NotAllowed(
            _("{address} is in no domain of a public body"), address=wish.address if body is None else wish.to
        )
    if owner.entity != body.code:
        raise NotAllowed(
            _("{address} is of {body}, but its owner {owner} of {other}"),
            address=wish.address, body=body.code, owner=owner.address, other=owner.entity,
        )  # fmt: skip
    theirs = to.entity if to is not None else person.code
    if theirs != body.code:  # the policy that judges goes by the account's body, not by the address's
        raise NotAllowed(
            _("{address} is of {body}, but {to} of {other}: delegate to a person of the same body"),
            address=wish.address, body=body.code, to=wish.to, other=theirs,
        )  # fmt: skip
    who = to.address if to is not None else wish.to
    if who == owner.address:
        raise NotAllowed(_("{owner} would delegate to themself: the owner is another person"), owner=who)
    if to is not None and wish.address in to.all:
        raise NotAllowed(_("{address} belongs to {to} already"), address=wish.address, to=who)
    if wish.ends <= now:
        raise NotAllowed(_("the delegation would be over already"))
    if wish.ends > now + timedelta(days=max_days):
        raise NotAllowed(_("a delegation lasts at most {days} days (relay.max_delegation_days)"), days=max_days)
    fresh = msgspec.structs.replace(wish, to=who, owner=owner.address)
    return Accounts(accounts, (*_without(accounts, fresh.address, who), fresh))


def ended(accounts: Accounts, address: str, to: str) -> Accounts:
    """The accounts without it; NotAllowed where there is none."""
    row = accounts.find(to)
    left = tuple(_without(accounts, address, row.address if row is not None else to))
    if len(left) == len(accounts.delegations):
        raise NotAllowed(_("{address} is not delegated to {to}"), address=address, to=to)
    return Accounts(accounts, left)


def _without(accounts: Accounts, address: str, to: str) -> Iterator[Delegation]:
    return (one for one in accounts.delegations if (one.address, one.to) != (address, to))


@dataclass(frozen=True, slots=True)
class Departure:
    """The accounts afterwards, the delegations that ended and those that the successor has, app passwords dropped.

    `guests`: contractors for whom the person answered: the successor's now, or ended.
    """

    accounts: Accounts
    addresses: frozenset[str]
    ended: tuple[Delegation, ...]
    passed_on: tuple[Delegation, ...]
    apps: int
    guests: tuple[str, ...] = ()


def left(accounts: Accounts, address: str, registry: Registry, now: datetime, successor: str = "") -> Departure:
    """What ends with a person's post: log-in, app passwords, delegations to her, by her, and of her own addresses.

    A successor gets what she had of others (roles, shared addresses), with its end as it was: to act, or to own.
    NotAllowed where either is no person.
    """
    row = accounts.find(address) or _known_elsewhere(address, registry)
    if row.kind == "role":
        raise NotAllowed(_("{address} is a role: end its delegations instead"), address=row.address)
    heir = accounts.find(successor) if successor else None
    fits = heir is not None and heir.logs_in and heir.kind == "person" and heir.entity == row.entity
    if successor and (not fits or heir is row):
        raise NotAllowed(
            _("the successor {successor} is no other person's account of {body}"),
            successor=successor, body=row.entity,
        )  # fmt: skip
    gone = tuple(d for d in accounts.delegations if d.to == row.address or row.all & {d.owner, d.address})
    kept = tuple(d for d in accounts.delegations if d not in gone)
    passed = tuple(_passed(gone, row, heir.address, kept)) if heir is not None else ()
    changed = msgspec.structs.replace(row, password="", scram="", app=(), left=row.left or now)
    guests = {one.address: _guest_without(one, heir, now) for one in accounts if one.sponsor == row.address}
    rows = {**accounts.rows, **guests, row.address: changed}
    return Departure(Accounts(rows.values(), (*kept, *passed)), row.all, gone, passed, len(row.app), tuple(guests))


def _guest_without(guest: Row, heir: Row | None, now: datetime) -> Row:
    """A guest whose sponsor has left: the successor's, or over."""
    if heir is not None:
        return msgspec.structs.replace(guest, sponsor=heir.address)
    ends = min(guest.ends, now) if guest.ends is not None else now
    return msgspec.structs.replace(guest, ends=ends)


def _known_elsewhere(address: str, registry: Registry) -> Row:
    """A person whom only another back end knows (LDAP, Dovecot, tokens) gets a row, which says that she has left."""
    body = registry.by_domain(_domain(address))
    if body is None:
        raise NotAllowed(_("{address} is no account, and in no domain of a public body"), address=address)
    return Row(address=address, entity=body.code)


def _passed(gone: tuple[Delegation, ...], row: Row, heir: str, kept: tuple[Delegation, ...]) -> Iterator[Delegation]:
    taken = {(d.address, d.to) for d in kept}
    for one in gone:
        to = heir if one.to == row.address else one.to
        owner = heir if one.owner in row.all else one.owner
        if one.address not in row.all and to != owner and (one.address, to) not in taken:
            yield msgspec.structs.replace(one, to=to, owner=owner)


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
