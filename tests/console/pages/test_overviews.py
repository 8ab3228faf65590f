"""The day's picture, the rules, the services, and the public page of a rule."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mail.checks
from cert.store import Bucket
from console.charts import bar, columns
from console.counts import by_days, webmail
from console.house import House
from console.refusals import EXPLANATIONS
from hudhud.clock import VirtualClock
from hudhud.event import Event

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


async def test_the_home_shows_the_days_picture(browser: Any, relay: Any, campaign: Any, pipeline: Any) -> None:
    await relay.hold()
    relayed = {"event.kind": "event", "event.dataset": "hudhud.mail", "organization.id": "FIN"}
    counted = {"event.kind": "alert", "rule.id": "HS-WEBMAIL-COUNT"}
    await pipeline.events(
        {"event.kind": "alert", "event.dataset": "hudhud.alert", "organization.id": "INT", "rule.id": "HS-SMTP"},
        relayed | {"event.action": "refused", "rule.id": ["H-NAT-02"]},
        relayed | {"event.action": "delivered"},
        counted | {"organization.id": "EDU", "hudhud.webmail.hosts": 6, "hudhud.webmail.logins": 14},
        counted | {"organization.id": "JUS", "hudhud.webmail.hosts": 4, "hudhud.webmail.logins": 99},
    )
    await browser.login("rima")
    text = browser.read()
    for word in (
        "1 open incidents",
        "1 held messages",
        "1 refusals today",
        "Ministry of Interior 1",
        "H-NAT-02 1",
        "Ministry of Education 14",
        "today: 1",
    ):
        assert word in text, word
    assert "99" not in text
    assert "Ministry of Justice" not in text.partition("Log-ins to foreign webmail")[2]


async def test_the_home_of_an_officer_counts_her_entity_only(browser: Any, relay: Any, pipeline: Any) -> None:
    await pipeline.events(
        {"event.kind": "alert", "event.dataset": "hudhud.alert", "organization.id": "INT", "rule.id": "HS-SMTP"},
        {"event.kind": "alert", "event.dataset": "hudhud.alert", "organization.id": "FIN", "rule.id": "HS-SMTP"},
    )
    await browser.login("dalia")
    assert "Ministry of Finance 1" in browser.read()
    assert "Interior" not in browser.read()
    assert "today: 1" in browser.read()


async def test_the_home_stands_while_the_relay_is_down(browser: Any, campaign: Any) -> None:
    await browser.login("rima")
    assert browser.page.status_code == 200
    assert "The relay cannot be asked at the moment" in browser.read()
    assert "One lure" in browser.read()


def test_days_without_alerts_are_there_too() -> None:
    days = by_days([Bucket("2026-11-20T00:00:00.000000Z", 4)], NOW.replace(hour=0))
    assert len(days) == 14
    assert days[-1] == ("2026-11-23", 0)
    assert ("2026-11-20", 4) in days


def test_webmail_is_added_up_without_hours_of_fewer_than_five_hosts() -> None:
    def event(entity: object, hosts: object, logins: object) -> Event:
        return Event(
            "x", NOW, {"organization.id": entity, "hudhud.webmail.hosts": hosts, "hudhud.webmail.logins": logins}
        )  # type: ignore[dict-item]

    counted = webmail(
        [event("EDU", 5, 7), event("EDU", 9, 3), event("FIN", 4, 50), event(None, 9, 9), event("INT", None, 9)], 5
    )
    assert counted == (("EDU", 10),)


def test_bars_begin_on_the_reading_side() -> None:
    assert 'x="0" width="120.0"' in bar(1, 2, "ltr")
    assert 'x="120.0" width="120.0"' in bar(1, 2, "rtl")
    assert 'width="0.0"' in bar(0, 0, "ltr")
    assert "<svg" in columns([], "rtl")
    assert columns([("<b>", 1)], "ltr").count("<b>") == 0


async def test_the_rules_tell_release_signers_and_hits(browser: Any, relay: Any, pipeline: Any) -> None:
    relay.stop("HY-0001")
    await pipeline.events({"event.dataset": "hudhud.mail", "event.action": "held", "rule.id": ["HY-0001"]})
    await browser.login("rima")
    await browser.get("/rules")
    text = browser.read()
    for word in (
        "1 rules are in force.",
        "Release 1",
        "admin1, admin2",
        "HY-0001",
        "Program with a document's name",
        "Stopped itself",
        "Let it run again",
    ):
        assert word in text, word
    await browser.send("/rules/HY-0001/unstop")
    assert "The rule runs again." in browser.read()
    assert not relay.stops.stopped
    await browser.get("/rules?q=nothing-like-it")
    assert "No rule fits." in browser.read()


async def test_the_rules_stand_while_relay_and_store_are_down(browser: Any) -> None:
    await browser.login("tariq")
    assert (await browser.get("/rules")).status_code == 200
    assert "rules that stopped themselves are not shown" in browser.read()


async def test_the_services_tell_what_is_ill(
    browser: Any, relay: Any, house: House, pipeline: Any, clock: VirtualClock
) -> None:
    run = house.settings.path("run")
    run.mkdir()
    (run / "desk.json").write_text('{"pid": 2147483646, "workers": [], "ready": true}')
    await pipeline.events(
        {"event.dataset": "hudhud.flow", "observer.name": 'sensor "1"', "observer.type": "sensor"},
        at=NOW - timedelta(hours=3),
    )
    await browser.login("omar")
    await browser.get("/services")
    text = browser.read()
    for word in (
        "Relay (control) Working 1 workers.",
        "Store (sqlite) Working",
        "Desk (pipeline) Not reachable",
        "Intake Not known",
        'sensor "1" Sensor Needs attention',
        "3 h 0 min",
    ):
        assert word in text, word


async def test_a_relay_that_is_down_is_seen_on_the_services_page(browser: Any) -> None:
    await browser.login("omar")
    await browser.get("/services")
    assert "Relay (control) Not reachable" in browser.read()


async def test_the_page_of_a_rule_is_open_to_everybody_in_both_languages(browser: Any) -> None:
    answer = await browser.get("/r/H-NAT-02")
    assert answer.status_code == 200
    assert "official mail stays national" in answer.text
    assert "البريد الرسمي يبقى وطنيًا" in answer.text
    assert answer.text.index("official mail stays") < answer.text.index("البريد الرسمي يبقى")
    assert (await browser.get("/r/h-nat-02")).status_code == 200


async def test_the_page_of_a_detection_rule_tells_its_title_and_nothing_of_how_it_works(browser: Any) -> None:
    answer = await browser.get("/r/HY-0001")
    assert "Program with a document&#39;s name" in answer.text
    assert "برنامج باسم مستند" in answer.text
    assert "filename" not in answer.text


@pytest.mark.parametrize("name", ["H-NO-99", "%3Cscript%3E", "..%2f..", "x" * 3000])
async def test_a_rule_that_is_none_is_not_echoed(browser: Any, name: str) -> None:
    answer = await browser.get(f"/r/{name}")
    assert answer.status_code == 404
    assert "<script>" not in answer.text
    assert "x" * 50 not in answer.text


def test_every_policy_rule_of_the_relay_has_its_page() -> None:
    folder = Path(str(mail.checks.__file__)).parent
    named = {
        rule
        for path in [*folder.glob("*.py"), folder.parent / "facts.py"]
        for rule in re.findall(r'"(H-[A-Z]+-\d+)"', path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= set(EXPLANATIONS)
