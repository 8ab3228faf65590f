"""Opens the desk of exemptions on this machine from the settings, its audit chain included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Final

from hudhud import release
from hudhud.audit import Audit
from hudhud.clock import SYSTEM
from hudhud.keys import SigningKey
from hudhud.registry import parse_registry
from hudhud.release import Trust
from hudhud.settings import Settings
from mail.exempt import Exemption, parse_exemptions
from mail.grants import duty
from mail.grants.desk import KIND, Desk, Ground, Record
from mail.grants.ledger import Ledger
from mail.policy import parse_policy

LEDGER: Final = ("desk", "exemptions.db")


class NoDesk(Exception):  # noqa: N818 - a state of the machine
    """The desk's ledger or key is on another machine."""


def is_here(settings: Settings) -> bool:
    """Whether exemptions are decided on at this machine."""
    return settings.path(*LEDGER).parent.exists() and settings.path("keys", "desk.key").exists()


@contextmanager
def opened(settings: Settings) -> Iterator[Desk]:
    """The desk for a few acts; NoDesk, ReleaseError, KeyProblem, AuditError, PlaceError."""
    key_path = settings.path("keys", "desk.key")
    if not key_path.exists():
        raise NoDesk(str(key_path))
    with closing(Ledger(settings.path(*LEDGER))) as ledger:
        key = SigningKey.load(key_path)
        folder = settings.path(settings.releases.folder)
        yield Desk(ledger, folder, key, ground(settings), record=recorder(settings))


def ground(settings: Settings) -> Ground:
    """What this machine's releases and files say; read when it is asked for."""
    folder, trust = settings.path(settings.releases.folder), Trust.of(settings.releases)
    return Ground(
        registry=lambda: parse_registry(release.load(folder, "registry", trust).files),
        scheme=lambda: parse_policy(release.load(folder, "policy", trust).files).scheme,
        roster=lambda: duty.load(settings.path(duty.FILE)),
    )


def recorder(settings: Settings, chain: str = KIND) -> Record:
    """Writes into an audit chain that is opened for each act; AuditError keeps the act from being done."""

    def record(actor: str, act: str, subject: str, reason: str, after: Mapping[str, object]) -> None:
        key = SigningKey.load(settings.path("keys", "node.key"))
        with closing(Audit(settings.path("audit", f"{chain}.chain"), key, chain)) as audit:
            audit.record(actor, act, subject, reason=reason, after=dict(after), now=SYSTEM.now())

    return record


def live(settings: Settings) -> tuple[Exemption, ...]:
    """What the nodes go by now; none before the first release."""
    folder = settings.path(settings.releases.folder)
    if not release.pointer_path(folder, KIND, "enforce").exists():
        return ()
    return parse_exemptions(release.load(folder, KIND, Trust.of(settings.releases)).files)
