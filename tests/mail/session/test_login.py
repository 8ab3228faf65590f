"""Who is in: remembered, limited, without telling who exists; app passwords, and what ends a session's log-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hudhud.clock import SYSTEM
from hudhud.people import hash_password
from hudhud.settings import Auth, Relay, Settings
from mail import accounts
from mail.accounts import Accounts, Row
from mail.limits import AUTH_PAIR, LOGINS_WAITING, Limits
from mail.live import demo_rules
from mail.policy import Policy, Rules
from mail.proof import apps, scram, ways
from mail.proof.known import Asked, BackendDown, Exchange, Known, NotOffered
from mail.proof.used import Used, last_uses, path_of
from mail.proof.ways import Ways
from mail.session.live import LiveAccounts
from mail.session.login import LoggedIn, Login, Refusal

AMAL, ABROAD, HOME = "amal@finance.saba.example", "198.51.100.7", "192.0.2.33"
PASSWORD = b"a password of the lab"
HASHED = hash_password(PASSWORD.decode())
POLICY = demo_rules().policy


@dataclass
class Desk:
    """Log-ins over real accounts and limits; `policy` may be changed."""

    login: Login
    live: LiveAccounts
    limits: Limits
    path: Path
    policy: Policy = POLICY

    def set(self, *rows: Row) -> None:
        accounts.write(self.path, rows)
        assert self.live.refresh()


Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @asynccontextmanager
    async def desk(
        *, failures: int = 3, auth: Auth | None = None, backend: Any = None, cache_s: float = 300
    ) -> AsyncIterator[Desk]:
        path = tmp_path / "var" / "accounts.toml"
        accounts.write(path, [accounts.row(AMAL, "FIN", "Amal", HASHED)])
        relay = Relay(auth_failures_per_hour=failures, auth_cache_s=cache_s)
        settings = Settings(relay=relay, auth=auth or Auth(failure_s=0), folder=str(tmp_path))
        found = ways.build(settings, SYSTEM)
        if backend is not None:
            found = Ways(found.local, {"finance.saba.example": backend}, {}, settings.auth.mechanisms)
        with Limits(tmp_path / "limits", relay, worker=0) as limits:
            live = LiveAccounts(path)
            one = Desk(None, live, limits, path)  # type: ignore[arg-type] # set in a moment
            one.login = Login(
                live, limits, settings, SYSTEM, ways=found, policy=lambda: one.policy, used=Used(path_of(tmp_path, 0))
            )  # fmt: skip
            yield one
            await one.login.close()

    return desk


class Counting:
    """A back end that knows one password and counts how often it is asked."""

    name, mechanisms = "counting", frozenset[str]()

    def __init__(self, password: bytes = PASSWORD, known: Known | None = None) -> None:
        self.password, self.known, self.asked, self.down = password, known, 0, False

    async def verify(self, asked: Asked, password: bytes) -> Known | None:
        self.asked += 1
        if self.down:
            raise BackendDown(self.name, "off")
        return (self.known or Known(asked.address)) if password == self.password else None

    async def exchange(self, mechanism: str, asked: Asked, *, main: bool = True) -> Exchange:
        raise NotOffered

    async def close(self) -> None: ...


async def test_a_log_in_is_remembered_and_not_asked_again(start: Start) -> None:
    backend = Counting()
    async with start(backend=backend) as desk:
        for _ in range(5):
            found = await desk.login.verify(AMAL.encode(), PASSWORD, HOME)
            assert isinstance(found, LoggedIn)
            assert found.account.entity == "FIN"
        assert backend.asked == 1
        assert await desk.login.verify(AMAL.encode(), b"wrong", HOME) is Refusal.WRONG
        assert await desk.login.verify(AMAL.encode(), b"wrong", HOME) is Refusal.WRONG
        assert backend.asked == 2  # what was wrong a moment ago is not asked again, nor counted: no lock-out by a phone
        assert await desk.login.verify(AMAL.encode(), b"", HOME) is Refusal.WRONG
        assert backend.asked == 2  # an empty password is an "unauthenticated" bind: it never gets there


async def test_wrong_passwords_are_limited_alike_for_those_who_exist_and_those_who_do_not(start: Start) -> None:
    async with start() as desk:
        for name in (AMAL.encode(), b"nobody@finance.saba.example"):
            answers = [await desk.login.verify(name, b"wrong %d" % n, f"203.0.113.{n}") for n in range(4)]
            assert answers == [Refusal.WRONG] * 3 + [Refusal.LATER]


async def test_a_whole_network_behind_one_address_is_not_locked_out_by_one_of_it(start: Start) -> None:
    async with start(cache_s=0) as desk:
        assert isinstance(await desk.login.verify(AMAL.encode(), PASSWORD, HOME), LoggedIn)
        for n in range(4):
            await desk.login.verify(b"yusuf@finance.saba.example", b"wrong %d" % n, HOME)
        assert await desk.login.verify(b"rania@finance.saba.example", b"x", HOME) is Refusal.LATER
        assert isinstance(await desk.login.verify(AMAL.encode(), PASSWORD, HOME), LoggedIn)  # known there
        answers = [await desk.login.verify(AMAL.encode(), b"wrong %d" % n, HOME) for n in range(4)]
        assert answers == [Refusal.WRONG] * 3 + [Refusal.LATER]  # but may not guess for ever
        assert desk.limits.counters()[AUTH_PAIR] == 1
        assert isinstance(await desk.login.verify(AMAL.encode(), PASSWORD, "192.0.2.99"), LoggedIn)


async def test_one_old_password_tried_over_and_over_counts_once(start: Start) -> None:
    async with start() as desk:
        for _ in range(20):
            assert await desk.login.verify(AMAL.encode(), b"an old one", ABROAD) is Refusal.WRONG
        assert isinstance(await desk.login.verify(AMAL.encode(), PASSWORD, ABROAD), LoggedIn)


async def test_a_back_end_that_is_down_is_our_fault_and_counts_for_nobody(start: Start) -> None:
    backend = Counting()
    async with start(backend=backend) as desk:
        backend.down = True
        for _ in range(10):
            assert await desk.login.verify(AMAL.encode(), PASSWORD, HOME) is Refusal.DOWN
        backend.down = False
        assert isinstance(await desk.login.verify(AMAL.encode(), PASSWORD, HOME), LoggedIn)
    async with start(auth=Auth(failure_s=0, max_waiting=0)) as desk:
        assert await desk.login.verify(AMAL.encode(), PASSWORD, HOME) is Refusal.LATER
        assert desk.limits.counters()[LOGINS_WAITING] == 1


async def test_a_person_whom_only_another_back_end_knows_has_an_account(start: Start) -> None:
    more = frozenset({"k.saleh@finance.saba.example", "minister@interior.saba.example", AMAL})
    backend = Counting(known=Known("karim@finance.saba.example", more))
    async with start(backend=backend) as desk:
        found = await desk.login.verify(b"karim@finance.saba.example", PASSWORD, HOME)
        assert isinstance(found, LoggedIn)
        # addresses of other bodies, and those of other accounts, are not given away by a directory
        assert found.account.addresses == {"karim@finance.saba.example", "k.saleh@finance.saba.example"}
        assert found.until is not None
        assert desk.login.current(found) is not None
    other = Counting(known=Known("salim@interior.saba.example"))
    async with start(backend=other) as desk:  # nor does it name accounts of another's domain
        assert await desk.login.verify(AMAL.encode(), PASSWORD, HOME) is Refusal.WRONG


async def test_a_changed_password_and_a_lost_account_end_what_was_logged_in(start: Start) -> None:
    async with start() as desk:
        found = await desk.login.verify(AMAL.encode(), PASSWORD, HOME)
        assert isinstance(found, LoggedIn)
        assert desk.login.current(found) == found
        desk.set(accounts.row(AMAL, "FIN", "Amal", hash_password("another password")))
        assert desk.login.current(found) is None
        assert await desk.login.verify(AMAL.encode(), PASSWORD, HOME) is Refusal.WRONG
        desk.path.write_text("[account\n")
        assert not desk.live.refresh()
        assert desk.live.problem is not None
        assert isinstance(desk.live.value, Accounts)


async def test_an_app_password_logs_in_until_it_is_revoked_or_expires(start: Start, tmp_path: Path) -> None:
    async with start() as desk:
        row = desk.live.value.rows[AMAL]
        app, shown = apps.make(row, "telephone", SYSTEM.now(), 30, bytes(32))
        old, expired = apps.make(row, "old", SYSTEM.now() - timedelta(days=40), 30, bytes(32))
        desk.set(msgspec.structs.replace(row, app=(app, old)))
        for text in (shown, shown.upper().replace("-", " ")):
            found = await desk.login.verify(AMAL.encode(), text.encode(), ABROAD)
            assert isinstance(found, LoggedIn)
            assert found.way == f"app {app.id}"
        assert await desk.login.verify(AMAL.encode(), expired.encode(), ABROAD) is Refusal.WRONG
        assert last_uses(tmp_path)[f"{AMAL} {app.id}"].ip == ABROAD
        assert desk.login.current(found) is not None
        desk.set(accounts.without_apps(desk.live.value.rows[AMAL]))
        assert desk.login.current(found) is None  # an open session ends before its next message
        assert await desk.login.verify(AMAL.encode(), shown.encode(), ABROAD) is Refusal.WRONG


async def test_a_body_may_want_app_passwords_from_abroad_and_tells_no_one_whether_a_password_is_right(
    start: Start,
) -> None:
    async with start() as desk:
        wanting = msgspec.structs.replace(POLICY.rules("FIN"), app_abroad=True)
        desk.policy = Policy("x", POLICY.registry, Rules(), {"FIN": wanting}, {})
        assert isinstance(await desk.login.verify(AMAL.encode(), PASSWORD, HOME), LoggedIn)
        assert await desk.login.verify(AMAL.encode(), PASSWORD, ABROAD) is Refusal.APP_ONLY  # though it is remembered
        assert await desk.login.verify(AMAL.encode(), b"wrong", ABROAD) is Refusal.APP_ONLY
        assert await desk.login.verify(b"nobody@finance.saba.example", b"wrong", "198.51.100.9") is Refusal.APP_ONLY
        row = desk.live.value.rows[AMAL]
        app, shown = apps.make(row, "telephone", SYSTEM.now(), 30, bytes(32))
        desk.set(msgspec.structs.replace(row, app=(app,)))
        assert isinstance(await desk.login.verify(AMAL.encode(), shown.encode(), ABROAD), LoggedIn)


async def test_every_no_is_answered_at_the_same_distance_from_its_question(start: Start) -> None:
    slept: list[float] = []

    class Clock:
        now, monotonic = staticmethod(SYSTEM.now), staticmethod(lambda: 1000.2)

        async def sleep(self, seconds: float) -> None:
            slept.append(seconds)

    async with start(auth=Auth(failure_s=0.5)) as desk:
        desk.login._clock = Clock()
        for name in (AMAL.encode(), b"nobody@finance.saba.example", b"no address", b"\xff"):
            assert await desk.login.verify(name, b"wrong", HOME if name == b"\xff" else ABROAD) is Refusal.WRONG
        assert slept == [0.5] * 4


async def test_scram_salts_are_stable_and_alike_for_names_that_exist_and_names_that_do_not(start: Start) -> None:
    async with start() as desk:
        row = msgspec.structs.replace(
            desk.live.value.rows[AMAL], aliases=("a.haddad@finance.saba.example",),
            scram=str(scram.Keys.make(PASSWORD.decode(), scram.salt_of(b"k" * 32, AMAL))),
        )  # fmt: skip
        desk.set(row)
        seen = {}
        for name in (AMAL, "nobody@finance.saba.example", "a.haddad@finance.saba.example"):
            salts = set()
            for _ in range(2):
                steps = await desk.login.exchange(scram.NAME, f"n,,n={name},r=abc".encode(), HOME)
                challenge = (await steps.step(f"n,,n={name},r=abc".encode())).decode()
                salts.add(challenge.partition(",s=")[2])
                steps.close()
            assert len(salts) == 1
            seen[name] = salts.pop()
        assert len(set(seen.values())) == 3  # not even an alias tells whose it is
        assert len({len(one) for one in seen.values()}) == 1
