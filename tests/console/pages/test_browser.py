"""The morning's work in a real browser: by keyboard alone, in Arabic, with JavaScript switched off."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from cert.incident import Status
from console.app import build
from console.commands import _Server, server_config
from console.house import House
from hudhud.settings import split_address

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"


@pytest.fixture
async def site(house: House) -> AsyncIterator[str]:
    """The console over HTTPS on loopback; its address."""
    host, port = split_address(house.settings.console.listen)
    server = _Server(server_config(build(house), house.settings, host, port))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"https://localhost:{port}"
    server.should_exit = server.force_exit = True
    await running


@pytest.fixture
async def page(site: str) -> AsyncIterator[Page]:
    """A browser without JavaScript that likes Arabic."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not there: apt install chromium")
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=options)
        context = await browser.new_context(
            ignore_https_errors=True, java_script_enabled=False, locale="ar", viewport={"width": 1280, "height": 900}
        )
        found = await context.new_page()
        problems: list[str] = []
        found.on("console", lambda message: problems.append(message.text))
        yield found
        await browser.close()
        assert not problems, "the browser refused something of the page"


async def tab_to(page: Page, id: str) -> None:
    """Press Tab until the focus stands on the element, as somebody without a mouse does."""
    for _ in range(60):
        if await page.locator(f"#{id}:focus").count():
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches #{id}")


async def access(page: Page, digit: str) -> None:
    """Press Alt and a digit, as a keyboard sends it (playwright leaves the digit's text out when Alt is held)."""
    session = await page.context.new_cdp_session(page)
    code = {"key": digit, "code": f"Digit{digit}", "windowsVirtualKeyCode": ord(digit), "unmodifiedText": digit}
    await session.send("Input.dispatchKeyEvent", {"type": "keyDown", "text": "", "modifiers": 1, **code})
    await session.send("Input.dispatchKeyEvent", {"type": "keyUp", "modifiers": 1, **code})
    await session.detach()


async def submit(page: Page) -> None:
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def login(page: Page, site: str, person: str = "nour") -> None:
    await page.goto(f"{site}/")
    await tab_to(page, "login")
    await page.keyboard.type(person)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await submit(page)


async def test_a_morning_by_keyboard_alone_in_arabic(page: Page, site: str, campaign: Any, house: House) -> None:
    await login(page, site)
    assert await page.get_attribute("html", "dir") == "rtl"
    assert await page.inner_text("h1") == "اليوم"

    async with page.expect_navigation():
        await access(page, "2")  # the queue
    assert await page.inner_text("h1") == "الحوادث"
    async with page.expect_navigation():
        await access(page, "9")  # its first entry
    assert "طُعم واحد في عدة جهات" in await page.inner_text("h1")

    await access(page, "7")  # the status
    assert await page.locator("#to:focus").count() == 1
    await page.keyboard.press("Tab")
    await page.keyboard.type("خمس وزارات تلقته")
    await submit(page)
    assert "تغيّرت الحالة." in await page.inner_text("main")

    await access(page, "8")  # the note
    assert await page.locator("#text:focus").count() == 1
    await page.keyboard.type("اتصلت بوزارة المالية: 192.0.2.33")
    await page.keyboard.press("Tab")
    await submit(page)
    assert "أُضيفت الملاحظة." in await page.inner_text("main")
    assert "اتصلت بوزارة المالية: 192.0.2.33" in await page.inner_text(".timeline")

    found = await house.store.incident(campaign.id)
    assert found is not None
    assert found.status is Status.TRIAGED


async def test_the_focus_is_seen_and_the_content_is_one_key_away(page: Page, site: str, campaign: Any) -> None:
    await login(page, site)
    await page.keyboard.press("Tab")
    skip = page.locator(".skip:focus")
    assert await skip.count() == 1
    box = await skip.bounding_box()
    assert box is not None
    assert box["y"] >= 0, "the skip link comes into sight with the focus"
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    style = await page.locator(":focus").evaluate(
        "e => getComputedStyle(e).outlineStyle + getComputedStyle(e).outlineWidth"
    )
    assert style == "solid3px"


async def test_a_link_from_a_mail_finds_the_session_that_is_there(page: Page, site: str, campaign: Any) -> None:
    """The browser holds the strict cookie back on a link from elsewhere; the page of our own brings it."""
    await login(page, site)
    await page.route(
        "https://mail.example/",
        lambda route: route.fulfill(
            content_type="text/html", body=f'<a id="x" href="{site}/incidents/{campaign.id}">incident</a>'
        ),
    )
    await page.goto("https://mail.example/")
    await page.click("#x")
    await page.wait_for_selector(".timeline")
    assert page.url == f"{site}/incidents/{campaign.id}"


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
async def test_no_page_is_wider_than_the_screen(
    page: Page, site: str, relay: Any, campaign: Any, width: int, height: int
) -> None:
    held = await relay.hold("a" * 60 + "@finance.saba.example")
    await page.set_viewport_size({"width": width, "height": height})
    await login(page, site)
    for path in (
        "/",
        "/incidents",
        f"/incidents/{campaign.id}",
        "/held",
        f"/held/{held}",
        "/exemptions",
        "/exemptions/new",
        "/rules",
        "/services",
        "/r/H-NAT-02",
    ):
        await page.goto(f"{site}{path}")
        wide = await page.locator("html").evaluate("e => e.scrollWidth")
        assert wide <= width, f"{path} is {wide} pixels wide"
