"""The accounts as they are now: accounts.toml, read again when it changes, and whom only another back end knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hudhud import log
from hudhud.entity import Registry
from mail import accounts
from mail.accounts import Account, Accounts, Row
from mail.proof import apps
from mail.proof.known import Known

_log = log.get(__name__)


class LiveAccounts:
    """The accounts of a file, read again when it changes; a file with a mistake is not taken, the old one stays."""

    def __init__(self, path: Path) -> None:
        """AccountsError where the first file is no good."""
        self._path = path
        self._looked = self._look()
        self.value: Accounts = accounts.load(path)
        self.problem: str | None = None

    def refresh(self) -> bool:
        """True when a new file was taken. Never raises."""
        looked = self._look()
        if looked == self._looked:
            return False
        self._looked = looked
        try:
            self.value = accounts.load(self._path)
        except (accounts.AccountsError, OSError) as error:
            self.problem = str(error)
            _log.error("keeping accounts", problem=self.problem)
            return False
        self.problem = None
        return True

    def _look(self) -> tuple[int, int, int]:
        try:
            state = self._path.stat()
        except OSError:
            return 0, 0, 0
        return state.st_mtime_ns, state.st_ino, state.st_size


def account_of(known: Known, accounts: Accounts, registry: Registry, now: datetime) -> Account | None:
    """The account of whom a back end knows: that of accounts.toml, else one made of what the registry says. Pure.

    None where the password that was given stands there no more, where the person has left or a guest's time is over,
    and where there is no body.
    Further addresses that a back end names count only within the body, and where no other account has them.
    """
    row = accounts.find(known.address)
    if row is None:
        body = None if known.stamp else registry.by_domain(_domain(known.address))
        if body is None:
            return None
        account = accounts.with_delegations(Account(known.address, body.code, frozenset({known.address})), now)
    elif not row.logs_in_at(now) or not _stands(known.stamp, row, now):
        return None
    else:
        account = accounts.account(row, now)
    more = {one for one in known.addresses if accounts.find(one) in (None, row)}
    mine = {one for one in more if (body := registry.by_domain(_domain(one))) and body.code == account.entity}
    return replace(account, addresses=account.addresses | mine)


def account_named(name: str, accounts: Accounts, registry: Registry, now: datetime) -> Account | None:
    """The account that handed in a message, as it is now; also of whom only another back end knows. Pure."""
    row = accounts.rows.get(name)
    return accounts.account(row, now) if row is not None else account_of(Known(name), accounts, registry, now)


def _stands(stamp: str, row: Row, now: datetime) -> bool:
    return not stamp or stamp in (row.password, *(app.hash for app in apps.current(row, now)))


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
