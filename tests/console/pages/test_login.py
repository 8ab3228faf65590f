"""Signing in and out, and what protects it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from console.house import House
from hudhud.clock import VirtualClock
from hudhud.people import People
from hudhud.settings import Settings


async def test_a_person_signs_in_and_out(browser: Any) -> None:
    answer = await browser.get("/incidents")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fincidents"
    answer = await browser.login("rima", following="/incidents")
    assert answer.status_code == 200
    assert "<h1>Incidents</h1>" in answer.text
    answer = await browser.send("/logout")
    assert "You are signed out." in answer.text
    assert (await browser.get("/incidents")).status_code == 303


async def test_a_wrong_password_and_an_unknown_login_read_the_same(browser: Any) -> None:
    wrong = await browser.login("rima", "wrong")
    unknown = await browser.login("zzz", "wrong")
    assert wrong.status_code == unknown.status_code == 401
    assert "Login name and password do not fit." in wrong.text
    assert wrong.text.replace("rima", "zzz").partition("<main")[2].replace(
        _token(wrong.text), ""
    ) == unknown.text.partition("<main")[2].replace(_token(unknown.text), "")


def _token(html: str) -> str:
    return html.partition('name="token" value="')[2].partition('"')[0]


async def test_cookies_are_bound_to_the_host_and_out_of_reach_of_scripts(browser: Any) -> None:
    await browser.get("/login")
    form = {"login": "rima", "password": "correct horse battery", "next": "/", "token": _token(browser.page.text)}
    answer = await browser.client.post("/login", data=form)
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith("__Host-hudhud="))
    for word in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert word in cookie
    assert "Domain" not in cookie


async def test_twenty_failures_close_the_door_for_an_hour(browser: Any, clock: VirtualClock) -> None:
    for _ in range(20):
        assert (await browser.login("rima", "wrong")).status_code == 401
    blocked = await browser.login("rima")
    assert blocked.status_code == 429
    assert "Try again in" in blocked.text
    await clock.advance(3601)
    assert (await browser.login("rima")).status_code == 200


async def test_an_idle_session_ends_and_a_busy_one_ends_after_its_longest_time(
    browser: Any, clock: VirtualClock
) -> None:
    await browser.login("rima")
    await clock.advance(1801)
    assert (await browser.get("/")).status_code == 303
    await browser.login("rima")
    for _ in range(25):
        await clock.advance(1700)
        answer = await browser.get("/keys")
    assert answer.status_code == 200
    await clock.advance(1700)
    assert (await browser.get("/keys")).status_code == 303


async def test_a_session_is_kept_by_its_hash_only(browser: Any, house: House) -> None:
    await browser.login("rima")
    identity = browser.client.cookies["__Host-hudhud"]
    files = b"".join(path.read_bytes() for path in house.settings.path("console").iterdir())
    assert identity.encode() not in files


async def test_signing_in_again_ends_the_session_before(browser: Any) -> None:
    await browser.login("rima")
    first = browser.client.cookies["__Host-hudhud"]
    await browser.get("/keys")
    browser.client.cookies.delete("__Host-hudhud")
    await browser.login("rima")
    assert browser.client.cookies["__Host-hudhud"] != first


async def test_somebody_taken_from_the_file_is_out_at_once(browser: Any, house: House) -> None:
    await browser.login("rima")
    path = house.settings.path("people.toml")
    text = path.read_text(encoding="utf-8")
    start = text.index("[person.rima]")
    path.write_text(text[:start] + text[text.index("[person.nour]") :], encoding="utf-8")
    assert (await browser.get("/keys")).status_code == 303


async def test_a_broken_people_file_leaves_the_last_good_one_in_force(browser: Any, house: House) -> None:
    await browser.login("rima")
    house.settings.path("people.toml").write_text("[person.", encoding="utf-8")
    assert (await browser.get("/keys")).status_code == 200


@pytest.mark.parametrize(
    "there",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/%0d%0aSet-Cookie:x",
        "http:evil",
    ],
)
async def test_nobody_is_sent_elsewhere_after_signing_in(browser: Any, there: str) -> None:
    await browser.get("/login", **{})
    form = {"login": "rima", "password": "correct horse battery", "next": there, "token": _token(browser.page.text)}
    answer = await browser.client.post("/login", data=form)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/")
    assert not answer.headers["location"].startswith(("//", "/\\"))


async def test_a_link_from_elsewhere_is_asked_again_from_here(browser: Any) -> None:
    """The strict cookie does not come with a link from a mail; the page of our own brings it."""
    answer = await browser.client.get("/incidents", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/incidents"' in answer.text


async def test_failed_attempts_are_recorded_without_what_was_typed(browser: Any, house: House, audit_acts: Any) -> None:
    await browser.login("my-password-by-mistake", "x")
    await browser.login("rima", "x")
    acts = [(actor, act) for actor, act, _ in audit_acts()]
    assert acts == [("unknown", "failed to sign in"), ("rima", "failed to sign in")]
    assert b"my-password-by-mistake" not in house.audit.path.read_bytes()


def test_an_unknown_login_costs_as_much_as_a_wrong_password(settings: Settings) -> None:
    people = People.load(settings.path("people.toml"))

    def cost(login: str) -> float:
        times = []
        for _ in range(5):
            start = time.thread_time()
            assert people.verify(login, "wrong") is None
            times.append(time.thread_time() - start)
        return min(times)

    assert cost("nobody-has-this") > cost("rima") / 2


async def test_the_language_follows_person_cookie_and_browser(browser: Any) -> None:
    assert 'lang="ar" dir="rtl"' in (await browser.get("/login", **{"accept-language": "fr"})).text
    assert 'lang="en" dir="ltr"' in (await browser.get("/login", **{"accept-language": "en-GB,en;q=0.9"})).text
    answer = await browser.send("/language", to="en", next="/login")
    assert 'lang="en" dir="ltr"' in answer.text
    answer = await browser.login("nour")
    assert 'lang="ar" dir="rtl"' in answer.text
    answer = await browser.send("/language")
    assert 'lang="en"' in answer.text
    await browser.send("/logout")
    browser.client.cookies.clear()
    assert 'lang="en"' in (await browser.login("nour")).text
