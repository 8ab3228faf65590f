"""The accounts of the relay: who may log in, which addresses are theirs, and what is delegated to whom until when.

accounts.toml:
    [account."amal@finance.saba.example"]      a primary address; domains may be written as U-labels
    entity = "FIN"
    name = "Amal Haddad"
    password = "$argon2id$…"                   PHC string format
    aliases = ["a.haddad@finance.saba.example"]
    language = "ar"
    scram = "SCRAM-SHA-256$…"                  RFC 5803, made with the password
    [[account."amal@finance.saba.example".app]]
    id = "k7f3qa"                              an app password, by which it is listed and revoked
    label = "telephone"
    hash = "$blake2b$…"
    created = 2026-11-24T00:00:00Z
    expires = 2027-11-24T00:00:00Z
    [account."minister@finance.saba.example"]
    entity = "FIN"
    kind = "role"                              a role's mailbox: nobody logs in as it, persons are delegated to act
    [account."visitor@finance.saba.example"]
    entity = "FIN"
    kind = "guest"                             a contractor: logs in until `ends`, because of …
    sponsor = "yusuf@finance.saba.example"     … a person of the same body, who answers for it
    ends = 2027-01-31T00:00:00Z
    [[delegation]]
    address = "diwan@finance.saba.example"     to is allowed to send as it …
    to = "amal@finance.saba.example"
    owner = "yusuf@finance.saba.example"       … because its owner says so …
    ends = 2027-01-31T00:00:00Z                … until then, by the node's own clock
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from hudhud import durable, toml
from hudhud.entity import a_label
from hudhud.i18n import Language
from mail.account import Account, Kind, Role

__all__ = ["Account", "Accounts", "AccountsError", "App", "Delegation", "Kind", "Role", "Row"]
__all__ += ["load", "normal", "parse", "row", "without_apps", "write"]

FILE: Final = "accounts.toml"
AccountsError = toml.PlaceError


class App(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An app password: 140 random bits that one program knows; `hash` and `scram` are what we keep of it."""

    id: str
    label: str
    hash: str
    scram: str = ""
    created: datetime
    expires: datetime


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One [account] table; `address` is its name. Without `password` another back end (or only apps) knows one.

    `left` is since when the person has left: the address is kept, so that nobody gets it, and nobody logs in with it.
    A guest (contractor) has a `sponsor`, a person of the same body, and logs in until `ends` by the node's own clock.
    """

    entity: str
    kind: Literal["person", "role", "guest"] = "person"
    left: datetime | None = None
    sponsor: str = ""
    ends: datetime | None = None
    name: str = ""
    password: str = ""
    scram: str = ""
    app: tuple[App, ...] = ()
    aliases: tuple[str, ...] = ()
    language: Language = "ar"
    address: str = ""

    @property
    def all(self) -> frozenset[str]:
        """Its addresses, the primary one and the others."""
        return frozenset((self.address, *self.aliases))

    @property
    def logs_in(self) -> bool:
        """Whether anybody may log in as it."""
        return self.kind != "role" and self.left is None

    def logs_in_at(self, now: datetime) -> bool:
        """The same, at that time: a guest's account ends."""
        return self.logs_in and (self.ends is None or now < self.ends)


