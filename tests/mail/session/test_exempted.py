"""Exemptions held against a message in every dimension: by `hudhud mail judge` and a live relay, from one release."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from hudhud import codec, config, release
from hudhud.clock import SYSTEM
from hudhud.keys import SigningKey
from hudhud.settings import Settings
from mail.cli.judge_command import judge
from mail.dns import ZoneResolver
from mail.exempt import Exemption
from mail.judging import Judging
from mail.live import LiveReleases, demo_zone, live_releases
from mail.shelf import uses
from mail.threads import NoThreads

AMAL, NOOR = "amal@finance.saba.example", "noor@partner.example"
DEMO = resources.files("hudhud") / "demo"
NOW = datetime.now(UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
RULE = b"""rule word { meta: id = "HY-9001" version = "1" title_en = "w" title_ar = "w" disposition = "tag"
 threat = "executable" strings: $a = "xyzzy" condition: $a }"""
POLICY = """version = "1"
[default]
refusals = "reply"
[classification]
levels = ["public", "internal", "restricted", "secret"]
[classification.marks]
"سري" = "secret"
"11111111-2222-3333-4444-555555555555" = "restricted"
"""
MIP = "msip_labels: MSIP_Label_11111111-2222-3333-4444-555555555555_Enabled=true; MSIP_Label_x_SetDate=2026"


def exemption(**changed: object) -> Exemption:
    values: dict[str, object] = {
        "id": "EX-2026-0001", "sender": AMAL, "recipient": NOOR, "starts": NOW - HOUR, "ends": NOW + DAY,
        "reason": "loan", "document": "FIN 8", "applicant": "rima", "approvers": ("dalia", "ziad"),
    }  # fmt: skip
    return Exemption(**(values | changed))  # type: ignore[arg-type]


class Desk:
    """A data folder with its releases."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.releases = folder, folder / "releases"
        self.key = SigningKey.generate(folder / "keys" / "desk.key")
        public = base64.b64encode(self.key.public).decode()
        path = folder / "hudhud.toml"
        path.write_text(
            f'[node]\ndata = "."\n[releases]\nthresholds = {{ rules = 1 }}\n[releases.keys]\ndesk = "{public}"\n'
        )
        self.publish("registry", {"registry.toml": (DEMO / "registry.toml").read_bytes()})
        self.publish("policy", {"policy.toml": POLICY.encode()})
        self.publish("rules", {"mail/a.yar": RULE})
        self.exempt()
        self.settings: Settings = config.load(path).settings

    def publish(self, kind: str, files: dict[str, bytes]) -> None:
        digest = release.write(self.releases, kind, files, author="t", note="t", now=NOW, keys=[self.key])
        release.publish(self.releases, kind, digest, now=NOW, keys=[self.key])

    def exempt(self, *exemptions: Exemption) -> None:
        self.publish("exemptions", {"exemptions.json": codec.canonical(list(exemptions))})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def letter(*more: str, size: int = 0, subject: str = "Treaty") -> bytes:
    head = [f"From: <{AMAL}>", f"To: <{NOOR}>", f"Subject: {subject}", "Message-ID: <1@finance.saba.example>", *more]
    return ("\r\n".join([*head, "", "The text.", "x" * size]) + "\r\n").encode()


RESTRICTED = {"classification": "restricted"}
CASES: dict[str, tuple[dict[str, object] | None, bytes, str]] = {
    "covered": ({}, letter(), ""),
    "a domain to a domain": ({"sender": "finance.saba.example", "recipient": "partner.example"}, letter(), ""),
    "a whole body": ({"sender": "entity:FIN"}, letter(), ""),
    "within the size": ({"max_size": 4000}, letter(), ""),
    "marked within the level": (RESTRICTED, letter("X-Classification: Restricted"), ""),
    "a Microsoft label within the level": (RESTRICTED, letter(MIP), ""),
    "none": (None, letter(), "foreign-recipient"),
    "of another sender": ({"sender": "salim@interior.saba.example"}, letter(), "foreign-recipient"),
    "of another body": ({"sender": "entity:INT"}, letter(), "foreign-recipient"),
    "to another recipient": ({"recipient": "omar@partner.example"}, letter(), "foreign-recipient"),
    "to another domain": ({"recipient": "freemail.example"}, letter(), "foreign-recipient"),
    "not begun": ({"starts": NOW + DAY, "ends": NOW + 2 * DAY}, letter(), "foreign-recipient"),
    "over": ({"starts": NOW - 2 * DAY, "ends": NOW - HOUR}, letter(), "foreign-recipient"),
    "too large": ({"max_size": 4000}, letter(size=5000), "exemption-too-small"),
    "marked above the level": (RESTRICTED, letter("X-Classification: SECRET"), "exemption-level"),
    "marked, and no level named": ({}, letter(MIP), "exemption-level"),
    "marked in the subject": (RESTRICTED, letter(subject="Treaty [secret]"), "exemption-level"),
    "marked in Arabic": (RESTRICTED, letter(subject="=?utf-8?B?KNiz2LHZiikg2YXYudin2YfYr9ip?="), "exemption-level"),
    "marked with what nobody knows": (RESTRICTED, letter("X-Classification: cosmic"), "exemption-level"),
    "marked twice": (RESTRICTED, letter("Classification: public", "Classification: secret"), "exemption-level"),
    "self-approved": ({"approvers": ("Rima", "dalia")}, letter(), "foreign-recipient"),
    "approved twice by one": ({"approvers": ("dalia", "Dalia")}, letter(), "foreign-recipient"),
    "open-ended": ({"ends": NOW + 500 * DAY}, letter(), "foreign-recipient"),
}


