"""The spool: one transaction, whole or not at all; damage, full disks, queue ids, lists."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hudhud.clock import SYSTEM
from hudhud.database import DatabaseDamaged, open_reader
from hudhud.settings import Spool as Limits
from mail.shelf import due, listing
from mail.shelf.bodies import Bodies, BodyError, BodyGone
from mail.shelf.listing import Filter
from mail.shelf.room import SpoolFull
from mail.shelf.shard import ShardTaken, open_shard, shard_numbers
from mail.shelf.stored import Edit, Numbers, edited, number_at, parse_queue_id, queue_id


async def test_everything_of_a_message_is_there_after_put_and_after_a_new_start(house) -> None:
    mine = await house.put("a@interior.saba.example", "b@health.saba.example", body=b"x" * 1000 + b"\r\n")
    before = house.show(mine)
    await house.close()
    house.open()
    shown = house.show(mine)
    assert shown == before
    assert shown["sender"] == "amal@finance.saba.example"
    assert [(r["address"], r["state"]) for r in shown["recipients"]] == [
        ("a@interior.saba.example", "queued"),
        ("b@health.saba.example", "queued"),
    ]
    assert shown["client"] == {
        "ip": "192.0.2.50", "port": 4711, "helo": "pc.finance.saba.example", "tls": "TLSv1.3", "listener": "submission",
    }  # fmt: skip
    assert house.spool.body(mine).endswith(b"x\r\n")
    assert len(house.events()) == 1


async def test_a_put_that_fails_leaves_nothing(house) -> None:
    with pytest.raises(ValueError, match="edit"):
        await house.put("a@interior.saba.example", edits=[Edit(5, 10**9)])
    mine = await house.put("a@interior.saba.example", body=b"y" * 300_000 + b"\r\n")
    house.spool._numbers._last -= 1  # the next message gets the same number
    house.spool._numbers.next = lambda now: parse_queue_id(mine)[1]
    with pytest.raises(Exception, match=r"constraint|exists"):
        await house.put("b@interior.saba.example", body=b"z\r\n", state="held")
    assert len(house.spool.list(Filter())) == 1
    assert house.events() == [{"event": {"action": "accepted"}}]
    assert house.spool.body(mine).endswith(b"y\r\n")


async def test_where_there_is_no_room_nothing_is_stored_and_it_says_so(house) -> None:
    for limits in (Limits(min_free_bytes=2**60), Limits(min_free_bytes=0, max_bytes=1)):
        house.settings = msgspec.structs.replace(house.settings, spool=limits)
        await house.close()
        house.open()
        with pytest.raises(SpoolFull, match="MiB"):
            await house.put("a@interior.saba.example")
        assert house.spool.room.refused == 1
    assert house.spool.list(Filter()) == []


async def test_a_database_without_room_is_the_same_to_the_relay(house) -> None:
    def cap(connection: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 5}")

    await house.spool.commit(cap)
    with pytest.raises(SpoolFull):
        await house.put("a@interior.saba.example", body=b"x" * 200_000 + b"\r\n")
    assert house.spool.list(Filter()) == []
    assert house.events() == []


async def test_a_damaged_shard_is_set_apart_with_its_bodies_and_the_rest_goes_on(house) -> None:
    big = await house.put("a@interior.saba.example", body=b"x" * 300_000 + b"\r\n")
    await house.close()
    path = house.folder / "relay" / "shard-0.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    house.open()
    assert house.spool.owned.damage.salvaged.saved == 0
    assert house.events()[0]["event"]["action"] == "shard-damaged"
    assert house.spool.list(Filter()) == []
    new = await house.put("b@interior.saba.example")
    assert house.states(new) == ["queued"]
    kept = [p.name for p in (house.folder / "relay").rglob("*") if "damaged" in p.name or p.parent.name != "relay"]
    assert big in kept
    assert list(shard_numbers(house.folder / "relay")) == [0]


async def test_what_can_still_be_read_of_a_damaged_shard_goes_out(house, sinks) -> None:
    held = await house.put("a@interior.saba.example", state="held", body=b"held\r\n")
    big = await house.put("a@interior.saba.example", body=b"x" * 300_000 + b"\r\n")
    ids = [await house.put("a@interior.saba.example", body=b"y" * 20_000 + b"\r\n") for _ in range(60)]
    await house.close()
    path = house.folder / "relay" / "shard-0.db"
    connection = open_reader(path)
    page, size = connection.execute(
        "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = 'journal'"
    ).fetchone()
    connection.close()
    data = bytearray(path.read_bytes())
    for broken in (page, len(data) // size // 2, len(data) // size // 3):  # one page of the journal, two of bodies
        data[(broken - 1) * size : broken * size] = b"\xff" * size
    path.write_bytes(data)
    house.open()
    damage = house.spool.owned.damage
    assert damage.salvaged.saved + damage.salvaged.lost == 62
    assert damage.salvaged.lost <= 4
    hop = await sinks()
    house.dialled["192.0.2.65", 25] = hop.port
    house.start()
    await house.held.release(held, actor="layla", reason="fine")
    saved = [one for one in (held, big, *ids) if house.spool.show(one) is not None]
    for one in saved:
        await house.until(one, "delivered")
    assert len(hop.messages) == damage.salvaged.saved


async def test_damage_found_at_work_is_looked_into_at_the_next_start(house) -> None:
    await house.put("a@interior.saba.example")

    def find_damage(connection: Any) -> None:
        raise DatabaseDamaged(house.spool.database.path, "a page is wrong")

    with pytest.raises(DatabaseDamaged):
        await house.spool.commit(find_damage)
    suspicion = house.folder / "relay" / "shard-0.suspect"
    assert suspicion.exists()
    await house.close()
    house.open()
    assert not suspicion.exists()
    assert house.spool.owned.damage is None
    assert len(house.spool.list(Filter())) == 1


async def test_a_shard_has_one_owner(house) -> None:
    with pytest.raises(ShardTaken):
        open_shard(house.folder / "relay", 0, b"k" * 32, SYSTEM)


async def test_a_body_file_without_its_message_is_swept_up_and_others_stay(house) -> None:
    mine = await house.put("a@interior.saba.example", body=b"x" * 300_000 + b"\r\n")
    bodies = house.folder / "relay" / "bodies"
    (bodies / "0-0000000000").write_bytes(b"never acknowledged")
    (bodies / "1-0000000000").write_bytes(b"of another shard")
    await house.close()
    house.open()
    assert sorted(p.name for p in bodies.iterdir()) == sorted([mine, "1-0000000000"])


async def test_a_body_that_is_gone_or_changed_is_an_error_with_the_queue_id(house, tmp_path) -> None:
    mine = await house.put("a@interior.saba.example", body=b"x" * 300_000 + b"\r\n", state="held")
    file = next((house.folder / "relay" / "bodies").iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(BodyError, match=mine) as changed:
        house.spool.body(mine)
    assert not isinstance(changed.value, BodyGone)
    file.unlink()
    with pytest.raises(BodyGone, match=mine):
        house.spool.body(mine)
    sealed = Bodies(tmp_path / "b", b"1" * 32).write("0-0000000001", b"secret", sealed=True)
    with pytest.raises(BodyError):
        Bodies(tmp_path / "b", b"2" * 32).read("0-0000000001", sealed)


async def test_a_message_that_cannot_be_read_fails_and_others_go_on(house, sinks) -> None:
    hop = await sinks()
    house.dialled["192.0.2.65", 25] = hop.port
    lost = await house.put("a@interior.saba.example", body=b"x" * 300_000 + b"\r\n")
    while house.spool.fresh.take() is not None:
        pass
    next((house.folder / "relay" / "bodies").iterdir()).unlink()
    fine = await house.put("b@interior.saba.example")
    house.start()
    await house.until(fine, "delivered")
    assert (await house.until(lost, "failed"))["recipients"][0]["reply"].startswith("5.3.0")


@pytest.mark.parametrize("problem", [BodyGone("sealed a moment ago"), BodyError("Too many open files")])
async def test_a_message_that_cannot_be_read_in_that_moment_is_sent_all_the_same(
    house, sinks, monkeypatch, problem
) -> None:
    hop = await sinks()
    house.dialled["192.0.2.65", 25] = hop.port
    mine = await house.put("a@interior.saba.example", body=b"x" * 300_000 + b"\r\n")
    while house.spool.fresh.take() is not None:
        pass
    read, problems = house.spool.data, [problem]

    def fails_once(stored: Any) -> bytes:
        if problems:
            raise problems.pop()
        return read(stored)

    monkeypatch.setattr(house.spool, "data", fails_once)
    house.start()
    if not isinstance(problem, BodyGone):
        async with asyncio.timeout(5):
            while not house.show(mine)["recipients"][0]["reply"].startswith("4.3.0"):
                await asyncio.sleep(0.01)
        await house.held.retry(mine)
    await house.until(mine, "delivered")


async def test_lists_find_by_state_address_domain_rule_and_age(house) -> None:
    one = await house.put("a@interior.saba.example")
    two = await house.put("b@health.saba.example", sender="huda@health.saba.example", state="held")

    def ids(**wanted: Any) -> list[object]:
        return [m["id"] for m in house.spool.list(Filter(**wanted))]

    assert ids() == [two, one]
    assert ids(state="queued") == [one]
    assert ids(state="held") == [two]
    assert ids(state="delivered") == []
    assert ids(sender="HUDA@") == [two]
    assert ids(recipient="a@int") == [one]
    assert ids(domain="health.saba.example") == [two]
    assert ids(rule="HY-0001") == [two]
    assert ids(rule="HY-0002") == []
    assert ids(account="amal") == [one]
    assert ids(older_than=60) == []
    assert house.spool.show("0-ZZZZZZZZZZ") is None
    assert house.spool.show("nonsense") is None
    assert listing.counts(house.spool.database.read)["held"] == 1
    assert listing.held_by_rule(house.spool.database.read, 0, "HY-0001") == [two]


async def test_the_rules_that_held_the_last_messages_are_known_over_all_shards(house, tmp_path) -> None:
    await house.put("a@interior.saba.example")
    await house.put("a@interior.saba.example", state="held")
    await house.put("a@interior.saba.example")
    paths = [house.folder / "relay" / "shard-0.db"]
    assert listing.last_outcomes(paths, 10) == [(), ("HY-0001",), ()]
    assert listing.last_outcomes(paths, 1) == [()]


async def test_the_cost_of_looking_for_what_is_due_does_not_grow_with_the_queue(house) -> None:
    def fill(connection: Any) -> None:
        connection.executemany(
            "INSERT INTO recipients VALUES (?, 0, x'61', ?, NULL, NULL, 'queued', ?, 1, 0, 0, '[]', x'5b5d')",
            ((n, f"d{n % 300}.example", 4e9 if n % 2 else 1.0) for n in range(1, 100_001)),
        )

    read = house.spool.database.read
    now = datetime(2026, 1, 1, tzinfo=UTC)
    await house.spool.commit(fill)
    asked = [f"d{n}.example" for n in range(300)]
    assert sorted(asked) == due.domains(read, "", 1000)
    due.due(read, now, asked, lambda _: 10, {})
    started = time.process_time()
    found = due.due(read, now, asked, lambda _: 10, {})
    took = time.process_time() - started
    assert len(found.found) == 1500  # ten of each of the domains that have something due
    assert len(found.more) == 150
    assert len(found.later) == 150
    assert took < 0.15
    plan = " ".join(str(row) for row in read("EXPLAIN QUERY PLAN " + due._DUE, ("x", 1.0, 1)))
    assert "recipients_queued" in plan
    assert "TEMP B-TREE" not in plan


async def test_many_messages_at_once_share_their_commits(house) -> None:
    await asyncio.gather(*(house.put("a@interior.saba.example") for _ in range(200)))
    assert house.spool.database.transactions < 100


@given(st.integers(0, 2**50 - 1), st.integers(0, 0xFFFF))
def test_queue_ids_are_read_back_whatever_their_case(number: int, shard: int) -> None:
    text = queue_id(shard, number)
    assert parse_queue_id(text) == (shard, number)
    assert parse_queue_id(f" {text.lower()} ") == (shard, number)


def test_numbers_grow_even_when_the_clock_goes_back() -> None:
    numbers = Numbers(last=number_at(datetime(2030, 1, 1, tzinfo=UTC)))
    found = [numbers.next(datetime(2026, 1, 1, tzinfo=UTC)) for _ in range(1000)]
    assert found == sorted(set(found))
    assert found[0] > number_at(datetime(2030, 1, 1, tzinfo=UTC))


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.binary(max_size=5))))
def test_edits_change_their_places_only_or_are_refused(data: bytes, given_edits: list[tuple[int, int, bytes]]) -> None:
    edits = [Edit(*one) for one in sorted(given_edits)]
    expected, at, lawful = b"", 0, True
    for edit in edits:
        lawful = lawful and at <= edit.start <= edit.end <= len(data)
        expected += data[at : edit.start] + edit.new
        at = edit.end
    if lawful:
        assert edited(data, edits) == expected + data[at:]
    else:
        with pytest.raises(ValueError, match="edit"):
            edited(data, edits)
