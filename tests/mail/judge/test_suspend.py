"""Suspended checks: two people, some hours, content only; what breaks then tags instead of stopping the mail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hudhud.clock import SYSTEM
from hudhud.settings import Content, Settings
from mail import checks
from mail.accounts import Account
from mail.checks import content
from mail.content.bench import Bench, Work
from mail.content.examine import Examiner
from mail.dns import ZoneResolver
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.judging import Judging
from mail.live import FixedRules, demo_rules, demo_zone
from mail.message import Message
from mail.suspend import (
    CHECKS,
    POLICY,
    Act,
    Ledger,
    NotAllowed,
    Status,
    Suspension,
    SuspensionError,
    moved,
    parse_suspensions,
    release_files,
    requested,
)
from mail.threads import NoThreads
from mail.verdict import Disposition, Judgement, Verdict
from rules.yara import ScanTimeout

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AMAL, SALIM = "amal@finance.saba.example", "salim@interior.saba.example"
DATA = f"From: <{AMAL}>\r\nTo: <{SALIM}>\r\nSubject: hi\r\nMessage-ID: <1@x>\r\n\r\nHello.\r\n".encode()
RULES = demo_rules()


def asked(check: str = "content", seconds: float = 3600, reason: str = "it breaks") -> Any:
    return requested("SU-2026-0001", check, seconds, applicant="omar", reason=reason, now=NOW)


@pytest.mark.parametrize("check", sorted(POLICY))
def test_the_national_policy_is_never_suspended_and_the_lawful_way_is_named(check: str) -> None:
    with pytest.raises(NotAllowed, match=r"never suspended.*hudhud mail exempt"):
        asked(check)


def test_the_table_names_checks_that_there_are_and_no_policy() -> None:
    names = {one.__module__.rpartition(".")[2] for one in (*checks.MESSAGE_CHECKS, *checks.ENVELOPE_CHECKS)}
    assert set(CHECKS) | POLICY <= names
    assert not set(CHECKS) & (POLICY | checks.NATIONAL_POLICY)


@pytest.mark.parametrize(
    ("check", "seconds", "reason"),
    [("weather", 3600, "x"), ("content", 3600, " "), ("content", 25 * 3600, "x"), ("content", 1, "x")],
)
def test_what_is_unknown_unexplained_or_open_ended_is_not_asked_for(check: str, seconds: float, reason: str) -> None:
    with pytest.raises(NotAllowed):
        asked(check, seconds, reason)


def test_a_second_person_approves_and_the_time_counts_from_then() -> None:
    with pytest.raises(NotAllowed, match="second person"):
        moved(asked(), Act.APPROVE, "Omar", NOW)
    later = NOW + timedelta(hours=2)
    done = moved(asked(), Act.APPROVE, "samar", later)
    assert done.status is Status.SUSPENDED
    assert (done.suspension.starts, done.suspension.ends) == (later, later + timedelta(hours=1))
    assert not done.suspension.in_force(later + timedelta(hours=1))
    with pytest.raises(NotAllowed, match="is over"):
        moved(done, Act.RESUME, "samar", later + timedelta(hours=1))


def test_a_request_that_nobody_approved_lapses() -> None:
    with pytest.raises(NotAllowed, match="is over"):
        moved(asked(), Act.APPROVE, "samar", NOW + timedelta(hours=25))


def test_the_ledger_makes_releases_of_what_is_in_force(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "suspensions.db")
    one = ledger.request("content", 3600, applicant="omar", reason="it breaks", now=NOW)
    assert parse_suspensions(release_files(ledger, NOW)) == ()
    ledger.move(one.suspension.id, Act.APPROVE, "samar", NOW)
    (live,) = parse_suspensions(release_files(ledger, NOW))
    assert (live.check, live.applicant, live.approver) == ("content", "omar", "samar")
    ledger.move(one.suspension.id, Act.RESUME, "omar", NOW + timedelta(minutes=1), "repaired")
    assert parse_suspensions(release_files(ledger, NOW)) == ()
    ledger.close()


@pytest.mark.parametrize(
    "change", [{"check": "national"}, {"approver": "OMAR"}, {"approver": ""}, {"ends": NOW + timedelta(days=2)}]
)
def test_a_release_that_breaks_a_rule_is_not_taken(change: dict[str, object]) -> None:
    good = moved(asked(), Act.APPROVE, "samar", NOW).suspension
    with pytest.raises(SuspensionError):
        parse_suspensions({"suspensions.json": msgspec.json.encode([msgspec.structs.replace(good, **change)])})


def suspension(check: str) -> Suspension:
    now = SYSTEM.now()
    return Suspension("SU-1", check, now, now + timedelta(hours=1), "it breaks", "omar", "samar")


async def judged(*suspensions: Suspension, scan_timeout_s: float = 10.0) -> Judgement:
    settings = Settings(content=Content(scan_timeout_s=scan_timeout_s))
    rules = FixedRules(replace(RULES.policy, suspensions=suspensions), RULES.ruleset)
    judging = Judging(rules, ZoneResolver.load(demo_zone()), NoThreads(), SYSTEM, settings)
    account = Account(AMAL, "FIN", frozenset({AMAL}))
    to = Recipient(parse_path(SALIM.encode(), smtputf8=False))
    sender = parse_path(AMAL.encode(), smtputf8=False)
    client = Client("192.0.2.50", 1, "pc", "TLSv1.3", "submission")
    envelope = Envelope(sender, (to,), client, account, SYSTEM.now())
    try:
        return await judging.at_data(Message.read(envelope, "0-1", DATA), [Verdict(to.address.raw, Disposition.ACCEPT)])
    finally:
        await judging.close()


async def broken(*_: object) -> Any:
    raise RuntimeError("the library is broken")


async def endless(*_: object) -> Any:
    await asyncio.sleep(60)


@pytest.mark.parametrize(("fault", "error"), [(broken, "RuntimeError"), (endless, "TimeoutError")])
async def test_a_broken_examination_defers_until_it_is_suspended_then_it_tags(
    monkeypatch: pytest.MonkeyPatch, fault: Any, error: str
) -> None:
    monkeypatch.setattr(Examiner, "scan", fault)
    if fault is broken:
        assert (await judged()).data_reply.code == 451
    found = await judged(suspension("content"), scan_timeout_s=0.05)
    assert found.verdicts[0].disposition is Disposition.TAG
    (finding,) = [f for f in found.findings if f.rule == checks.FAULT]
    assert finding.facts == {"error": error, "would": "defer", "suspended": "SU-1"}


async def test_a_check_that_raises_tags_where_it_is_suspended_and_others_still_defer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check(*_: object) -> None:
        raise ZeroDivisionError

    check.__module__ = "mail.checks.content"
    rest = tuple(one for one in checks.MESSAGE_CHECKS if one is not content.check)
    monkeypatch.setattr(checks, "MESSAGE_CHECKS", (*rest, check))
    assert (await judged()).verdicts[0].disposition is Disposition.DEFER
    assert (await judged(suspension("mime"))).verdicts[0].disposition is Disposition.DEFER
    assert (await judged(suspension("content"))).verdicts[0].disposition is Disposition.TAG


async def test_what_is_given_up_ends_at_its_next_step_and_counts_until_then() -> None:
    bench, begun, go_on = Bench(2), threading.Event(), threading.Event()

    def slow(work: Work) -> None:
        begun.set()
        while True:
            go_on.wait(0.01)
            if go_on.is_set():
                work.go_on()

    task = asyncio.create_task(bench.do(slow))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bench.status() == {"threads": 2, "jobs": 1, "overdue": 1, "abandoned": 1}
    assert await bench.do(lambda _: "the other thread serves") == "the other thread serves"
    go_on.set()
    async with asyncio.timeout(5):
        while bench.status()["jobs"]:
            await asyncio.sleep(0.01)
    assert bench.overdue == 0
    bench.close()


async def test_a_small_message_that_is_slow_to_scan_goes_to_a_thread_so_that_the_loop_is_free() -> None:
    seen: list[tuple[str, int]] = []

    class Slow:
        def scan(self, data: bytes, *, externals: object, timeout_s: int) -> tuple[()]:
            seen.append((threading.current_thread().name.partition("_")[0], timeout_s))
            if timeout_s == 1:
                raise ScanTimeout
            return ()

    examiner = Examiner(Content())
    message = Message.read(_envelope(), "0-1", DATA)
    scanned = await examiner.scan(message, await examiner.read(message), Slow())  # type: ignore[arg-type]
    await examiner.close()
    assert seen[0] == ("MainThread", 1)
    assert set(seen[1:]) == {("examine", 10)}
    assert scanned.contents.limits == ()


def _envelope() -> Envelope:
    return Envelope(parse_path(b"", smtputf8=False), (), Client("", 0, "", None, "mx"), None, NOW)


async def test_a_scan_that_was_given_up_does_not_go_on_to_the_next_part() -> None:
    scanned: list[int] = []
    begun = threading.Event()

    class Slow:
        def scan(self, data: bytes, *, externals: object, timeout_s: int) -> tuple[()]:
            if threading.current_thread() is threading.main_thread():
                raise ScanTimeout
            scanned.append(len(data))
            begun.set()
            time.sleep(0.1)
            return ()

    examiner = Examiner(Content())
    message = Message.read(_envelope(), "0-1", DATA)
    contents = await examiner.read(message)
    task = asyncio.create_task(examiner.scan(message, contents, Slow()))  # type: ignore[arg-type]
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _until(lambda: not examiner.bench.status()["jobs"])
    await examiner.close()
    assert len(scanned) == 1


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.01)