class Delegation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`to` may send as `address`, because `owner` says so, until `ends`."""

    address: str
    to: str
    owner: str
    ends: datetime


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    account: dict[str, dict[str, object]] = {}
    delegation: tuple[Delegation, ...] = ()


def row(address: str, entity_code: str, name: str, password_hash: str, *, language: Language = "ar") -> Row:
    """An account as it stands in the file."""
    return Row(address=normal(address), entity=entity_code, name=name, password=password_hash, language=language)


def normal(address: str) -> str:
    """local@domain in lower case, the domain as A-label; ValueError where it is no address."""
    local, at, domain = address.strip().rpartition("@")
    if not at or not local:
        raise ValueError(f"{address!r} is not local@domain")
    return f"{local.lower()}@{a_label(domain)}"


class Accounts:
    """What one accounts.toml says. Immutable."""

    def __init__(self, rows: Iterable[Row] = (), delegations: Iterable[Delegation] = ()) -> None:
        self.rows: Mapping[str, Row] = {row.address: row for row in rows}
        self.delegations = tuple(delegations)
        self._by_alias = {alias: row.address for row in self.rows.values() for alias in row.aliases}
        self._given: dict[str, list[Delegation]] = {}
        for one in self.delegations:
            self._given.setdefault(one.to, []).append(one)

    def find(self, login: str) -> Row | None:
        """The account with that address or alias; None where there is none."""
        try:
            address = normal(login)
        except ValueError:
            return None
        return self.rows.get(self._by_alias.get(address, address))

    def account(self, row: Row, now: datetime) -> Account:
        """The account as it is at `now`: delegations that have ended are not in it."""
        return self.with_delegations(Account(row.address, row.entity, row.all, language=row.language), now)

    def with_delegations(self, account: Account, now: datetime) -> Account:
        """The person's account with what is delegated to her at `now`; the addresses of a role all at once."""
        given = [one for one in self._given.get(account.name, ()) if now < one.ends]
        if not given:
            return account
        delegated: dict[str, str] = {}
        roles: dict[str, Role] = {}
        for one in given:
            row = self.find(one.address)
            if row is not None and row.kind == "role":
                roles |= dict.fromkeys(row.all, Role(row.address, row.entity, row.all))
                delegated |= dict.fromkeys(row.all, one.owner)
            delegated[one.address] = one.owner
        return replace(account, delegated=delegated, roles=roles)

    def language(self, address: str) -> Language:
        """The language of the account with that address; Arabic where there is none."""
        found = self.find(address)
        return found.language if found is not None else "ar"

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows.values())

    def __len__(self) -> int:
        return len(self.rows)


def parse(data: bytes, *, file: str = FILE) -> Accounts:
    """The accounts in `data`; AccountsError names file, line and key."""
    document, where = toml.read(file, data)
    read = toml.convert(document, _Document, file=file, where=where)
    rows: dict[str, Row] = {}
    taken: dict[str, str] = {}
    for written, table in read.account.items():
        key = f"account.{written}"
        one = toml.convert(table, Row, file=file, where=where, prefix=key)
        try:
            address = normal(written)
            aliases = tuple(normal(alias) for alias in one.aliases)
        except ValueError as error:
            raise AccountsError(file, toml.line_of(key, where), key, str(error)) from None
        for mine in (address, *aliases):
            if mine in taken:
                raise AccountsError(file, toml.line_of(key, where), key, f"{mine} belongs to {taken[mine]} already")
            taken[mine] = address
        rows[address] = msgspec.structs.replace(one, address=address, aliases=aliases)
    _check_apps(rows.values(), file, where)
    _check_roles(rows.values(), file, where)
    _check_guests(rows, file, where)
    delegations = [_delegation(d, f"delegation[{n}]", rows, file, where) for n, d in enumerate(read.delegation)]
    return Accounts(rows.values(), delegations)


def _check_apps(rows: Iterable[Row], file: str, where: Mapping[str, int]) -> None:
    for one in rows:
        for number, app in enumerate(one.app):
            if app.created.tzinfo is None or app.expires.tzinfo is None:
                key = f"account.{one.address}.app[{number}]"
                raise AccountsError(file, toml.line_of(key, where), key, "needs times with their zone")


def _check_roles(rows: Iterable[Row], file: str, where: Mapping[str, int]) -> None:
    """Nobody logs in as a role, or as somebody who has left: nothing to do so with may stand there."""
    for one in rows:
        if not one.logs_in and (one.password or one.scram or one.app):
            key = f"account.{one.address}"
            who = "a role" if one.kind == "role" else "who has left"
            raise AccountsError(file, toml.line_of(key, where), key, f"{who} has no password: persons are delegated")
        if one.left is not None and one.left.tzinfo is None:
            key = f"account.{one.address}.left"
            raise AccountsError(file, toml.line_of(key, where), key, "needs a time with its zone")


