"""The queue and one incident, as an analyst works with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from cert import incident as states
from cert.incident import Status
from console.house import House


async def test_the_queue_shows_what_is_open_with_counts(browser: Any, campaign: Any, health_only: Any) -> None:
    await browser.login("rima")
    await browser.get("/incidents")
    text = browser.read()
    for word in ("One lure, several bodies", "Health only", "Open 2", "New 2", "Closed 0", "High 85", "Medium 50"):
        assert word in text
    assert "Ministry of Education , Ministry of Finance , Ministry of Health +2" in text


async def test_filters_stand_in_the_address(browser: Any, campaign: Any, health_only: Any) -> None:
    await browser.login("rima")
    for query, shown, hidden in (
        ("severity=high", "One lure", "Health only"),
        ("entity=JUS", "One lure", "Health only"),
        ("q=health", "Health only", "One lure"),
        ("q=I-20261123-BBBBBBBB", "Health only", "One lure"),
        ("status=new&order=severity", "One lure", "nothing of the kind"),
    ):
        await browser.get(f"/incidents?{query}")
        assert shown in browser.read(), query
        assert hidden not in browser.read(), query
    await browser.get("/incidents?status=closed")
    assert "No incident fits" in browser.read()
    await browser.get("/incidents?status=nonsense&severity=nonsense&after=&order=nonsense")
    assert "One lure" in browser.read()


async def test_the_queue_goes_on_page_by_page_and_shows_each_once(browser: Any, pipeline: Any, clock: Any) -> None:
    for number in range(60):
        one = pipeline.alert(1, incident=f"I-{number:04}")
        opened = clock.now() - timedelta(minutes=number)
        await pipeline.put(pipeline.incident(f"I-{number:04}", one, opened=opened), one)
    await browser.login("rima")
    seen: list[str] = []
    path: str | None = "/incidents"
    while path:
        page = (await browser.get(path)).text
        seen += [part.partition('"')[0] for part in page.split('href="/incidents/')[1:]]
        path = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&") or None
    assert seen == [f"I-{number:04}" for number in range(60)]


async def test_a_place_in_the_list_that_is_no_place_is_told(browser: Any, campaign: Any) -> None:
    await browser.login("rima")
    for path in ("/incidents?after=nonsense", f"/incidents/{campaign.id}?after=nonsense"):
        assert (await browser.get(path)).status_code == 400, path


async def test_one_incident_tells_what_why_and_who_has_it(browser: Any, campaign: Any) -> None:
    await browser.login("rima")
    await browser.get(f"/incidents/{campaign.id}")
    text = browser.read()
    for word in (
        "75 ",
        "5 bodies",
        "person1@fin.saba.example",
        "person5@jus.saba.example",
        "0-7H3K9QX2M3",
        "Held",
        "U+202E",
        "Sender noor@freemail.example",
        "lure:abc",
    ):
        assert word in text, word
    assert "\u202e" not in browser.page.text


async def test_a_morning_with_one_incident(browser: Any, campaign: Any, house: House) -> None:
    await browser.login("rima")
    await browser.get(f"/incidents/{campaign.id}")
    await browser.send(f"/incidents/{campaign.id}/status", to="triaged", reason="")
    assert "The status was changed." in browser.read()
    await browser.send(f"/incidents/{campaign.id}/owner", owner="nour")
    assert "The incident was assigned." in browser.read()
    assert "Nour Said" in browser.read()
    await browser.send(f"/incidents/{campaign.id}/note", text="Called Finance.\r\nThey answered <b>yes</b>.")
    assert "They answered <b>yes</b>." in browser.read()
    assert "<b>yes</b>" not in browser.page.text
    await browser.send(f"/incidents/{campaign.id}/status", to="closed", reason="All five were told")
    found = await house.store.incident(campaign.id)
    assert found is not None
    assert (found.status, found.owner, found.resolution) == (Status.CLOSED, "nour", "All five were told")
    kinds = [entry.kind for entry in await house.store.timeline(campaign.id)]
    assert kinds == ["opened", "status", "assigned", "note", "status"]


async def test_closing_needs_a_reason(browser: Any, campaign: Any) -> None:
    await browser.login("rima")
    await browser.get(f"/incidents/{campaign.id}")
    answer = await browser.send(f"/incidents/{campaign.id}/status", to="closed", reason=" ")
    assert answer.status_code == 422
    assert "A reason is needed" in browser.read()


async def test_only_moves_of_the_table_are_offered_and_taken(browser: Any, campaign: Any) -> None:
    await browser.login("rima")
    await browser.get(f"/incidents/{campaign.id}")
    assert '<option value="triaged"' in browser.page.text
    assert '<option value="resolved"' not in browser.page.text
    answer = await browser.send(f"/incidents/{campaign.id}/status", to="resolved", reason="jumped")
    assert answer.status_code == 409
    assert "that move is not open from there" in browser.read()
    answer = await browser.send(f"/incidents/{campaign.id}/status", to="merged")
    assert answer.status_code == 409
    answer = await browser.send(f"/incidents/{campaign.id}/status", to="nonsense")
    assert answer.status_code == 422


async def test_what_another_person_changed_meanwhile_is_told_and_nothing_typed_is_lost(
    browser: Any, another: Any, campaign: Any, house: House
) -> None:
    await browser.login("rima")
    await browser.get(f"/incidents/{campaign.id}")
    await another.login("nour")
    await another.get(f"/incidents/{campaign.id}")
    await another.send(f"/incidents/{campaign.id}/status", to="closed", reason="تكرار")
    answer = await browser.send(f"/incidents/{campaign.id}/status", to="triaged", reason="I take this one")
    assert answer.status_code == 409
    text = browser.read()
    for word in ("Someone changed it meanwhile", "Nour Said", "New → Closed", "تكرار", "Your change was not made"):
        assert word in text, word
    assert 'value="I take this one"' in browser.page.text
    found = await house.store.incident(campaign.id)
    assert found is not None
    assert found.status is Status.CLOSED
    answer = await browser.send(f"/incidents/{campaign.id}/status", to="triaged", reason="I reopen it")
    assert answer.status_code == 200


async def test_what_the_pipeline_added_meanwhile_is_no_conflict(browser: Any, campaign: Any, house: House) -> None:
    await browser.login("rima")
    await browser.get(f"/incidents/{campaign.id}")
    found = await house.store.incident(campaign.id)
    assert found is not None
    joined = states.change(replace(found, alerts=6), house.clock.now(), states.SYSTEM, ("alerts", "", "5", "6"))
    await house.store.put_incident(joined)
    answer = await browser.send(f"/incidents/{campaign.id}/status", to="triaged")
    assert answer.status_code == 200
    assert "The status was changed." in browser.read()


async def test_a_note_is_added_whatever_others_did_meanwhile(browser: Any, another: Any, campaign: Any) -> None:
    await browser.login("rima")
    await browser.get(f"/incidents/{campaign.id}")
    await another.login("nour")
    await another.get(f"/incidents/{campaign.id}")
    await another.send(f"/incidents/{campaign.id}/status", to="triaged")
    await browser.send(f"/incidents/{campaign.id}/note", text="Seen by me as well")
    assert "The note was added." in browser.read()


async def test_an_incident_that_was_merged_leads_to_where_it_went(
    browser: Any, campaign: Any, health_only: Any, house: House
) -> None:
    await house.desk.merge("rima", (campaign.id, 1), (health_only.id, 1), "the same lure")
    await browser.login("rima")
    await browser.get(f"/incidents/{health_only.id}")
    text = browser.read()
    assert "I-20261123-BBBBBBBB was merged into this incident." in text
    assert "One lure, several bodies" in text
    assert "person9@hea.saba.example" in text
    assert "Took in another incident" in text


async def test_an_incident_that_is_not_there_says_so(browser: Any) -> None:
    await browser.login("rima")
    assert (await browser.get("/incidents/I-0")).status_code == 404
    assert "There is no such incident" in browser.read()


async def test_acts_and_searches_are_in_the_audit_chain_without_what_names_people(
    browser: Any, campaign: Any, audit_acts: Any, house: House
) -> None:
    await browser.login("rima")
    await browser.get("/incidents?q=amal%40finance.saba.example&severity=high")
    await browser.get(f"/incidents/{campaign.id}")
    await browser.send(f"/incidents/{campaign.id}/status", to="triaged")
    acts = audit_acts()
    assert ("rima", "listed incidents", "/incidents?severity=high") in acts
    assert ("rima", "opened an incident", f"/incidents/{campaign.id}") in acts
    assert ("rima", "incident.status", campaign.id) in acts
    assert b"amal@" not in house.audit.path.read_bytes()


async def test_the_store_being_down_is_told_and_not_mistaken_for_quiet(browser: Any, house: House, relay: Any) -> None:
    await browser.login("rima")
    await house.store.close()
    for path in ("/incidents", "/"):
        answer = await browser.get(path)
        assert answer.status_code in {200, 500, 503}
        assert "enjoy the quiet" not in answer.text
