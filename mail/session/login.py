"""Decides who is in: asks the back end of the domain, bounded, within limits, and without telling who exists."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from hudhud import log
from hudhud.clock import Clock
from hudhud.settings import Issuer as IssuerSettings
from hudhud.settings import Settings
from mail import accounts
from mail.accounts import Account
from mail.limits import LOGINS_WAITING, Limits
from mail.policy import Policy
from mail.proof import apps
from mail.proof.known import Asked, BackendDown, Exchange, Known, NotOffered
from mail.proof.scram import First
from mail.proof.token import Bearer
from mail.proof.used import Used
from mail.proof.ways import Ways
from mail.session.gate import Gate
from mail.session.live import LiveAccounts, account_of

MAX_PASSWORD: Final = 1024  # octets
CACHED: Final = 10_000  # log-ins remembered

_log = log.get(__name__)


class Refusal(Enum):
    """Why somebody is not logged in. Which half was wrong is nobody's business."""

    WRONG = "wrong"
    LATER = "later"  # too many failures, or too many log-ins at once
    DOWN = "down"  # the back end did not answer: our fault, never said to be the password's
    APP_ONLY = "app-only"  # wrong, and from there the body takes app passwords only: said to whomever of that body
    OTHER_WAY = "other-way"  # the domain's back end cannot do that mechanism


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who is in, by which way ("accounts", "app k7f3qa", "ldap.fin"), and until when a session may go on with it."""

    account: Account
    way: str
    known: Known
    until: datetime | None = None


class Login:
    """One worker's. A verified log-in is remembered for `auth_cache_s` under a keyed hash, not asked for each mail."""

    def __init__(
        self,
        live: LiveAccounts,
        limits: Limits,
        settings: Settings,
        clock: Clock,
        *,
        ways: Ways,
        policy: Callable[[], Policy],
        used: Used | None = None,
    ) -> None:
        self._live, self._limits, self._settings, self._clock = live, limits, settings, clock
        self._ways, self._policy, self._used = ways, policy, used
        self._gate = Gate(limits, clock)
        self._waiting = 0
        self._secret = secrets.token_bytes(32)
        self._cache: OrderedDict[bytes, tuple[float, Known]] = OrderedDict()

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What EHLO offers now."""
        return self._ways.mechanisms

    async def verify(self, login: bytes, password: bytes, ip: str) -> LoggedIn | Refusal:
        """PLAIN and LOGIN. An unknown login takes as long as a wrong password; both count as a failure."""
        began, asked = self._clock.monotonic(), self._asked(login.decode("utf-8", "replace"), ip)
        app = apps.find(asked.row, password, self._clock.now()) if len(password) <= MAX_PASSWORD else None
        if app is not None and asked.row is not None:
            return self._in(asked, Known(asked.row.address, stamp=app.hash))
        backend, far = self._ways.of(asked.domain), self._far(asked)
        local = backend is self._ways.local
        stamp = asked.row.password if local and asked.row is not None else ""
        mark = self._mark(login, password, f"{backend.name}\0{stamp}")
        kept = self._cache.get(mark)
        if kept is not None and kept[0] > began and not far:
            return self._in(asked, kept[1], fresh=False)
        if not self._gate.open(asked.address, ip):
            return Refusal.LATER
        known = None
        try:
            if not (far or self._gate.still_wrong(mark) or not 0 < len(password) <= MAX_PASSWORD):
                with self._one_more():
                    known = await backend.verify(asked, password)
        except BackendDown as down:
            return self._down(down)
        found = self._in(asked, known) if known is not None else None
        if known is None or not isinstance(found, LoggedIn):
            await self._no(asked, began, mark)
            return Refusal.APP_ONLY if far else Refusal.WRONG
        self._cache[mark] = began + self._settings.relay.auth_cache_s, known
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return found

    async def exchange(self, mechanism: str, first: bytes, ip: str) -> Steps | Refusal:
        """A conversation of several steps, of which `first` is the client's first message. ValueError."""
        asked = self._asked(First.parse(first).name, ip)
        if not self._gate.open(asked.address, ip):
            return Refusal.LATER
        try:
            with self._one_more():
                exchange = await self._ways.of(asked.domain).exchange(mechanism, asked, main=not self._far(asked))
        except NotOffered:
            return Refusal.OTHER_WAY
        except BackendDown as down:
            return self._down(down)
        return Steps(self, exchange, asked)

    async def step(self, exchange: Exchange, asked: Asked, message: bytes) -> bytes | LoggedIn | Refusal:
        """The next step of a conversation. ValueError for nonsense."""
        began = self._clock.monotonic()
        try:
            with self._one_more():
                answer = await exchange.step(message)
        except BackendDown as down:
            return self._down(down)
        if isinstance(answer, bytes):
            return answer
        found = self._in(asked, answer) if answer is not None else None
        if isinstance(found, LoggedIn):
            return found
        await self._no(asked, began, None)
        return Refusal.APP_ONLY if self._far(asked) else Refusal.WRONG

    async def token(self, bearer: Bearer, ip: str) -> LoggedIn | Refusal:
        """XOAUTH2 and OAUTHBEARER: whose token it is decides, and it must be who the client says it is."""
        began, asked = self._clock.monotonic(), self._asked(bearer.user, ip)
        if not self._gate.open(asked.address, ip):
            return Refusal.LATER
        named = self._ways.issuer_of(asked.domain)
        candidates = (named,) if named is not None else () if bearer.user else self._ways.issuers
        for issuer in candidates:
            try:
                with self._one_more():
                    known = await issuer.verify(bearer.token)
            except BackendDown as down:
                return self._down(down)
            if known is None or self._ways.issuer_of(known.address.rpartition("@")[2]) is not issuer:
                continue
            holder = self._asked(known.address, ip)
            same = holder.address == asked.address or (holder.row is not None and holder.row is asked.row)
            found = self._in(holder, known, way=issuer.name) if same or not bearer.user else None
            if isinstance(found, LoggedIn):
                return found
        await self._no(asked, began, self._mark(bearer.user.encode(), bearer.token.encode(), "token"))
        return Refusal.WRONG

    def issuer(self, user: str) -> IssuerSettings | None:
        """Whose tokens that user should bring; the first issuer where that is not said."""
        issuers = self._ways.issuers
        named = self._ways.issuer_of(self._asked(user, "").domain) or (issuers[0] if issuers else None)
        return named.settings if named is not None else None

    def current(self, logged: LoggedIn) -> LoggedIn | None:
        """The log-in as it is now, for a session that lasts; None where the password, or the account, is gone."""
        now = self._clock.now()
        account = self._account(logged.known)
        if account is None or (logged.until is not None and now >= logged.until):
            return None
        return replace(logged, account=account)

    def person(self, address: str) -> str:
        """The account of the person with that address; "" where accounts.toml has none."""
        row = self._live.value.find(address)
        return row.address if row is not None and row.logs_in_at(self._clock.now()) else ""

    async def look(self) -> dict[str, str]:
        """What is wrong with each back end ("" where nothing is); a fresh worker learns what they offer."""
        return await self._ways.look()

    async def close(self) -> None:
        if self._used is not None:
            self._used.write()
        await self._ways.close()

    # inside

    def _asked(self, login: str, ip: str) -> Asked:
        try:
            address = accounts.normal(login)
        except ValueError:
            address = login.strip().lower()[:320].replace("@", "")
        return Asked(address, self._live.value.find(address), ip)

    def _far(self, asked: Asked) -> bool:
        """Whether the body wants app passwords from there: its domain decides, so that it tells of no account."""
        policy = self._policy()
        entity = policy.registry.by_domain(asked.domain)
        if entity is None or not policy.rules(entity.code).app_abroad:
            return False
        try:
            here = policy.registry.is_national_address(asked.ip) or policy.registry.by_address(asked.ip) is not None
        except ValueError:
            here = False
        return not here

    def _in(self, asked: Asked, known: Known, way: str = "", *, fresh: bool = True) -> LoggedIn | Refusal:
        """Somebody whom a back end knows: in, if there is an account for that."""
        local = bool(known.stamp)
        backend = self._ways.of(known.address.rpartition("@")[2])
        if not (local or way) and backend is not self._ways.of(asked.domain):
            _log.error("a back end names an account of another's domain", backend=backend.name)
            return Refusal.WRONG
        account = self._account(known)
        if account is None:
            return Refusal.WRONG
        row, now = asked.row, self._clock.now()
        app = next((one.id for one in row.app if one.hash == known.stamp), "") if row is not None and local else ""
        if app and self._used is not None:
            self._used.note(f"{account.name} {app}", now, asked.ip)
        if fresh:
            self._gate.passed(asked.address, asked.ip)
        until = None if local else now + timedelta(seconds=self._settings.auth.session_s)
        ends = min((one for one in (until, known.until) if one is not None), default=None)
        way = f"app {app}" if app else way or backend.name
        _log.info("logged in", account=account.name, way=way, ip=asked.ip)
        return LoggedIn(account, way, known, ends)

    def _account(self, known: Known) -> Account | None:
        return account_of(known, self._live.value, self._policy().registry, self._clock.now())

    async def _no(self, asked: Asked, began: float, mark: bytes | None) -> None:
        """Count the failure, and answer at a whole multiple of `failure_s`, whatever it took to find out."""
        again = mark is not None and self._gate.still_wrong(mark)
        if not again:
            self._gate.failed(asked.address, asked.ip, mark)
        _log.info("log-in refused", account=asked.row.address if asked.row is not None else "", ip=asked.ip)
        pause = self._settings.auth.failure_s
        if pause > 0:
            await self._clock.sleep(pause - (self._clock.monotonic() - began) % pause)

    def _down(self, down: BackendDown) -> Refusal:
        if not down.backend:
            return Refusal.LATER
        _log.error("a log-in could not be checked", backend=down.backend, problem=down.problem)
        return Refusal.DOWN

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        """One of `max_waiting` that are checked at once."""
        if self._waiting >= self._settings.auth.max_waiting:
            self._limits.hit(LOGINS_WAITING)
            raise BackendDown("", "too many at once")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _mark(self, login: bytes, password: bytes, more: str) -> bytes:
        lengths = b"%d,%d," % (len(login), len(password))
        return hmac.digest(self._secret, lengths + login + password + more.encode(), "sha256")


class Steps:
    """A conversation that is under way."""

    def __init__(self, login: Login, exchange: Exchange, asked: Asked) -> None:
        self._login, self._exchange, self._asked = login, exchange, asked

    async def step(self, message: bytes) -> bytes | LoggedIn | Refusal:
        return await self._login.step(self._exchange, self._asked, message)

    def close(self) -> None:
        self._exchange.close()
