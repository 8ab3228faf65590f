"""Who acts on the command line: a person of people.toml, by login and password."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Collection

from hudhud import release
from hudhud.audit import Audit
from hudhud.cli import Exit, Problem
from hudhud.clock import SYSTEM
from hudhud.keys import SigningKey
from hudhud.people import People, Person
from hudhud.settings import Settings
from mail.cli.words import _


def logged_in(settings: Settings, login: str) -> Person:
    """The person; the password is asked for on a terminal, else read from standard input. Problem where it is wrong."""
    people = People.load(settings.path("people.toml"))
    prompt = _("Password of {login}: ", login=login)
    password = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    person = people.verify(login, password)
    if person is None:
        raise Problem(_("user name or password is wrong"), Exit.NO)
    return person


def shell() -> str:
    """Who acts at this machine's shell, as audit chains name them."""
    return f"{getpass.getuser()}@shell"


def record(settings: Settings, chain: str, actor: str, act: str, subject: str, *, reason: str, after: object) -> None:
    """The act in an audit chain of its own; AuditError where it cannot be written, so that the act does not happen."""
    audit = Audit(settings.path("audit", f"{chain}.chain"), SigningKey.load(settings.path("keys", "node.key")), chain)
    try:
        audit.record(actor, act, subject, reason=reason, after=after, now=SYSTEM.now())
    finally:
        audit.close()


def publish(settings: Settings, kind: str, files: dict[str, bytes], author: str, note: str) -> None:
    """Make the files the live release of that kind, signed with the desk's key."""
    key = SigningKey.load(settings.path("keys", "desk.key"))
    folder, now = settings.path(settings.releases.folder), SYSTEM.now()
    digest = release.write(folder, kind, files, author=author, note=note, now=now, keys=[key])
    release.publish(folder, kind, digest, now=now, keys=[key])


def need(person: Person, roles: Collection[str], problem: str) -> None:
    """Problem with these words where the person has none of the roles."""
    if not person.roles & frozenset(roles):
        raise Problem(problem, Exit.NO)
