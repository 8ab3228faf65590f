"""Who may open what: the cross product of roles and pages, and how far an officer sees (design §8.5)."""

from __future__ import annotations

from typing import Any

import pytest

from console.app import PAGES
from console.person import ALL_ROLES, Scope, scope
from hudhud.people import Person

LOGIN_OF = {"analyst": "rima", "officer": "dalia", "administrator": "omar", "auditor": "tariq"}


@pytest.mark.parametrize("role", sorted(ALL_ROLES))
async def test_each_role_opens_exactly_its_pages(role: str, browser: Any, relay: Any, campaign: Any) -> None:
    await browser.login(LOGIN_OF[role])
    token = browser.page.text.partition('name="token" value="')[2].partition('"')[0]
    for page in PAGES:
        if page.roles is None or page.path == "/logout":
            continue
        path = page.path.replace("{id}", campaign.id)
        if page.method == "GET":
            answer = await browser.get(path)
        else:
            answer = await browser.client.post(path, data={"token": token, "reason": "", "text": ""})
        refused = "This is not open to you" in answer.text and "Your role does not include this" in answer.text
        assert refused is (role not in page.roles), (page.method, path, answer.status_code)
        assert (answer.status_code == 403) >= refused


async def test_nobody_opens_a_page_without_signing_in(browser: Any) -> None:
    for page in PAGES:
        if page.roles is None:
            continue
        path = page.path.replace("{id}", "x")
        answer = await (browser.get(path) if page.method == "GET" else browser.client.post(path, data={"token": "x"}))
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/login"), path


async def test_an_auditor_finds_no_form_to_act_with(browser: Any, relay: Any, campaign: Any) -> None:
    held = await relay.hold()
    await browser.login("tariq")
    for path in (
        "/",
        "/incidents",
        f"/incidents/{campaign.id}",
        "/held",
        f"/held/{held}",
        "/exemptions",
        "/rules",
    ):
        assert (await browser.get(path)).status_code == 200
        assert browser.actions() == [], path


def test_every_page_that_is_not_public_tells_the_audit_chain() -> None:
    assert not [page.path for page in PAGES if page.roles is not None and not page.act]


def test_only_reading_roles_see_the_whole_country() -> None:
    def person(*roles: str, entity: str | None = None) -> Person:
        return Person("x", "x", "x", frozenset(roles), entity, "ar")  # type: ignore[arg-type]

    assert scope(person("analyst")) == Scope(None)
    assert scope(person("officer", entity="FIN")) == Scope("FIN")
    assert scope(person("officer", "analyst", entity="FIN")) == Scope(None)
    assert not scope(person("officer")).covers(["FIN"])
    assert not scope(person("officer")).covers([""])
    assert not scope(person("officer", entity="FIN")).covers(["INT"])
    assert scope(person("officer", entity="FIN")).covers(["INT", "FIN"])


async def test_an_officer_sees_her_own_entity_and_nothing_of_another(
    browser: Any, campaign: Any, health_only: Any
) -> None:
    await browser.login("dalia")
    await browser.get("/incidents")
    text = browser.read()
    assert "One lure, several bodies" in text
    assert "Health only" not in text
    assert "Ministry of Health" not in text
    await browser.get("/incidents?entity=HEA")  # asking for another changes nothing
    assert "Health only" not in browser.read()
    assert (await browser.get(f"/incidents/{health_only.id}")).status_code == 404
    await browser.get(f"/incidents/{campaign.id}")
    text = browser.read()
    assert "person1@fin.saba.example" in text
    for other in ("Interior", "Health", "Education", "Justice", "person2", "INT", "HEA", "lure:abc"):
        assert other not in text, other
    assert "You see what concerns your entity." in text


async def test_an_officer_does_not_read_what_analysts_write_of_others(
    browser: Any, another: Any, campaign: Any
) -> None:
    await another.login("rima")
    await another.get(f"/incidents/{campaign.id}")
    await another.send(f"/incidents/{campaign.id}/note", text="Interior lost a password")
    await another.send(f"/incidents/{campaign.id}/status", to="triaged", reason="Interior confirmed it")
    await browser.login("dalia")
    await browser.get(f"/incidents/{campaign.id}")
    assert "Status changed" in browser.read()
    assert "Interior" not in browser.read()
    await browser.send(f"/incidents/{campaign.id}/note", text="Our users were told")
    assert "Our users were told" in browser.read()
    await another.get(f"/incidents/{campaign.id}")
    assert "Our users were told" in another.read()


async def test_an_officer_writes_into_no_incident_of_another_entity(
    browser: Any, campaign: Any, health_only: Any
) -> None:
    await browser.login("dalia")
    await browser.get(f"/incidents/{campaign.id}")
    form = {
        "token": browser.page.text.partition('name="token" value="')[2].partition('"')[0],
        "text": "x",
        "version": "1",
    }
    answer = await browser.client.post(f"/incidents/{health_only.id}/note", data=form)
    assert answer.status_code == 404


async def test_an_officer_sees_held_mail_of_her_own_entity_only(browser: Any, relay: Any) -> None:
    own, other = await relay.hold(), await relay.hold("huda@health.saba.example")
    await browser.login("dalia")
    await browser.get("/held")
    assert own in browser.read()
    assert other not in browser.read()
    assert (await browser.get(f"/held/{other}")).status_code == 404
    await browser.get(f"/held/{own}")
    assert browser.actions() == []


async def test_an_officer_without_an_entity_sees_nothing(browser: Any, relay: Any, campaign: Any) -> None:
    held = await relay.hold()
    await browser.login("nobody")
    for path in ("/incidents?status=all", "/held", "/exemptions?state=all", "/"):
        assert (await browser.get(path)).status_code == 200
        assert "One lure" not in browser.read()
        assert held not in browser.read()
