"""What is done leaves the shard for its day, stays traceable by index, and is forgotten by whole days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from hudhud.clock import VirtualClock
from hudhud.database import Database
from hudhud.settings import Spool as Limits
from mail.shelf import refusals, words
from mail.shelf.days import Batch, day_of
from mail.shelf.filters import Filter
from mail.shelf.moving import Moving
from mail.shelf.search import Shelves, Wanted, clauses, day_query
from mail.shelf.stored import SCHEMA, moment_of, number_at, parse_queue_id, queue_id
from tests.mail.carry.conftest import House
from tests.mail.queue.filling import KEY, NOW, fill, known

COUNT, SPAN = 20_000, timedelta(days=20)
TODAY = NOW.date()
REFUSED = b'{"@timestamp":"x","event":{"action":"refused"},"email":{"from":{"address":["a@b.example"]}}}'


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelves]:
    folder = tmp_path_factory.mktemp("trace")
    days = fill(folder, 0, COUNT, span=SPAN)
    shard = Database(folder / "shard-0.db", SCHEMA)
    yield Shelves(shard.read, days, 0)
    shard.close()


SEARCHES = [
    Wanted(sender="user1@body1.saba.example"),
    Wanted(recipient="user1@body1.saba.example", sender="body2.saba.example"),
    Wanted(recipient="@body1.saba.example", since=NOW - timedelta(hours=3)),
    Wanted(sender="user7@"),
    Wanted(message_id="<17@body1.saba.example>"),
    Wanted(words=words.each(words.hashed("treaty visit", words.derived(KEY))), sender="body3.saba.example"),
    Wanted(since=NOW - timedelta(days=2), until=NOW - timedelta(days=1)),
]


@pytest.mark.parametrize("wanted", SEARCHES, ids=lambda wanted: "+".join(c.kind for c in clauses(wanted)) or "time")
def test_every_search_of_a_day_goes_by_an_index(shelves: Shelves, wanted: Wanted) -> None:
    query, bindings = day_query(wanted, 100)
    with shelves.days.reading() as days:
        read = days.of(TODAY - timedelta(days=2))
        assert read is not None
        plan = [str(row[3]) for row in read(f"EXPLAIN QUERY PLAN {query}", bindings)]
    tables = [step for step in plan if step.startswith(("SEARCH", "SCAN"))]
    assert tables
    assert all(step.startswith("SEARCH") for step in tables), plan


def test_each_message_is_found_by_its_sender_recipient_and_message_id(shelves: Shelves) -> None:
    for number, sender, recipient, message_id in known(COUNT, span=SPAN)[:: COUNT // 15]:
        name = queue_id(0, number)
        for wanted in (Wanted(sender=sender.upper()), Wanted(recipient=recipient), Wanted(message_id=message_id),
                       Wanted(sender=sender, recipient=recipient.partition("@")[2])):  # fmt: skip
            assert name in [one["id"] for one in shelves.find(wanted)], wanted
        path = shelves.path(name.lower())
        assert path is not None
        assert path["sender"] == sender


def test_the_newest_come_first_and_the_rest_by_going_on_below(shelves: Shelves) -> None:
    wanted = Wanted(recipient="body7.saba.example")
    whole = [str(one["id"]) for one in shelves.find(wanted, 1000)]
    assert whole == sorted(whole, reverse=True)
    found: list[str] = []
    below = wanted.below
    while page := shelves.find(Wanted(recipient=wanted.recipient, below=below), 7):
        found += [str(one["id"]) for one in page]
        parsed = parse_queue_id(found[-1])
        assert parsed is not None
        below = parsed[1]
    assert found == whole


def test_refusals_are_found_as_what_was_taken_is(shelves: Shelves) -> None:
    found = shelves.find(Wanted(since=NOW - timedelta(days=3), until=NOW - timedelta(days=2)), 1000)
    refused = [one for one in found if one["state"] == "refused"]
    assert len(refused) == pytest.approx(len(found) / 50, abs=2)
    (event,) = refused[0]["events"]  # type: ignore[misc]
    assert refused[0]["id"] in [one["id"] for one in shelves.find(Wanted(sender=event["email"]["from"]["address"][0]))]


def test_a_subject_is_found_by_whole_words_in_any_spelling_and_is_never_kept_in_clear(shelves: Shelves) -> None:
    key = words.derived(KEY)
    (found,) = shelves.find(Wanted(words=words.each(words.hashed("12345", key))))
    assert str(found["message_id"]).startswith("12345@")
    assert shelves.find(Wanted(words=words.each(words.hashed("1234", words.derived(bytes(31) + b"1"))))) == []
    assert words.hashed("الميزانيّة أُقِرّت", key) == words.hashed("الميزانيه اقرت", key)
    data = b"".join(path.read_bytes() for path in shelves.days.folder.glob("*/0.db"))
    assert b"treaty" not in data


def test_a_list_of_what_is_done_goes_on_into_the_days(shelves: Shelves) -> None:
    listed = shelves.listed(Filter(state="delivered", domain="body7.saba.example"), NOW.timestamp(), 50)
    assert len(listed) == 50
    names = [str(one["id"]) for one in listed]
    assert names == sorted(names, reverse=True)
    assert shelves.listed(Filter(state="queued"), NOW.timestamp(), 50) == []


def test_days_are_forgotten_whole_and_the_oldest_first_where_there_are_too_many_octets(tmp_path: Path) -> None:
    days = fill(tmp_path, 0, 900, span=timedelta(days=14))
    oldest = days.days()[-1]
    assert days.drop(oldest + timedelta(days=10))
    assert days.days()[-1] == oldest + timedelta(days=10)
    assert not (days.folder / oldest.isoformat()).exists()
    assert days.drop_oldest(10**12, TODAY) is None
    assert days.drop_oldest(0, TODAY) == oldest + timedelta(days=10)
    while days.drop_oldest(0, TODAY) is not None:
        pass
    assert days.days() == [TODAY]  # today is never forgotten


def test_a_damaged_day_does_not_hide_the_others(tmp_path: Path) -> None:
    days = fill(tmp_path, 0, 900, span=timedelta(days=14))
    shard = Database(tmp_path / "shard-0.db", SCHEMA)
    broken = days.folder / days.days()[3].isoformat() / "0.db"
    broken.write_bytes(b"no database" * 1000)
    shelves = Shelves(shard.read, days, 0)
    assert shelves.find(Wanted(recipient="body7.saba.example"))
    assert len(shelves.find(Wanted(since=NOW - timedelta(days=100)), 1000)) > 800
    shard.close()


@pytest.fixture
async def done(virtual_house: House) -> House:
    """Fifty messages: every tenth still waits, the others went; and twelve refusals."""
    house = virtual_house
    assert isinstance(house.clock, VirtualClock)
    for number in range(50):
        queue_id = await house.put("salim@interior.saba.example", sender=f"user{number}@finance.saba.example")
        if number % 10:
            parsed = parse_queue_id(queue_id)
            assert parsed is not None
            await house.spool.commit(
                lambda c, n=parsed[1]: c.execute("UPDATE recipients SET state = 'delivered' WHERE number = ?", (n,))
            )
        await house.clock.advance(60)
    for _ in range(12):
        parsed = parse_queue_id(house.spool.new_id())
        assert parsed is not None
        await house.spool.commit(lambda c, n=parsed[1]: refusals.remember(c, n, [REFUSED, REFUSED]))
    return house


async def test_what_is_done_moves_what_waits_and_the_newest_stay(done: House) -> None:
    spool = done.spool
    moving = Moving(spool.database, spool.shelves.days, Limits(), kept=10, rest=timedelta(minutes=5))
    await done.clock.advance(7200)  # type: ignore[attr-defined]
    before = {one["id"]: one for one in spool.list(Filter(), 1000)}
    now = done.clock.now()
    while moving.step(now):
        pass
    numbers = [row[0] for row in spool.database.read("SELECT number FROM messages ORDER BY number")]
    assert len(numbers) == 10 + 4  # the newest, and those that wait
    assert spool.database.read("SELECT count(*) FROM refusals") == [(0,)]
    assert {one["id"]: one for one in spool.list(Filter(), 1000)} == before
    old = next(name for name, one in before.items() if one["sender"] == "user1@finance.saba.example")
    assert spool.show(str(old))["sender"] == "user1@finance.saba.example"  # type: ignore[index]
    assert len(spool.shelves.find(Wanted(sender="a@b.example"))) == 12
    assert len(spool.shelves.find(Wanted(recipient="salim@interior.saba.example"), 1000)) == 50
    again = Moving(spool.database, spool.shelves.days, Limits(), kept=10, rest=timedelta(minutes=5))
    assert again.step(now) == 0


async def test_a_move_that_a_crash_cut_in_two_is_done_again_without_doubles(done: House) -> None:
    spool = done.spool
    moving = Moving(spool.database, spool.shelves.days, Limits(), kept=10, rest=timedelta(0))
    rows = spool.database.read("SELECT * FROM messages ORDER BY number LIMIT 30")
    spool.shelves.days.write(day_of(rows[0][0]), Batch(messages=list(rows)))  # on disk in its day, still in the shard
    await done.clock.advance(7200)  # type: ignore[attr-defined]
    while moving.step(done.clock.now()):
        pass
    listed = [one["id"] for one in spool.list(Filter(), 1000)]
    assert len(listed) == len(set(listed)) == 50


async def test_what_is_being_sent_stays(done: House) -> None:
    spool = done.spool
    await done.clock.advance(7200)  # type: ignore[attr-defined]
    busy = {row[0] for row in spool.database.read("SELECT number FROM messages")}
    moving = Moving(spool.database, spool.shelves.days, Limits(), kept=10, rest=timedelta(0))
    moving.step(done.clock.now(), busy)
    assert len(spool.database.read("SELECT number FROM messages")) == 50


def test_a_number_tells_its_day() -> None:
    moment = NOW.replace(hour=23, minute=59, second=59)
    assert day_of(number_at(moment)) == date(2026, 11, 24)
    assert abs(moment_of(number_at(moment)) - moment) < timedelta(milliseconds=2)