@asynccontextmanager
async def relay_of(desk: Desk, start: Any) -> AsyncIterator[tuple[Any, LiveReleases]]:
    """A live relay that goes by the desk's releases."""
    live = live_releases(desk.settings)
    judging = Judging(live, ZoneResolver.load(demo_zone()), NoThreads(), SYSTEM, desk.settings)
    async with start(judge=judging, policy={"refusals": "reply"}) as running:
        yield running, live
    await judging.close()


async def submit(running: Any, data: bytes) -> str:
    """The reply that decided."""
    talk = await running.logged_in()
    answers = await talk.envelope(AMAL, NOOR)
    reply = await talk.data(data) if answers[-1].startswith("250") else answers[-1]
    talk.close()
    return str(reply)


def judged(desk: Desk, data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `hudhud mail judge` says of it."""
    path = tmp_path / "message.eml"
    path.write_bytes(data)
    zone = Path(str(demo_zone()))
    capsys.readouterr()
    judge([path], mail_from=AMAL, rcpt=[NOOR], account=AMAL, dns=zone, config=desk.folder / "hudhud.toml", json=True)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("case", list(CASES))
def test_judge_holds_an_exemption_against_every_dimension(
    case: str, desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, data, reason = CASES[case]
    desk.exempt(*([] if changed is None else [exemption(**changed)]))
    answer = judged(desk, data, tmp_path, capsys)
    assert answer["verdicts"][0]["disposition"] == ("reject" if reason else "accept")
    assert {one["reason"] for one in answer["findings"] if one["disposition"] == "reject"} == ({reason} - {""})


async def test_a_live_relay_decides_the_same_and_logs_every_use(desk: Desk, start: Any, tmp_path: Path) -> None:
    wanted = {}
    async with relay_of(desk, start) as (running, live):
        for number, (case, (changed, data, reason)) in enumerate(CASES.items()):
            desk.exempt(*([] if changed is None else [exemption(id=f"EX-{number}", **changed)]))
            live.refresh()
            if not reason:
                wanted[f"EX-{number}"] = 1
            assert (await submit(running, data))[:3] == ("550" if reason else "250"), case
            desk.exempt()  # revoked: what is refused as a whole must not leave the one before in force
            live.refresh()
        assert (await submit(running, letter()))[:3] == "550"
        used = [one for one in running.events() if one["event"]["action"] == "exemption-used"]
        assert {one["hudhud"]["mail"]["exemption"]: 1 for one in used} == wanted
        assert len(used) == len(wanted)
        log = uses.of_node(tmp_path / "relay")
        assert {name: count for name, (count, _) in uses.counted(log).items()} == wanted
        assert {one.recipient for one in log} == {NOOR}


async def test_break_glass_is_one_message_and_no_second_one(
    desk: Desk, start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    glass = exemption(kind="break-glass", uses=1, starts=NOW - HOUR / 2, ends=NOW + HOUR / 2, approvers=("dalia",))
    desk.exempt(glass)
    async with relay_of(desk, start) as (running, _):
        assert (await submit(running, letter())).startswith("250")
        again = await submit(running, letter())
        assert again.startswith("550")
        assert uses.counted(uses.of_node(tmp_path / "relay"))["EX-2026-0001"][0] == 1
    told = await asyncio.to_thread(judged, desk, letter(), tmp_path, capsys)  # by the command, from the node's folder
    assert told["verdicts"][0]["disposition"] == "reject"


async def test_two_at_once_use_a_break_glass_exemption_once(desk: Desk, start: Any, tmp_path: Path) -> None:
    glass = exemption(kind="break-glass", uses=1, starts=NOW - HOUR / 2, ends=NOW + HOUR / 2, approvers=("dalia",))
    desk.exempt(glass)
    async with relay_of(desk, start) as (running, _):
        talks = [await running.logged_in() for _ in range(3)]
        for talk in talks:
            assert (await talk.envelope(AMAL, NOOR))[-1].startswith("250")
        replies = sorted([(await talk.data(letter()))[:3] for talk in talks])
        assert replies.count("250") == 1
        assert set(replies) <= {"250", "451", "550"}
        assert len(uses.of_node(tmp_path / "relay")) == 1


async def test_the_exemption_that_covers_the_whole_message_is_the_one_that_is_used(desk: Desk, start: Any) -> None:
    desk.exempt(
        exemption(id="EX-1", max_size=1000), exemption(id="EX-2", recipient="partner.example", max_size=100_000)
    )
    async with relay_of(desk, start) as (running, _):
        assert (await submit(running, letter(size=5000))).startswith("250")
        used = [one for one in running.events() if one["event"]["action"] == "exemption-used"]
        assert [one["hudhud"]["mail"]["exemption"] for one in used] == ["EX-2"]
