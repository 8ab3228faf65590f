"""Whoever acts on exemptions comes here: who may, what the rules say, the record, and the signed release. Blocking.

The command line, the control API and the console all do it by this one path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from hudhud import release
from hudhud.entity import Registry
from hudhud.event import format_time
from hudhud.keys import SigningKey
from hudhud.people import Person
from mail.exempt import ENTITY, Exemption, normal_scope, normal_sender
from mail.grants.asking import REVIEWS, Act, NotAllowed, Request, Status, moved
from mail.grants.duty import Roster
from mail.grants.ledger import Ledger, release_files
from mail.levels import Scheme

KIND: Final = "exemptions"
ASKERS: Final = frozenset({"analyst", "officer", "administrator"})
GRANTERS: Final = frozenset({"officer", "administrator"})
REVIEW_DAYS: Final = 3  # working days within which a second person reviews what was broken

Record = Callable[[str, str, str, str, Mapping[str, object]], None]


def _(text: str) -> str:
    """Marks a text for the catalogue."""
    return text


@dataclass(frozen=True, slots=True)
class Ground:
    """What the desk looks at anew for each act: the live registry, the levels of the policy, who is on duty."""

    registry: Callable[[], Registry]
    scheme: Callable[[], Scheme]
    roster: Callable[[], Roster]


class Desk:
    """The ledger, and the key that signs what it holds. Every act may raise NotAllowed.

    `record(actor, act, subject, reason, after)` writes an act into an audit chain before it is done; what it raises
    keeps the act from being done.
    """

    def __init__(
        self, ledger: Ledger, folder: Path, key: SigningKey, ground: Ground, *, record: Record | None = None
    ) -> None:
        """`folder` is that of the releases."""
        self.ledger, self._folder, self._key, self._ground = ledger, folder, key, ground
        self._record = record

    def request(self, person: Person, wish: Exemption, now: datetime) -> Request:
        """Write the request down; nothing is allowed by it yet."""
        entity = self.checked(person, wish)
        done = self.ledger.request(wish, entity, now)
        self._note(person, "request", done, wish.reason)
        return done

    def act(self, person: Person, id: str, act: Act, now: datetime, reason: str = "") -> Request:
        """Do one act; what changes what is in force is published in this call.

        ReleaseError or OSError where it cannot be: then the ledger is ahead, and the next act publishes it.
        """
        before = self.ledger.get(id)
        self.check_may(person, before, act, now)
        after = moved(before, act, person.login, now, reason)
        self._note(person, str(act), after, reason)
        after = self.ledger.move(id, act, person.login, now, reason)
        if Status.APPROVED in (before.status, after.status) and before.status is not after.status:
            self.publish(person.login, f"{act} {id}", now)
        return after

    def open_acts(self, person: Person, request: Request, now: datetime) -> list[Act]:
        """What the person may do with it now."""
        found = []
        for act in Act:
            try:
                self.check_may(person, request, act, now)
                moved(request, act, person.login, now, "-")
            except NotAllowed:
                continue
            found.append(act)
        return found

    def review_by(self, request: Request) -> datetime | None:
        """Until when somebody has to review it; None where nobody has to, or somebody did."""
        if not request.reviewable or request.approved is None:
            return None
        return self._ground.registry().workdays.end_of(request.approved, REVIEW_DAYS)

    def publish(self, author: str, note: str, now: datetime) -> str:
        """Write, sign and point to the release of all that is approved and not over; its digest."""
        files = release_files(self.ledger, now)
        digest = release.write(self._folder, KIND, files, author=author, note=note, now=now, keys=[self._key])
        release.publish(self._folder, KIND, digest, now=now, keys=[self._key])
        return digest

    # who may

    def checked(self, person: Person, wish: Exemption) -> str:
        """The code of the sender's body, where the person may ask for this at all; NotAllowed says why not."""
        registry = self._ground.registry()
        if not person.roles & ASKERS:
            raise NotAllowed(_("{login} may not ask for exemptions"), login=person.login)
        try:
            sender, recipient = normal_sender(wish.sender), normal_scope(wish.recipient)
        except ValueError:
            raise NotAllowed(
                _("“{text}” is neither an address nor a domain, or covers too much"),
                text=f"{wish.sender} > {wish.recipient}",
            ) from None
        if sender.startswith(ENTITY):
            body = registry.entities.get(sender.removeprefix(ENTITY))
        else:
            body = registry.by_domain(sender.rpartition("@")[2])
        if body is None:
            raise NotAllowed(_("“{text}” belongs to no public body of the registry"), text=wish.sender)
        if "officer" in person.roles and not person.roles - {"officer"} and person.entity != body.code:
            raise NotAllowed(_("an officer asks for exemptions of her own body only"))
        if registry.is_national_domain(recipient.rpartition("@")[2]):
            raise NotAllowed(_("“{text}” is national: writing there needs no exemption"), text=wish.recipient)
        if "@" not in sender and "@" not in recipient and "administrator" not in person.roles:
            raise NotAllowed(
                _("a whole domain or body to a whole domain: only an administrator asks for that, and says why")
            )
        scheme = self._ground.scheme()
        if wish.classification and wish.classification not in scheme.levels:
            known = ", ".join(scheme.levels) or "-"
            raise NotAllowed(
                _("“{text}” is no level of classification; there are: {known}"), text=wish.classification, known=known
            )
        return body.code

    def check_may(self, person: Person, request: Request, act: Act, now: datetime) -> None:
        """NotAllowed where the person may not do that act with this exemption."""
        glass = request.exemption.kind == "break-glass"
        if act is Act.APPROVE and glass and self._ground.roster().duty:
            self._check_duty(person, request, now)
        elif not (self._grants(person, request) or (act not in REVIEWS and self._on_duty(person, request, now))):
            raise NotAllowed(_("{login} decides on exemptions of no body, or of another one"), login=person.login)

    def _grants(self, person: Person, request: Request) -> bool:
        return "administrator" in person.roles or ("officer" in person.roles and person.entity == request.entity)

    def _on_duty(self, person: Person, request: Request, now: datetime) -> bool:
        roster = self._ground.roster()
        turn = roster.now(request.entity, now)
        since = roster.from_when(turn, person.login, request.history[0][0]) if turn is not None else None
        return bool(person.roles & GRANTERS) and since is not None and now >= since

    def _check_duty(self, person: Person, request: Request, now: datetime) -> None:
        roster = self._ground.roster()
        turn = roster.now(request.entity, now)
        if turn is None:
            if "administrator" not in person.roles:
                raise NotAllowed(_("nobody is on duty now: an administrator decides"))
            return
        since = roster.from_when(turn, person.login, request.history[0][0])
        if since is None or not person.roles & GRANTERS:
            names = ", ".join((turn.first, *turn.deputies))
            raise NotAllowed(_("break-glass is for whoever is on duty: {names}"), names=names)
        if now < since:
            raise NotAllowed(
                _("{first} is on duty; the deputy {login} decides from {when} on"),
                first=turn.first,
                login=person.login,
                when=f"{since:%Y-%m-%d %H:%M %Z}",
            )

    def _note(self, person: Person, act: str, done: Request, reason: str) -> None:
        if self._record is not None:
            after = {"status": str(done.status), "kind": done.exemption.kind, "ends": format_time(done.exemption.ends)}
            self._record(person.login, f"exemption.{act}", done.exemption.id, reason, after)
