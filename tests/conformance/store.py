"""What every store must do: a store is done when its class inherits StoreContract and passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cert import incident as states
from cert.incident import Incident, Status
from cert.store import (
    DISPOSITION,
    Alert,
    AlertQuery,
    Counted,
    IncidentQuery,
    Match,
    Query,
    QueryError,
    Results,
    Span,
    Stale,
    Store,
)
from hudhud.clock import VirtualClock
from hudhud.event import Event, Value, event_id

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def event(number: int, at: datetime = NOW, **fields: Value) -> Event:
    """An event with its fields written source__ip for source.ip."""
    named = {name.replace("__", "."): value for name, value in fields.items()}
    return Event(event_id("test", number), at, {"event.dataset": "hudhud.mail", **named})


def alert(number: int, at: datetime = NOW, **fields: object) -> Alert:
    made = Alert(
        f"alert-{number:06}", at, "R-1", "قاعدة", "A rule", 50, "macro", "FIN", event_id("test", number),
        ("lure:a",), "relay", {DISPOSITION: "hold", "email.to.address": ["a@finance.saba.example"]},
    )  # fmt: skip
    changes: dict[str, Any] = fields
    return replace(made, **changes)


def incident(number: int, at: datetime = NOW) -> Incident:
    return Incident(
        f"I-{number:04}", 0, Status.NEW, "حادثة", "An incident", 50, (), "fraud:phishing", "campaign", ("FIN",),
        ("R-1",), ("lure:a",), 0, at, at, at, at,
    )  # fmt: skip


def opened(made: Incident) -> states.Change:
    return states.change(made, made.opened, states.SYSTEM, ("opened", "", "", ""))


class StoreContract:
    """`make` is a fixture of the subclass's module that gives an empty, prepared store on `clock`."""

    async def make(self, clock: VirtualClock) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock(NOW)

    @pytest.fixture
    async def store(self, clock: VirtualClock, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
        self.request = request
        store = await self.make(clock)
        await store.prepare()
        yield store
        await store.close()

    # events
    async def test_an_event_is_stored_once_however_often_it_comes(self, store: Store) -> None:
        batch = [event(number) for number in range(5)]
        first, again = await store.add_events(batch), await store.add_events([*batch, event(5)])
        await store.settle()
        assert (first.stored, first.known) == (5, 0)
        assert (again.stored, again.known) == (1, 5)
        assert len((await store.search(Query())).found) == 6

    async def test_twice_in_one_batch_is_once(self, store: Store) -> None:
        added = await store.add_events([event(1), event(1)])
        assert (added.stored, added.known) == (1, 1)

    async def test_an_event_comes_back_as_it_was(self, store: Store) -> None:
        sent = event(
            1, NOW - timedelta(microseconds=7), source__ip="192.0.2.7", destination__port=25, tls__established=True,
            email__to__address=["a@b.example", "ج@مثال.example"], message="رسالة", hudhud__mail__size=10,
        )  # fmt: skip
        await store.add_events([sent])
        await store.settle()
        back = await store.event(sent.id)
        assert back is not None
        assert back.timestamp == sent.timestamp
        assert dict(back.fields) == {**sent.fields, "event.id": sent.id}

    async def test_what_does_not_fit_is_kept_under_other_and_found_there(self, store: Store) -> None:
        odd = event(1, source__ip="not an address", destination__port="many", made__up="x", hudhud__new__thing=[1, 2])
        added = await store.add_events([odd])
        await store.settle()
        assert (added.stored, added.refused) == (1, ())
        for text in ("hudhud.other.source.ip:*", "hudhud.new.thing:2", "hudhud.other.made.up:x", "NOT source.ip:*"):
            assert len((await store.search(Query(text))).found) == 1, text

    async def test_a_name_that_is_a_value_and_a_branch_is_no_conflict(self, store: Store) -> None:
        await store.add_events([event(1, hudhud__x="1"), event(2, hudhud__x__y="1"), event(3, x="1", x__y="2")])
        await store.settle()
        assert len((await store.search(Query())).found) == 3

    async def test_times_too_old_or_too_new_are_stored_once_as_well(self, store: Store) -> None:
        far = [event(1, NOW - timedelta(days=400)), event(2, NOW + timedelta(days=9)), event(3)]
        await store.add_events(far)
        again = await store.add_events(far)
        await store.settle()
        assert again.known == 3
        found = (await store.search(Query())).found
        assert [one.id for one in found] == [far[1].id, far[2].id, far[0].id]

    async def test_an_event_that_comes_again_when_it_has_become_old_is_known(
        self, store: Store, clock: VirtualClock
    ) -> None:
        old = event(1, NOW - timedelta(days=29, hours=23))
        await store.add_events([old])
        await clock.advance(2 * 3600)
        assert (await store.add_events([old])).known == 1

    async def test_a_time_that_is_none_is_refused_with_its_reason(self, store: Store) -> None:
        added = await store.add_events([event(1, datetime(9000, 1, 1, tzinfo=UTC)), event(2)])
        assert added.stored == 1
        assert "no time of an event" in added.refused[0].reason

    async def test_search_is_newest_first_and_by_half_open_time(self, store: Store) -> None:
        await store.add_events([event(number, NOW - number * HOUR) for number in range(5)])
        await store.settle()
        found = await store.search(Query(start=NOW - 3 * HOUR, end=NOW))
        assert [one.timestamp for one in found.found] == [NOW - HOUR, NOW - 2 * HOUR, NOW - 3 * HOUR]

    async def test_pages_show_each_event_once_while_others_are_written(self, store: Store) -> None:
        await store.add_events([event(number, NOW - timedelta(seconds=number)) for number in range(50)])
        await store.settle()
        seen: list[str] = []
        after = ""
        for turn in range(5):
            page = await store.search(Query(limit=10, after=after))
            seen += [one.id for one in page.found]
            after = page.after
            await store.add_events([event(100 + turn, NOW + timedelta(seconds=turn))])
            await store.settle()
        assert len(seen) == len(set(seen)) == 50
        assert after == ""

    async def test_events_of_the_same_moment_page_without_a_gap(self, store: Store) -> None:
        await store.add_events([event(number) for number in range(30)])
        await store.settle()
        first = await store.search(Query(limit=20))
        rest = await store.search(Query(limit=20, after=first.after))
        assert len({one.id for one in (*first.found, *rest.found)}) == 30

    async def test_an_officer_sees_only_her_body(self, store: Store) -> None:
        await store.add_events([event(1, organization__id="FIN"), event(2, organization__id="INT"), event(3)])
        await store.settle()
        found = await store.search(Query("event.dataset:* OR organization.id:INT", entity="FIN"))
        assert [one.fields["organization.id"] for one in found.found] == ["FIN"]

    async def test_a_query_that_is_none_says_where(self, store: Store) -> None:
        with pytest.raises(QueryError) as caught:
            await store.search(Query("event.severity:lots"))
        assert caught.value.position == 15

    async def test_arabic_is_found_however_it_is_written(self, store: Store) -> None:
        await store.add_events([event(1, message="بلاغٌ من وزارة الماليّة رقم ٢٠٢٦"), event(2, message="شيء آخر")])
        await store.settle()
        for text in ("وزاره", "الماليه", '"وزارة المالية"', "2026", "message:بلاغ", "الـمـال*", '"من وزاره"'):
            assert [one.id for one in (await store.search(Query(text))).found] == [event(1).id], text
        assert not (await store.search(Query('"وزارة رقم"'))).found

    async def test_counts_by_value_are_exact_and_in_order(self, store: Store) -> None:
        codes = ["FIN"] * 3 + ["INT"] * 3 + ["HEA"] * 5 + ["EDU"]
        batch = [
            event(n, NOW - n * 7 * HOUR, organization__id=code, rule__id=["A", "B"]) for n, code in enumerate(codes)
        ]
        await store.add_events(batch)
        await store.settle()
        assert [(b.key, b.count) for b in await store.counts(Query(), "organization.id", 3)] == [
            ("HEA", 5), ("FIN", 3), ("INT", 3),
        ]  # fmt: skip
        assert [(b.key, b.count) for b in await store.counts(Query("NOT organization.id:HEA"), "rule.id")] == [
            ("A", 7), ("B", 7),
        ]  # fmt: skip

    async def test_addresses_numbers_and_truth_are_counted_as_text(self, store: Store) -> None:
        await store.add_events([event(1, source__ip="192.0.2.1", destination__port=25, tls__established=True)])
        await store.settle()
        for field, value in (("source.ip", "192.0.2.1"), ("destination.port", "25"), ("tls.established", "true")):
            assert [(b.key, b.count) for b in await store.counts(Query(), field)] == [(value, 1)]

    async def test_a_histogram_has_a_bucket_for_each_step_that_is_not_empty(self, store: Store) -> None:
        await store.add_events([event(n, NOW + timedelta(minutes=20 * n)) for n in range(6)])
        await store.settle()
        assert [(b.key, b.count) for b in await store.histogram(Query(), "hour")] == [
            ("2026-11-23T08:00:00.000000Z", 3), ("2026-11-23T09:00:00.000000Z", 3),
        ]  # fmt: skip
        assert [b.count for b in await store.histogram(Query("event.dataset:nothing"), "day")] == []

    async def test_retention_drops_whole_days(self, store: Store) -> None:
        await store.add_events([event(n, NOW - timedelta(days=n)) for n in range(5)])
        await store.settle()
        assert await store.drop_before(NOW - timedelta(days=2)) == 2
        assert len((await store.search(Query())).found) == 3

    # matches
    async def test_sightings_are_those_of_the_key_in_the_time_both_ends_in(self, store: Store) -> None:
        matches = [
            Match(
                f"m{n}", "R-1", f"e{n}", NOW + timedelta(seconds=n),
                (Counted("C-1", "FIN|a", f"v{n}"), Counted("C-2", "FIN")),
            )
            for n in range(5)
        ]  # fmt: skip
        first, again = await store.add_matches(matches), await store.add_matches(matches)
        assert (first.stored, again.stored, again.known) == (5, 0, 5)
        found = await store.sightings("C-1", "FIN|a", NOW + timedelta(seconds=1), NOW + timedelta(seconds=3))
        assert [(one.id, one.value) for one in found] == [("m1", "v1"), ("m2", "v2"), ("m3", "v3")]
        assert found[0].timestamp == NOW + timedelta(seconds=1)
        assert not await store.sightings("C-1", "FIN|b", NOW, NOW + HOUR)

    # alerts
    async def test_alerts_are_stored_once_and_found_at_once(self, store: Store) -> None:
        made = [alert(n, NOW - timedelta(seconds=n)) for n in range(7)]
        await store.add_alerts(made)
        assert (await store.add_alerts(made)).known == 7
        page = await store.alerts(AlertQuery(limit=5))
        rest = await store.alerts(AlertQuery(limit=5, after=page.after))
        assert [one.id for one in (*page.found, *rest.found)] == [one.id for one in made]
        assert page.found[0] == made[0]

    async def test_alerts_are_chosen_by_entity_rule_key_time_and_incident(self, store: Store) -> None:
        one, two = alert(1), alert(2, NOW - HOUR, entity="INT", rule="R-2", keys=("file:x", "lure:b"))
        await store.add_alerts([one, two])
        await store.assign_alerts([two], "I-7")
        for query in (
            AlertQuery(entity="INT"), AlertQuery(rule="R-2"), AlertQuery(key="file:x"), AlertQuery(end=NOW),
            AlertQuery(incidents=("I-7", "I-8")),
        ):  # fmt: skip
            assert [found.id for found in (await store.alerts(query)).found] == [two.id], query
        assert [found.id for found in (await store.alerts(AlertQuery(incidents=("",)))).found] == [one.id]
        assert await store.assignments([one, two, alert(9)]) == {one.id: "", two.id: "I-7"}

    async def test_a_summary_counts_what_the_alerts_of_some_incidents_come_to(self, store: Store) -> None:
        made = [alert(n, NOW + n * HOUR, entity=code) for n, code in enumerate(("INT", "FIN", "FIN", ""))]
        made.append(alert(4, NOW - HOUR, severity=80, rule="R-0", threat="exploit", keys=("file:x",), facts={}))
        await store.add_alerts([*made, alert(99, severity=100)])
        await store.assign_alerts(made[:3], "I-1")
        await store.assign_alerts(made[3:], "I-2")
        found = await store.summary(["I-1", "I-2"])
        assert (found.count, found.severity) == (5, 80)
        assert (found.first, found.last) == (NOW - HOUR, NOW + 3 * HOUR)
        assert (found.entities, found.rules) == (("FIN", "INT"), ("R-0", "R-1"))
        assert (found.keys, set(found.threats)) == (("lure:a", "file:x"), {"macro", "exploit"})
        assert found.dispositions == {"hold": 4}
        assert (await store.summary(["I-3"])).count == 0

    async def test_a_withdrawn_alert_is_gone(self, store: Store) -> None:
        await store.add_alerts([alert(1), alert(2)])
        await store.withdraw_alerts([alert(1)])
        assert [one.id for one in (await store.alerts(AlertQuery(key="lure:a"))).found] == [alert(2).id]

    # results
    async def test_of_two_writers_of_results_one_is_told(self, store: Store) -> None:
        assert await store.results("C-1", "k") == Results("C-1", "k")
        spans = (Span("s1", NOW, NOW + HOUR, "I-1"),)
        await store.put_results([Results("C-1", "k", 0, spans)])
        assert await store.results("C-1", "k") == Results("C-1", "k", 1, spans)
        with pytest.raises(Stale):
            await store.put_results([Results("C-1", "k", 0, ())])
        await store.put_results([Results("C-1", "k", 1, ())])
        assert (await store.results("C-1", "k")).spans == ()

    # incidents
    async def test_an_incident_keeps_all_its_fields_and_its_timeline(self, store: Store) -> None:
        made = replace(incident(1), reasons=(states.Reason(10, "why {n}", {"n": 3}),), keys=("lure:أ",), closed=NOW)
        put = await store.put_incident(opened(made))
        assert await store.incident(made.id) == put
        noted = await store.put_incident(states.note(put, "ملاحظة", "amal", NOW + HOUR))
        moved = await store.put_incident(states.move(noted, Status.TRIAGED, "amal", NOW + 2 * HOUR))
        assert [(e.kind, e.actor, e.text, e.after) for e in await store.timeline(made.id)] == [
            ("opened", "hudhud", "", ""), ("note", "amal", "ملاحظة", ""), ("status", "amal", "", "triaged"),
        ]  # fmt: skip
        assert (await store.incident(made.id)) == moved
        assert await store.incident("I-none") is None

    async def test_two_analysts_never_overwrite_each_other(self, store: Store) -> None:
        put = await store.put_incident(opened(incident(1)))
        await store.put_incident(states.assign(put, "amal", "amal", NOW))
        with pytest.raises(Stale) as caught:
            await store.put_incident(states.note(put, "too late", "salim", NOW))
        assert (caught.value.expected, caught.value.found) == (1, 2)
        assert len(await store.timeline(put.id)) == 2

    async def test_an_id_is_opened_once(self, store: Store) -> None:
        await store.put_incident(opened(incident(1)))
        with pytest.raises(Stale):
            await store.put_incident(opened(incident(1)))

    async def test_redirects_are_followed(self, store: Store) -> None:
        puts = [await store.put_incident(opened(incident(n))) for n in range(3)]
        for loser, winner in ((0, 1), (1, 2)):
            taken, gone = states.merge(puts[winner], puts[loser], "amal", NOW)
            await store.put_incident(gone)
            puts[winner] = await store.put_incident(taken)
        found = await store.current("I-0000")
        assert found is not None
        assert (found.id, found.merged) == ("I-0002", ("I-0000", "I-0001"))

    async def test_the_queue_is_chosen_ordered_and_paged(self, store: Store) -> None:
        for n in range(7):
            made = replace(incident(n, NOW + n * HOUR), severity=10 * (n % 3), entities=("FIN",) if n % 2 else ("INT",))
            await store.put_incident(opened(replace(made, title_ar=f"رقم {n}")))
        newest = await store.incidents(IncidentQuery(limit=4))
        rest = await store.incidents(IncidentQuery(limit=4, after=newest.after))
        assert [one.id for one in (*newest.found, *rest.found)] == [f"I-000{n}" for n in range(6, -1, -1)]
        gravest = await store.incidents(IncidentQuery(order="severity", limit=3))
        more = await store.incidents(IncidentQuery(order="severity", limit=3, after=gravest.after))
        assert [one.id for one in (*gravest.found, *more.found)] == [f"I-000{n}" for n in (5, 2, 4, 1, 6, 3)]
        assert [one.id for one in (await store.incidents(IncidentQuery(entity="FIN", limit=2))).found] == [
            "I-0005",
            "I-0003",
        ]
        assert [one.id for one in (await store.incidents(IncidentQuery(severity=20))).found] == ["I-0005", "I-0002"]
        assert [one.id for one in (await store.incidents(IncidentQuery(text="رقم ٣"))).found] == ["I-0003"]
        assert [one.id for one in (await store.incidents(IncidentQuery(text="i-0004"))).found] == ["I-0004"]
        assert not (await store.incidents(IncidentQuery(statuses=(Status.CLOSED,)))).found
        assert await store.status_counts("FIN") == {Status.NEW: 3}

    async def test_a_merged_incident_is_not_in_the_queue(self, store: Store) -> None:
        one, two = [await store.put_incident(opened(incident(n))) for n in (1, 2)]
        taken, gone = states.merge(one, two, "amal", NOW)
        await store.put_incident(gone)
        await store.put_incident(taken)
        assert [found.id for found in (await store.incidents(IncidentQuery())).found] == [one.id]
        assert await store.status_counts() == {Status.NEW: 1, Status.MERGED: 1}

    async def test_a_healthy_store_has_nothing_to_say(self, store: Store) -> None:
        assert await store.health() == ""
