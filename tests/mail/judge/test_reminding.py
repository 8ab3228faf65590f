"""Reminders of exemptions: when, to whom, once; break-glass is told of at once and again when nobody reviews it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from importlib import resources
from pathlib import Path

import pytest

from hudhud import codec
from hudhud.clock import VirtualClock
from hudhud.people import Person, write_people
from hudhud.registry import parse_registry
from hudhud.settings import Relay, Settings
from hudhud.workdays import Workdays
from mail.exempt import Exemption
from mail.grants.asking import Act
from mail.grants.ledger import Ledger
from mail.node.reminding import Reminding
from mail.shelf.filters import Filter
from mail.spool import Spool, open_spool

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
REGISTRY = parse_registry({"registry.toml": (resources.files("hudhud") / "demo" / "registry.toml").read_bytes()})
PEOPLE = (
    Person("rima", "ريما", "Rima", frozenset({"analyst"}), None, "en", "rima@telecom.saba.example"),
    Person("dalia", "داليا", "Dalia", frozenset({"officer"}), "FIN", "ar", "dalia@finance.saba.example"),
    Person("hani", "هاني", "Hani", frozenset({"officer"}), "HEA", "ar", "hani@health.saba.example"),
    Person("ziad", "زياد", "Ziad", frozenset({"officer"}), "FIN", "ar", "ziad@freemail.example"),
)


class Desk:
    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(NOW)
        self.settings = Settings(relay=Relay(postmaster="postmaster@relay.saba.example"), folder=str(folder))
        write_people(self._made("people.toml"), {one.login: (one, "x") for one in PEOPLE})
        self.ledger = Ledger(self.settings.path("desk", "exemptions.db"))
        self.spool: Spool = open_spool(
            folder / "relay", 0, node="test", key=bytes(32), clock=self.clock, limits=self.settings.spool
        )
        self.reminding = Reminding(self.settings, self.spool, lambda: REGISTRY, self.clock)

    def _made(self, name: str) -> Path:
        path = self.settings.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def granted(self, **changed: object) -> str:
        now = self.clock.now()
        values: dict[str, object] = {
            "id": "", "sender": "amal@finance.saba.example", "recipient": "noor@partner.example", "starts": now,
            "ends": now + 30 * DAY, "reason": "loan", "document": "FIN 8", "applicant": "rima",
        }  # fmt: skip
        name = self.ledger.request(Exemption(**(values | changed)), "FIN", now).exemption.id  # type: ignore[arg-type]
        for login in ("dalia", "omar")[: 1 if changed.get("kind") == "break-glass" else 2]:
            self.ledger.approve(name, login, now)
        return name

    async def at(self, moment: datetime) -> tuple[list[str], list[bytes]]:
        """The events and the mail that this look brought."""
        await self.clock.advance((moment - self.clock.now()).total_seconds())
        before = len(self._events()), len(self._mail())
        await self.reminding.look()
        await self.reminding.look()
        return self._events()[before[0] :], self._mail()[before[1] :]

    def _events(self) -> list[str]:
        rows = self.spool.database.read("SELECT document FROM journal ORDER BY sequence")
        return [codec.decode(bytes(row[0]))["event"]["action"] for row in rows]

    def _mail(self) -> list[bytes]:
        found = sorted(str(one["id"]) for one in self.spool.list(Filter()))
        return [self.spool.body(one) for one in found]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.ledger.close()
    made.spool.close()


async def test_the_end_is_told_once_before_to_national_addresses_and_once_when_it_has_come(desk: Desk) -> None:
    desk.granted()
    assert await desk.at(NOW + 22 * DAY) == ([], [])
    events, mails = await desk.at(NOW + 24 * DAY)
    assert events == ["exemption-ending"]
    mail = message_from_bytes(mails[0], policy=policy.default)
    assert mail["To"] == "rima@telecom.saba.example, amal@finance.saba.example, dalia@finance.saba.example"
    assert "EX-2026-0001 ends on 2026-12-23" in mail["Subject"]
    assert mail["Subject"].startswith("ينتهي الاستثناء")
    assert "two others approve it" in mail.get_content()
    assert await desk.at(NOW + 29 * DAY) == ([], [])
    assert await desk.at(NOW + 31 * DAY) == (["exemption-ended"], [])


async def test_what_was_revoked_is_not_reminded_of(desk: Desk) -> None:
    desk.ledger.revoke(desk.granted(), "omar", NOW, "over")
    assert await desk.at(NOW + 31 * DAY) == ([], [])


async def test_a_partner_is_reviewed_on_its_day(desk: Desk) -> None:
    day = (NOW + 10 * DAY).date()
    desk.granted(kind="partner", owner="dalia", contact="desk@partner.example", review=day)
    assert (await desk.at(NOW + 9 * DAY))[0] == []
    assert (await desk.at(NOW + 10 * DAY))[0] == ["exemption-review-due"]


async def test_break_glass_is_told_of_at_once_and_again_when_nobody_reviewed_it_in_three_working_days(
    desk: Desk,
) -> None:
    name = desk.granted(kind="break-glass")
    events, mails = await desk.at(NOW)
    assert events == ["exemption-break-glass"]
    assert b"EX-2026-0001" in mails[0]
    # Monday; Tuesday, Wednesday and Thursday are the three days
    assert (await desk.at(datetime(2026, 11, 26, 23, 59, tzinfo=UTC)))[0] == []
    assert (await desk.at(datetime(2026, 11, 27, 0, 1, tzinfo=UTC)))[0] == ["exemption-unreviewed"]
    desk.ledger.move(name, Act.REVIEW, "ziad", desk.clock.now(), "late, but right")
    assert (await desk.at(datetime(2026, 12, 27, tzinfo=UTC)))[0] == []


async def test_break_glass_that_was_reviewed_in_time_is_not_overdue(desk: Desk) -> None:
    name = desk.granted(kind="break-glass")
    desk.ledger.move(name, Act.REVIEW, "ziad", NOW + DAY, "right")
    assert (await desk.at(NOW + 20 * DAY))[0] == ["exemption-break-glass"]


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        (datetime(2026, 11, 23, 8, tzinfo=UTC), "2026-11-27"),  # Monday: Thursday's end
        (datetime(2026, 11, 25, 8, tzinfo=UTC), "2026-12-01"),  # Wednesday: Thursday, Sunday, Monday
        (
            datetime(2026, 11, 27, 8, tzinfo=UTC),
            "2026-12-03",
        ),  # Friday; Tuesday is a holiday
    ],
)
def test_working_days_are_sunday_to_thursday_without_holidays(moment: datetime, end: str) -> None:
    assert f"{Workdays(holidays=frozenset({datetime(2026, 12, 1).date()})).end_of(moment, 3):%Y-%m-%d}" == end
