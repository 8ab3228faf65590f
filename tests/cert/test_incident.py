"""States of an incident as a table, its acts in timeline and audit chain, and two people who act at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import cast

import pytest

from cert import incident as states
from cert.desk import Desk, NotFound
from cert.incident import MOVES, MoveError, Status
from cert.sqlite import SqliteStore
from cert.store import Query, Stale
from cert.words import KINDS, STATUS, entry, say
from hudhud.audit import Audit, verify
from hudhud.clock import VirtualClock
from hudhud.keys import SigningKey
from tests.conformance.store import NOW, incident, opened


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_a_move_is_made_exactly_where_the_table_has_it(before: Status, after: Status) -> None:
    from dataclasses import replace

    standing = replace(incident(1), status=before)
    if after in MOVES[before]:
        moved = states.move(standing, after, "amal", NOW, "done")
        assert (moved.incident.status, moved.incident.version, moved.expected) == (after, 1, 0)
        assert (moved.incident.closed is not None) == (after in {Status.CLOSED, Status.RESOLVED})
    else:
        with pytest.raises(MoveError):
            states.move(standing, after, "amal", NOW, "done")


def test_every_state_can_reach_closed_but_merged() -> None:
    for start in set(Status) - {Status.MERGED}:
        reached, before = {start}, set[Status]()
        while reached != before:
            before = set(reached)
            reached |= {after for status in before for after in MOVES[status]}
        assert Status.CLOSED in reached


def test_merge_and_undo_give_back_what_was() -> None:
    one, two = incident(1), incident(2)
    taken, gone = states.merge(one, two, "amal", NOW)
    assert (taken.incident.ids, gone.incident.redirect) == ((one.id, two.id), one.id)
    left, back = states.unmerge(taken.incident, gone.incident, "amal", NOW)
    assert (left.incident.ids, back.incident.status) == ((one.id,), two.status)
    assert (left.incident.apart, back.incident.apart) == ((two.id,), (one.id,))
    with pytest.raises(ValueError, match="was not merged"):
        states.unmerge(left.incident, back.incident, "amal", NOW)
    with pytest.raises(ValueError, match="itself"):
        states.merge(one, one, "amal", NOW)


def test_everything_that_can_stand_in_a_timeline_has_words_in_both_languages() -> None:
    for kind in KINDS:
        line = states.Entry("e", "I-1", NOW, "amal", cast("states.EntryKind", kind), before="new", after="closed")
        assert entry("en", line) != entry("ar", line)
    assert {say("ar", STATUS[status]) for status in Status}.isdisjoint({say("en", STATUS[status]) for status in Status})


class Place:
    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(NOW)
        self.store = SqliteStore(folder / "store", self.clock)
        self.chain = folder / "cert.chain"
        self.key = SigningKey.generate(folder / "keys" / "node.key")
        self.audit = Audit(self.chain, self.key, "cert", clock=self.clock)
        self.desk = Desk(self.store, self.audit, self.clock)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    made.audit.close()
    await made.store.close()


async def test_every_act_is_in_the_chain_and_one_changed_byte_is_found(place: Place) -> None:
    one, two = [await place.store.put_incident(opened(incident(n))) for n in (1, 2)]
    seen = await place.desk.assign("amal", one.id, one.version, "salim")
    seen = await place.desk.note("amal", one.id, seen.version, "ملاحظة")
    seen = await place.desk.change_status("amal", one.id, seen.version, Status.TRIAGED)
    both = await place.desk.merge("amal", (one.id, seen.version), (two.id, two.version), "the same")
    await place.desk.undo_merge("amal", (one.id, both.version), two.id, "no")
    await place.desk.search("amal", Query("source.ip:192.0.2.1"), "ticket 7")
    place.audit.close()
    text = place.chain.read_text()
    for act in (
        "incident.assign",
        "incident.note",
        "incident.status",
        "incident.merge",
        "incident.undo-merge",
        "events.search",
    ):
        assert act in text
    assert "source.ip:192.0.2.1" in text
    assert verify(place.chain, place.key.public) == []
    place.chain.write_text(text.replace('"actor":"amal"', '"actor":"amak"', 1))
    assert verify(place.chain, place.key.public)


async def test_two_people_never_overwrite_each_other(place: Place) -> None:
    one = await place.store.put_incident(opened(incident(1)))
    await place.desk.assign("amal", one.id, one.version, "amal")
    with pytest.raises(Stale):
        await place.desk.assign("salim", one.id, one.version, "salim")
    found = await place.store.incident(one.id)
    assert found is not None
    assert found.owner == "amal"


async def test_closing_wants_a_reason_and_a_known_incident(place: Place) -> None:
    one = await place.store.put_incident(opened(incident(1)))
    with pytest.raises(ValueError, match="a reason is needed"):
        await place.desk.change_status("amal", one.id, one.version, Status.CLOSED, " ")
    with pytest.raises(NotFound):
        await place.desk.note("amal", "I-nothing", 1, "x")
    closed = await place.desk.change_status("amal", one.id, one.version, Status.CLOSED, "false alarm")
    assert (closed.resolution, closed.closed) == ("false alarm", NOW)


async def test_a_merged_incident_is_acted_on_where_it_lives_now(place: Place) -> None:
    one, two = [await place.store.put_incident(opened(incident(n))) for n in (1, 2)]
    await place.desk.merge("amal", (one.id, one.version), (two.id, two.version), "same")
    gone = await place.store.incident(two.id)
    assert gone is not None
    with pytest.raises(MoveError, match=one.id):
        await place.desk.note("amal", two.id, gone.version, "here?")