def _check_guests(rows: Mapping[str, Row], file: str, where: Mapping[str, int]) -> None:
    """A guest has an end and somebody of the body who answers for it; nobody else has either."""
    for address, one in rows.items():
        problem = ""
        if one.kind != "guest":
            problem = "only a guest has a sponsor and an end" if one.sponsor or one.ends is not None else ""
        elif one.ends is None or one.ends.tzinfo is None:
            problem = "a guest needs ends, a time with its zone"
        elif "@" not in one.sponsor or not _answers(rows.get(one.sponsor), one):
            problem = "a guest needs a sponsor: a person of the same body"
        if problem:
            key = f"account.{address}"
            raise AccountsError(file, toml.line_of(key, where), key, problem)


def _answers(sponsor: Row | None, guest: Row) -> bool:
    """A sponsor whom only another back end knows (LDAP, tokens) has no row."""
    return sponsor is None or (sponsor.kind == "person" and sponsor.entity == guest.entity)


def _delegation(
    written: Delegation, key: str, rows: Mapping[str, Row], file: str, where: Mapping[str, int]
) -> Delegation:
    line = toml.line_of(key, where)
    try:
        address, to, owner = (normal(text) for text in (written.address, written.to, written.owner))
    except ValueError as error:
        raise AccountsError(file, line, key, str(error)) from None
    if to in rows and not rows[to].logs_in:
        raise AccountsError(file, line, f"{key}.to", f"{to} is a role, or has left: delegate to a person")
    for theirs in (address, owner):  # the policy that judges goes by the body of who logged in
        if to in rows and theirs in rows and rows[to].entity != rows[theirs].entity:
            bodies = f"{to} is of {rows[to].entity}, {theirs} of {rows[theirs].entity}"
            raise AccountsError(file, line, f"{key}.to", f"{bodies}: delegate to a person of the same body")
    if written.ends.tzinfo is None:
        raise AccountsError(file, line, f"{key}.ends", "needs a time with its zone, as 2027-01-31T00:00:00Z")
    return Delegation(address=address, to=to, owner=owner, ends=written.ends)


def load(path: Path) -> Accounts:
    """The accounts of a file; none where it is not there. AccountsError."""
    return parse(path.read_bytes(), file=path.name) if path.exists() else Accounts()


def write(path: Path, rows: Iterable[Row], delegations: Iterable[Delegation] = ()) -> None:
    """Writes accounts.toml at once, readable by its owner only; AccountsError for what could not be read again."""
    lines = ["# Mail accounts. Passwords are argon2id hashes: `hudhud mail account passwd ADDRESS` sets one."]
    for one in rows:
        heading = f"account.{toml.quoted(one.address)}"
        said = {name: getattr(one, name) for name in ("entity", "name", "password", "aliases", "language", "scram")}
        more: dict[str, str | datetime] = {
            "kind": "" if one.kind == "person" else one.kind,
            "left": one.left or "",
            "sponsor": one.sponsor,
            "ends": one.ends or "",
        }
        lines += ["", *toml.table(f"[{heading}]", said | more)]
        for app in one.app:
            lines += toml.table(f"[[{heading}.app]]", msgspec.structs.asdict(app))
    for given in delegations:
        lines += ["", *toml.table("[[delegation]]", msgspec.structs.asdict(given))]
    data = ("\n".join(lines) + "\n").encode()
    parse(data, file=path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.replace(path, data, mode=durable.PRIVATE)


def without_apps(one: Row) -> Row:
    """The account with no app password left; sessions that one of them opened end within a minute."""
    return msgspec.structs.replace(one, app=())
