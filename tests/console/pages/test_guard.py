"""What every answer carries, and which forms are taken."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Headers

from console.app import PAGES
from console.guard import CONTENT_SECURITY_POLICY, HEADERS, is_ours, safe_path


@pytest.mark.parametrize("path", ["/login", "/r/H-NAT-02", "/nothing-here", "/static/base.css", "/"])
async def test_every_answer_carries_the_headers(browser: Any, path: str) -> None:
    answer = await browser.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["cache-control"] == (
        "no-store" if "static" not in path else "public, max-age=31536000, immutable"
    )


def test_the_content_policy_lets_nothing_in_from_elsewhere_and_no_script() -> None:
    directives = dict(one.split(" ", 1) for one in CONTENT_SECURITY_POLICY.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["frame-ancestors"] == "'none'"
    assert "script-src" not in directives
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


async def test_a_fault_carries_the_headers_too_and_tells_nothing(browser: Any, house: Any) -> None:
    await browser.login("rima")
    house.audit.close()  # what cannot be recorded is not shown
    answer = await browser.get("/keys")
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "Traceback" not in answer.text
    assert "console.chain" not in answer.text


async def test_no_form_is_taken_without_its_token(browser: Any) -> None:
    await browser.login("rima")
    session = browser.client.cookies["__Host-hudhud"]
    for page in PAGES:
        for token in ("", "0" * 64):
            if page.method != "POST" or (page.roles is not None and "analyst" not in page.roles):
                continue
            form = {"token": token, "login": "rima", "to": "en", "reason": "long enough"}
            answer = await browser.client.post(page.path.replace("{id}", "x"), data=form)
            assert answer.status_code == 403, page.path
            assert "This form has expired" in answer.text
    assert browser.client.cookies.get("__Host-hudhud") == session
    assert (await browser.get("/keys")).status_code == 200


async def test_the_token_of_another_browser_does_not_fit(browser: Any, house: Any) -> None:
    other = type(browser)(house)
    await other.login("nour")
    theirs = other.page.text.partition('name="token" value="')[2].partition('"')[0]
    await browser.login("rima")
    answer = await browser.client.post("/logout", data={"token": theirs})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("sent", "ours"),
    [
        ({}, True),
        ({"origin": "https://console.test"}, True),
        ({"origin": "https://console.test", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "http://console.test"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site", "origin": "https://console.test"}, False),
    ],
)
def test_a_form_comes_from_our_own_pages(sent: dict[str, str], ours: bool) -> None:
    assert is_ours(Headers({"host": "console.test", **sent})) is ours


@pytest.mark.parametrize("path", ["/", "/incidents?status=all&entity=FIN", "/r/H-NAT-02"])
def test_a_path_of_ours_is_kept(path: str) -> None:
    assert safe_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "incidents",
        "//evil.example",
        "/\\evil",
        "https://evil.example",
        "/a b",
        "/<x>",
        "/ü",
        "/a\nb",
        "/x@evil",
        "/" + "a" * 3000,
    ],
)
def test_any_other_path_leads_home(path: str) -> None:
    assert safe_path(path) == "/"


async def test_a_large_body_is_refused(browser: Any) -> None:
    answer = await browser.client.post(
        "/login", content=b"a=" + b"b" * 70_000, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
        (b"login=%FF%FE", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=b" % n for n in range(100)), "application/x-www-form-urlencoded", 400),
        (b"login=" + b"x" * 5000, "application/x-www-form-urlencoded", 413),
        ("login=ü".encode(), "application/x-www-form-urlencoded", 400),
    ],
)
async def test_what_is_no_plain_form_is_refused(browser: Any, content: bytes, kind: str, status: int) -> None:
    answer = await browser.client.post("/login", content=content, headers={"content-type": kind})
    assert answer.status_code == status


async def test_an_address_that_does_not_exist_says_so_in_both_languages(browser: Any) -> None:
    answer = await browser.get("/nothing", **{"accept-language": "en"})
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    assert "لا توجد صفحة" in (await browser.get("/nothing", **{"accept-language": "ar"})).text


async def test_there_is_no_script_and_no_style_attribute_in_any_page(browser: Any, relay: Any, campaign: Any) -> None:
    await browser.login("rima")
    for path in (
        "/",
        "/incidents",
        f"/incidents/{campaign.id}",
        "/held",
        "/exemptions",
        "/exemptions/new",
        "/rules",
        "/services",
        "/keys",
    ):
        text = (await browser.get(path)).text
        assert browser.page.status_code == 200, path
        for forbidden in ("<script", " style=", " onclick", "javascript:", "http://"):
            assert forbidden not in text, (path, forbidden)
