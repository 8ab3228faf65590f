"""Changes of accounts.toml by commands: recorded first, then written, by one command at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from hudhud import release
from hudhud.audit import Audit
from hudhud.cli import Problem
from hudhud.clock import SYSTEM
from hudhud.entity import Registry
from hudhud.keys import SigningKey
from hudhud.registry import parse_registry
from hudhud.release import Trust
from hudhud.settings import Settings
from mail import accounts
from mail.accounts import Accounts
from mail.cli.person import shell
from mail.cli.words import _

CHAIN: Final = "accounts"


def change(
    settings: Settings,
    act: str,
    subject: str,
    work: Callable[[Accounts], tuple[Accounts, object]],
    *,
    reason: str = "",
) -> None:
    """`work` gives the accounts as they are to be, and what the record says of it; the chain's lock lets one at it."""
    key = SigningKey.load(settings.path("keys", "node.key"))
    audit = Audit(settings.path("audit", f"{CHAIN}.chain"), key, CHAIN)
    try:
        path = settings.path(accounts.FILE)
        fresh, after = work(accounts.load(path))
        audit.record(shell(), act, subject, reason=reason, after=after, now=SYSTEM.now())
        accounts.write(path, fresh, fresh.delegations)
    finally:
        audit.close()


def registry(settings: Settings) -> Registry:
    """The live one of this machine."""
    found = release.load(settings.path(settings.releases.folder), "registry", Trust.of(settings.releases))
    return parse_registry(found.files, version=found.digest)


def normal(text: str) -> str:
    """An address as it is compared; Problem where it is none."""
    try:
        return accounts.normal(text)
    except ValueError as error:
        raise Problem(str(error)) from None


def day_end(text: str) -> datetime:
    """A day counts to its end, UTC; Problem where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Problem(_("{text!r} is no day; write for example 2026-12-31", text=text)) from None
    if moment.tzinfo is not None:
        return moment
    return moment.replace(hour=23, minute=59, second=59, tzinfo=UTC) if len(text) == 10 else moment.replace(tzinfo=UTC)
