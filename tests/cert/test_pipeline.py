"""From events to few, right, explained incidents."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from cert.attach import Attach
from cert.desk import Desk
from cert.incident import Status
from cert.reach import reach
from cert.sqlite import SqliteStore
from cert.store import Alert, AlertQuery, Query, Store, StoreDown
from cert.words import detector
from hudhud.audit import Audit
from hudhud.clock import VirtualClock
from hudhud.journal import Cursor, Record
from hudhud.keys import SigningKey
from tests.cert.morning import LURE, MINISTRIES, Morning, mail, sensed
from tests.conformance.store import NOW

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def morning(tmp_path: Path) -> AsyncIterator[Morning]:
    clock = VirtualClock(NOW + 2 * HOUR)
    store = SqliteStore(tmp_path / "store", clock)
    made = Morning(store, clock, tmp_path)
    yield made
    made.close()
    await store.close()


async def alerts_of(morning: Morning, *ids: str) -> tuple[Alert, ...]:
    return (await morning.store.alerts(AlertQuery(incidents=ids, limit=1000))).found


def campaign(count: int = 5) -> list[dict[str, object]]:
    return [
        mail(code, at=n * MINUTE, lure=LURE, queue_id=f"0-{code}") for n, code in enumerate(list(MINISTRIES)[:count])
    ]


async def test_one_lure_to_five_ministries_is_one_incident_with_five_alerts(morning: Morning) -> None:
    await morning.see(*campaign())
    (incident,) = await morning.incidents()
    alerts = await alerts_of(morning, *incident.ids)
    assert len([one for one in alerts if one.source == "hudhud-relay"]) == 5
    assert [one.rule for one in alerts if one.source == "correlation"] == ["HC-0001"]
    assert incident.entities == ("EDU", "FIN", "HEA", "INT", "JUS")
    assert incident.title_en == "One lure sent to several bodies"
    assert sum(reason.points for reason in incident.reasons) == incident.severity


async def test_who_already_has_it_is_told_alerted_or_not(morning: Morning) -> None:
    passed = mail("TEL", "accepted", lure=LURE, queue_id="0-T", disposition="accept")
    released = mail("FIN", "released", at=HOUR, queue_id="0-FIN")
    await morning.see(*campaign(2), passed, released)
    (incident,) = await morning.incidents()
    assert await reach(morning.store, incident) == {
        "held": ["head@interior.saba.example"],
        "accepted": ["head@telecom.saba.example"],
        "released": ["head@finance.saba.example"],
    }


async def test_a_held_document_is_an_incident_with_its_name_and_class(morning: Morning) -> None:
    held = mail("HEA", lure=["f:1234"])
    held["rule"] = {"id": ["HY-0101"]}
    held["email"] = {
        "to": {"address": ["a@health.saba.example"]},
        "attachments": {"file": {"name": ["report.doc"], "hash": {"sha256": ["ab" * 32]}}},
    }
    await morning.see(held)
    (incident,) = await morning.incidents()
    (alert,) = await alerts_of(morning, incident.id)
    assert alert.facts["email.attachments.file.name"] == ["report.doc"]
    assert incident.rsit == "malicious-code:malware-distribution"
    assert set(incident.keys) == {"lure:f:1234", f"file:{'ab' * 32}"}


async def test_alerts_of_one_rule_and_body_within_a_day_are_one_incident(morning: Morning) -> None:
    ends = {"source": {"ip": "192.0.2.33"}, "destination": {"ip": "198.51.100.25", "port": 25}}
    seen = [sensed("HS-SMTP-EGRESS", at=n * HOUR, **ends) for n in range(-6, 1)]
    await morning.see(*seen, sensed("HS-SMTP-EGRESS", "INT", source={"ip": "192.0.2.65"}), source="sensor")
    found = sorted((one.entities, one.alerts, one.threat) for one in await morning.incidents())
    assert found == [(("FIN",), 7, "relay-bypass"), (("INT",), 1, "relay-bypass")]


async def test_a_count_of_webmail_is_no_incident_and_names_nobody(morning: Morning) -> None:
    careless = sensed("HS-WEBMAIL-COUNT", source={"ip": "192.0.2.50"}, user={"name": "amal"}, host={"name": "pc7"})
    await morning.see(careless, source="sensor")
    assert not await morning.incidents()
    (event,) = (await morning.store.search(Query("rule.id:HS-WEBMAIL-COUNT"))).found
    assert not [name for name in event.fields if name.startswith(("source.", "user.", "host.", "related."))]


async def test_one_scan_from_outside_is_no_incident(morning: Morning) -> None:
    scan = sensed("HS-PORT-SCAN", severity=40, source={"ip": "203.0.113.9"})
    await morning.see(scan, source="sensor")
    assert not await morning.incidents()


def test_a_detector_that_no_rule_names_has_an_arabic_title() -> None:
    assert detector("ar", "HS-PORT-SCAN", "Port scan") == "بحث عن خدمات مفتوحة"
    assert detector("ar", "X-1", "theirs") == "theirs"


async def test_a_rule_that_stopped_is_told_to_the_administrators(morning: Morning) -> None:
    stopped = mail("FIN", "rule-stopped")
    await morning.see(stopped)
    (incident,) = await morning.incidents()
    assert incident.audience == "administrators"
    assert not morning.notices()


async def test_an_officer_event_of_no_rule_is_stored_and_no_alert(morning: Morning) -> None:
    await morning.see(mail("FIN", "accepted"))
    assert not await morning.incidents()
    assert len((await morning.store.search(Query("organization.name:المالية"))).found) == 1


async def test_the_same_batch_again_changes_nothing(morning: Morning) -> None:
    await morning.see(*campaign())
    before = await morning.incidents()
    await morning.see(*campaign())
    assert await morning.incidents() == before
    assert len((await morning.store.search(Query())).found) == 5


async def test_more_of_it_updates_the_incident_and_says_so(morning: Morning) -> None:
    await morning.see(*campaign(2))
    await morning.see(mail("JUS", at=3 * HOUR, lure=LURE[:1]), first=50)
    (incident,) = await morning.incidents()
    assert (incident.alerts, incident.last) == (3, NOW + 3 * HOUR)
    told = [(e.kind, e.before, e.after) for e in await morning.store.timeline(incident.id)]
    assert ("alerts", "2", "3") in told


async def test_a_late_alert_that_ties_two_incidents_makes_one_and_the_other_id_leads_there(morning: Morning) -> None:
    await morning.see(mail("FIN", lure=["t0:x"]))
    await morning.clock.advance(60)
    await morning.see(mail("INT", lure=["t1:y"]), first=2)
    first, second = sorted(await morning.incidents(), key=lambda one: one.opened)
    await morning.see(mail("HEA", at=-HOUR, lure=["t0:x", "t1:y"]), first=3)
    (left,) = await morning.incidents()
    assert (left.id, left.alerts, left.merged) == (first.id, 3, (second.id,))
    assert await morning.store.current(second.id) == left


async def test_a_closed_incident_is_linked_not_reopened(morning: Morning, desk: Desk) -> None:
    await morning.see(mail("FIN", lure=LURE))
    (old,) = await morning.incidents()
    await desk.change_status("amal", old.id, old.version, Status.CLOSED, "a test of the fire drill")
    await morning.see(mail("INT", at=HOUR, lure=LURE), first=2)
    await morning.see(mail("JUS", at=HOUR, lure=LURE), first=3)
    found = {one.status: one for one in await morning.incidents()}
    assert set(found) == {Status.NEW, Status.CLOSED}
    assert (found[Status.NEW].alerts, found[Status.NEW].links) == (3, (old.id,))  # two mails and their campaign
    assert found[Status.CLOSED].links == (found[Status.NEW].id,)
    assert found[Status.CLOSED].alerts == 1


async def test_what_people_parted_stays_apart(morning: Morning, desk: Desk) -> None:
    await morning.see(mail("FIN", lure=["t0:x"]), mail("INT", lure=["t1:y"]))
    one, two = await morning.incidents()
    both = await desk.merge("amal", (one.id, one.version), (two.id, two.version), "looks alike")
    assert both.alerts == 2
    parted = await desk.undo_merge("amal", (one.id, both.version), two.id, "they are not")
    assert sorted(found.alerts for found in await morning.incidents()) == [1, 1]
    await morning.see(mail("HEA", lure=["t0:x", "t1:y"]), first=9)
    assert len(await morning.incidents()) == 2
    assert parted.apart == (two.id,)


async def test_a_correlation_alone_opens_an_incident(morning: Morning) -> None:
    refused = [
        {**mail("FIN", "refused", at=n * MINUTE, account="amal@finance.saba.example"), "rule": {"id": ["H-NAT-02"]}}
        for n in range(10)
    ]
    await morning.see(*refused[:9])
    assert not await morning.incidents()
    await morning.see(refused[9], first=20)
    (incident,) = await morning.incidents()
    assert (incident.rules, incident.threat) == (("HC-0003",), "account-takeover")


async def test_bodies_are_told_once_in_both_languages(morning: Morning) -> None:
    await morning.see(*campaign(3))
    await morning.see(*campaign(3))
    assert len(morning.notices()) == 3
    text = (morning.folder / "outbox" / morning.notices()[0]).read_bytes()
    assert b"TLP:AMBER" in text
    assert b"To: security@finance.saba.example" in text


@pytest.mark.parametrize("seed", range(4))
async def test_the_order_of_events_does_not_change_the_incidents(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    documents = _much(chance)
    partitions = []
    for turn in range(2):
        clock = VirtualClock(NOW + 48 * HOUR)
        store = SqliteStore(tmp_path / f"store-{turn}", clock)
        here = Morning(store, clock, tmp_path / str(turn))
        records = here.records(documents)
        if turn:
            chance.shuffle(records)
        while records:
            size = chance.randint(1, 9)
            await here.pipeline.work(records[:size])
            records = records[size:]
            await clock.advance(1)
        partitions.append(await here.partition())
        here.close()
        await store.close()
    assert partitions[0] == partitions[1]


def _much(chance: random.Random) -> list[dict[str, object]]:
    """Lures that overlap in part, alerts of sensors, refusals: some connected, some a day and more apart."""
    found = []
    for _ in range(40):
        code, at = chance.choice(list(MINISTRIES)), timedelta(minutes=chance.randint(0, 60 * 40))
        found.append(
            chance.choice(
                (
                    mail(code, at=at, lure=chance.sample(["t0:a", "t1:b", "t2:c", "t3:d", "t4:e", "t5:f"], 2)),
                    sensed("HS-SMTP-EGRESS", code, at, source={"ip": "192.0.2.33"}),
                    sensed("HS-CLEAR-CREDENTIALS", code, at, source={"ip": "192.0.2.33"}),
                )
            )
        )
    return found


class Flaky:
    """A store that goes away at random calls, before or after it did what was asked."""

    def __init__(self, store: Store, chance: random.Random, share: float) -> None:
        self._store, self._chance, self.share = store, chance, share

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*args: object) -> object:
            if self._chance.random() < self.share:
                raise StoreDown("away before")
            answer = await method(*args)
            if self._chance.random() < self.share:
                raise StoreDown("away after")
            return answer

        return call


@pytest.mark.parametrize("seed", range(5))
async def test_a_store_that_goes_away_anywhere_loses_nothing_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    documents = _much(chance)
    results = []
    for turn, share in enumerate((0.0, 0.025)):
        clock = VirtualClock(NOW + 48 * HOUR)
        store = SqliteStore(tmp_path / f"store-{turn}", clock)
        flaky = Flaky(store, chance, share)
        as_store = cast("Store", flaky)
        here = Morning(as_store, clock, tmp_path / str(turn))
        records = here.records(documents)
        cursor = Cursor(tmp_path / f"cursor-{turn}")
        for _ in range(2000):
            batch = [one for one in records if one.sequence > cursor.position][:7]
            if not batch:
                break
            try:
                await Attach(as_store, clock).mend()
                await here.pipeline.work(batch)
                cursor.advance(batch[-1].sequence)
            except StoreDown:
                continue
        flaky.share = 0.0
        found = await here.incidents()
        counted = {one.id: len(await alerts_of(here, *one.ids)) for one in found}
        assert all(one.alerts == counted[one.id] for one in found)
        results.append((await here.partition(), len((await store.search(Query(limit=500))).found)))
        assert not (await store.alerts(AlertQuery(incidents=("",)))).found
        here.close()
        await store.close()
    assert results[0] == results[1]


async def test_what_cannot_be_stored_is_a_dead_letter_with_its_reason(morning: Morning) -> None:
    strange = {**mail(), "@timestamp": "9000-01-01T00:00:00Z"}
    await morning.see(strange, mail("INT"))
    (letter,) = morning.dead()
    assert "no time of an event" in letter.reason
    assert len(await morning.incidents()) == 1


async def test_a_damaged_line_of_the_journal_is_a_dead_letter_and_holds_up_nothing(morning: Morning) -> None:
    good = morning.records([mail()])
    await morning.pipeline.work([Record(5, b"{not json"), replace(good[0], sequence=6)])
    assert [letter.sequence for letter in morning.dead()] == [5]
    assert len(await morning.incidents()) == 1


async def test_an_event_that_makes_us_fail_is_a_dead_letter_and_holds_up_nothing(morning: Morning) -> None:
    bad = {**mail("INT"), "event": {"kind": "event", "created": "9999-12-31T23:59:59-14:00"}}
    records = morning.records([bad, mail()])
    worse = b'{"fields":{"event.id":[]},"timestamp":7,"received":7}'
    await morning.pipeline.work([*records, Record(9, worse)])
    assert len(morning.dead()) == 2
    assert len(await morning.incidents()) == 1


@pytest.fixture
def desk(morning: Morning) -> Desk:
    key = SigningKey.generate(morning.folder / "keys" / "node.key")
    return Desk(morning.store, Audit(morning.folder / "cert.chain", key, "cert"), morning.clock)
