"""Who is signed in: random session ids kept server-side by their hash, form tokens, and the limit on failed log-ins."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass

from hudhud.clock import Clock
from hudhud.database import Connection, Database
from hudhud.i18n import LANGUAGES, Language

SCHEMA = """
create table if not exists session(
    id_hash blob primary key, login text not null, opened real not null, seen real not null, address text not null
) without rowid;
create index if not exists session_login on session(login, seen);
create table if not exists preference(login text primary key, language text not null) without rowid;
"""

MAX_SESSIONS_PER_PERSON = 10  # the one unused for longest ends when an eleventh opens
TOUCH_EVERY_S = 30.0  # seconds; a request notes its time no more often, so that reading costs no fsync
MAX_FAILURE_KEYS = 100_000  # log-ins and addresses whose failures are counted at once
MAX_ID_LENGTH = 128  # characters of a cookie that is looked at


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser. `opened` and `seen` are seconds since the epoch."""

    login: str
    opened: float
    seen: float
    address: str


class Sessions:
    """The open sessions, in a database of their own. Only hashes of ids are kept: who reads it gets no session."""

    def __init__(self, database: Database, clock: Clock, *, idle_s: float, absolute_s: float) -> None:
        self._database, self._clock = database, clock
        self._idle_s, self._absolute_s = idle_s, absolute_s

    async def open(self, login: str, address: str) -> str:
        """A new session; the returned id is the cookie's value and is known nowhere else."""
        identity, now = secrets.token_urlsafe(32), self._clock.now().timestamp()

        def work(connection: Connection) -> None:
            connection.execute(
                "delete from session where seen < ? or opened < ?", (now - self._idle_s, now - self._absolute_s)
            )
            connection.execute(
                "delete from session where login = ? and id_hash not in"
                " (select id_hash from session where login = ? order by seen desc limit ?)",
                (login, login, MAX_SESSIONS_PER_PERSON - 1),
            )
            connection.execute("insert into session values (?,?,?,?,?)", (_hash(identity), login, now, now, address))

        await self._database.commit(work)
        return identity

    async def find(self, identity: str) -> Session | None:
        """The session with that id while it lives; being asked for keeps it from idling."""
        if not identity or len(identity) > MAX_ID_LENGTH:
            return None
        rows = self._database.read(
            "select login, opened, seen, address from session where id_hash = ?", (_hash(identity),)
        )
        if not rows:
            return None
        session, now = Session(*rows[0]), self._clock.now().timestamp()
        if now - session.seen > self._idle_s or now - session.opened > self._absolute_s:
            await self.close(identity)
            return None
        if now - session.seen > TOUCH_EVERY_S:
            await self._database.commit(
                lambda connection: connection.execute(
                    "update session set seen = ? where id_hash = ?", (now, _hash(identity))
                )
            )
        return session

    async def close(self, identity: str) -> None:
        """End the session; ending what is no session is no error."""
        await self._database.commit(
            lambda connection: connection.execute("delete from session where id_hash = ?", (_hash(identity),))
        )

    async def prefer(self, login: str, language: Language) -> None:
        """Remember a person's language."""
        await self._database.commit(
            lambda connection: connection.execute("insert or replace into preference values (?, ?)", (login, language))
        )

    def preferred(self, login: str) -> Language | None:
        """The language that the person chose in the console, None before the first choice."""
        rows = self._database.read("select language from preference where login = ?", (login,))
        return next((one for one in LANGUAGES if rows and rows[0][0] == one), None)


def _hash(identity: str) -> bytes:
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()


def form_token(secret: str) -> str:
    """The token that a form must carry, derived from the secret cookie of whoever was shown it (OWASP: HMAC)."""
    return hmac.new(secret.encode("utf-8", "surrogatepass"), b"hudhud console form", hashlib.sha256).hexdigest()


def token_fits(secret: str, token: str) -> bool:
    """Whether the form was made for the holder of that cookie; constant time."""
    return bool(secret) and hmac.compare_digest(form_token(secret).encode(), token.encode("utf-8", "surrogatepass"))


class Failures:
    """Failed log-ins of the last hour by key (a login, an address); memory only, capped."""

    def __init__(self, clock: Clock, limit: int, window_s: float = 3600.0) -> None:
        self._clock, self._limit, self._window_s = clock, max(limit, 1), window_s
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self.forgotten = 0  # keys dropped because MAX_FAILURE_KEYS was reached

    def blocked_for(self, key: str) -> float:
        """Seconds until the key may try again; 0.0 when it may now."""
        times = self._recent(key)
        return (
            max(times[-self._limit] + self._window_s - self._clock.monotonic(), 1.0)
            if len(times) >= self._limit
            else 0.0
        )

    def failed(self, key: str) -> None:
        """Count one failure."""
        times = self._times.setdefault(key, deque(maxlen=self._limit))
        times.append(self._clock.monotonic())
        self._times.move_to_end(key)
        while len(self._times) > MAX_FAILURE_KEYS:
            self._times.popitem(last=False)
            self.forgotten += 1

    def _recent(self, key: str) -> deque[float]:
        times = self._times.get(key, deque())
        while times and times[0] <= self._clock.monotonic() - self._window_s:
            times.popleft()
        if not times:
            self._times.pop(key, None)
        return times
