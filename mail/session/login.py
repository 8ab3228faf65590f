"""Checks log-ins against accounts.toml: in threads, bounded, with failure limits, and without telling who exists."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Final

from hudhud import log
from hudhud.clock import Clock
from hudhud.people import verify_password
from hudhud.settings import Relay as Settings
from mail import accounts
from mail.accounts import Account, Accounts
from mail.limits import AUTH_ACCOUNT, AUTH_ADDRESS, Limits, network_of

THREADS: Final = 2  # of 19 MiB each: argon2 runs outside the GIL
MAX_WAITING: Final = 32  # log-ins that may wait for a thread; the next is asked to come later
MAX_PASSWORD: Final = 1024  # octets
CACHED: Final = 10_000  # log-ins remembered

_log = log.get(__name__)


class Refusal(Enum):
    """Why somebody is not logged in. Which half was wrong is nobody's business."""

    WRONG = "wrong"
    LATER = "later"  # too many failures, or too many log-ins at once


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


class Login:
    """A verified log-in is remembered for `auth_cache_s` under a keyed hash, so that it is not hashed for each mail."""

    def __init__(self, live: LiveAccounts, limits: Limits, settings: Settings, clock: Clock) -> None:
        self._live, self._limits, self._settings, self._clock = live, limits, settings, clock
        self._threads = ThreadPoolExecutor(THREADS, "login")
        self._waiting = 0
        self._secret = secrets.token_bytes(32)
        self._cache: OrderedDict[bytes, float] = OrderedDict()

    async def verify(self, login: bytes, password: bytes, ip: str) -> Account | Refusal:
        """The account, or why not. An unknown login takes as long as a wrong password; both count as a failure."""
        name = login.decode("utf-8", "replace")
        row = self._live.value.find(name)
        whom = row.address if row is not None else name.strip().lower()[:320]
        hashed = row.password if row is not None and row.password else None
        if hashed is not None and row is not None and self._remembered(login, password, hashed):
            return self._live.value.account(row, self._clock.now())
        trusted = self._limits.known(f"{whom}\0{network_of(ip)}")
        if not self._limits.holds(AUTH_ADDRESS, network_of(ip)) or not (
            trusted or self._limits.holds(AUTH_ACCOUNT, whom)
        ):
            return Refusal.LATER
        if self._waiting >= MAX_WAITING:
            return Refusal.LATER
        if not await self._hash(hashed, password) or row is None:
            self._limits.take(AUTH_ADDRESS, network_of(ip))
            self._limits.take(AUTH_ACCOUNT, whom)
            return Refusal.WRONG
        self._limits.know(f"{whom}\0{network_of(ip)}")
        self._remember(login, password, row.password)
        return self._live.value.account(row, self._clock.now())

    def current(self, account: Account) -> Account | None:
        """The account as it is now, for a session that lasts; None where it is gone."""
        row = self._live.value.rows.get(account.name)
        return self._live.value.account(row, self._clock.now()) if row is not None else None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _hash(self, hashed: str | None, password: bytes) -> bool:
        if len(password) > MAX_PASSWORD:
            hashed, password = None, password[:MAX_PASSWORD]
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            text = password.decode("utf-8", "replace")
            return await loop.run_in_executor(self._threads, verify_password, hashed, text)
        finally:
            self._waiting -= 1

    def _keyed(self, login: bytes, password: bytes, hashed: str) -> bytes:
        lengths = b"%d,%d," % (len(login), len(password))
        return hmac.digest(self._secret, lengths + login + password + hashed.encode(), "sha256")

    def _remembered(self, login: bytes, password: bytes, hashed: str) -> bool:
        return self._cache.get(self._keyed(login, password, hashed), 0.0) > self._clock.monotonic()

    def _remember(self, login: bytes, password: bytes, hashed: str) -> None:
        self._cache[self._keyed(login, password, hashed)] = self._clock.monotonic() + self._settings.auth_cache_s
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)
