"""Held mail through the relay's control API, by mutual TLS and in the acting person's name."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from console.heldmail import entities, in_words, read
from console.house import House
from console.relay import Relay, RelayDown, RelayRefused
from hudhud import tls
from hudhud.settings import Settings


@pytest.fixture
async def held(relay: Any) -> str:
    """The queue id of one held message."""
    found: str = await relay.hold()
    return found


async def test_the_list_tells_who_to_whom_why_and_how_large(browser: Any, held: str) -> None:
    await browser.login("rima")
    await browser.get("/held")
    text = browser.read()
    for word in (
        held,
        "noor@freemail.example",
        "amal@finance.saba.example",
        "Program with a document's name",
        "2026-11-23 07:30 UTC",
        "Ministry of Finance",
    ):
        assert word in text, word
    await browser.get("/held?sender=nobody-of-that-name")
    assert "Nothing is held" in browser.read()


async def test_the_list_goes_on_page_by_page_however_many_are_held(browser: Any, relay: Any) -> None:
    held = [await relay.hold() for _ in range(130)]
    await browser.login("omar")
    await browser.get("/held")
    seen: list[str] = []
    for _ in range(4):
        seen += re.findall(r'href="/held/([^"]+)"', browser.page.text)
        following = re.search(r'rel="next" href="([^"]+)"', browser.page.text)
        if following is None:
            break
        await browser.get(unescape(following[1]))
    assert seen == held[::-1]
    assert (await browser.get("/held?after=nonsense")).status_code == 200


async def test_a_message_tells_its_findings_in_words(browser: Any, held: str) -> None:
    await browser.login("rima")
    await browser.get(f"/held/{held}")
    text = browser.read()
    for word in (
        "Program with a document's name · File or name that hides what it is",
        "Mail programs would read different contents in this message.",
        "H-MIME-01",
        "U+202E",
        "198.51.100.25 mx.freemail.example",
    ):
        assert word in text, word
    assert "\u202e" not in browser.page.text
    await browser.send("/language")
    assert "برنامج باسم مستند" in browser.read()
    assert "ترى برامج" in browser.read() or "برامج البريد" in browser.read()


async def test_releasing_needs_a_reason_and_is_done_in_the_persons_name(
    browser: Any, relay: Any, held: str, audit_acts: Any
) -> None:
    await browser.login("omar")
    await browser.get(f"/held/{held}")
    answer = await browser.send(f"/held/{held}/release", reason="   ")
    assert answer.status_code == 422
    assert relay.state(held) == "held"
    await browser.get(f"/held/{held}")
    await browser.send(f"/held/{held}/release", reason="The sender called; the file is hers")
    assert "The message was released" in browser.read()
    assert relay.state(held) == "queued"
    assert ("omar", "mail.release", held, "The sender called; the file is hers") in relay.acts()
    assert ("omar", "asked to release a held message", f"/held/{held}/release") in audit_acts()


async def test_what_somebody_else_decided_already_is_told(browser: Any, relay: Any, held: str) -> None:
    await browser.login("rima")
    await browser.get(f"/held/{held}")
    await relay.served.held.delete(held, actor="omar", reason="Known malware")
    answer = await browser.send(f"/held/{held}/delete", reason="It is malware")
    assert answer.status_code == 409
    assert "Somebody may have decided already." in browser.read()


async def test_deleting_takes_it_from_the_list(browser: Any, held: str) -> None:
    await browser.login("rima")
    await browser.get(f"/held/{held}")
    await browser.send(f"/held/{held}/delete", reason="It is malware")
    assert "The message was deleted." in browser.read()
    assert held not in browser.read()


async def test_reading_the_text_needs_a_reason_and_shows_nothing_that_acts(
    browser: Any, relay: Any, held: str, audit_acts: Any
) -> None:
    await browser.login("rima")
    await browser.get(f"/held/{held}")
    assert "Dear" not in browser.read()
    await browser.send(f"/held/{held}/preview", reason="Is it the known lure?")
    text = browser.page.text
    assert "Dear colleague, 2 &gt; 1 &amp; so on" in text
    assert "\\u202ehttps://evil.example" in text
    assert 'href="https://evil' not in text
    assert "Salary" in browser.read()
    assert "text/plain" in browser.read()
    assert ("rima", "mail.preview", held, "Is it the known lure?") in relay.acts()
    assert ("rima", "asked to read a held message", f"/held/{held}/preview") in audit_acts()


async def test_a_message_that_is_not_there_says_so(browser: Any, held: str) -> None:
    await browser.login("rima")
    for path in ("/held/0-0000000000", "/held/..%2f..%2fv1%2fstatus", "/held/%0a"):
        assert (await browser.get(path)).status_code == 404, path


async def test_a_relay_that_is_down_is_told_as_such(browser: Any) -> None:
    await browser.login("rima")
    answer = await browser.get("/held")
    assert answer.status_code == 503
    assert "The relay's control cannot be reached" in browser.read()


async def test_the_relay_takes_nobody_without_our_certificate(settings: Settings, held: str) -> None:
    folder = settings.path("tls")
    bare = Relay(settings.console.relay_control, tls.client_context(folder / "ca.pem"))
    with pytest.raises(RelayDown):
        await bare.status("rima")
    await bare.close()


async def test_a_relay_with_a_foreign_certificate_is_not_spoken_to(
    relay: Any, held: str, settings: Settings, tmp_path: Any
) -> None:
    from datetime import UTC, datetime

    from deploy.authority import make_authority

    make_authority(tmp_path / "other", datetime.now(UTC))
    folder = settings.path("tls")
    wary = Relay(
        settings.console.relay_control,
        tls.client_context(tmp_path / "other" / "ca.pem", cert=folder / "console.pem", key=folder / "console.key"),
    )
    with pytest.raises(RelayDown):
        await wary.status("rima")
    await wary.close()
    assert relay.acts() == []


def test_a_newer_or_broken_relays_answer_can_still_be_shown() -> None:
    mail = read(
        {
            "id": "0-1",
            "size": None,
            "recipients": "nonsense",
            "findings": [{"reason": "too-large"}, 7],
            "received": "yesterday",
            "client": None,
        }
    )
    assert mail.received is None
    assert mail.recipients == ()
    said = in_words(mail, "en", {})
    assert said[0].what.startswith("The message has")


async def test_a_program_of_the_house_that_is_not_the_console_has_no_say(settings: Settings, held: str) -> None:
    folder = settings.path("tls")
    context = tls.client_context(folder / "ca.pem", cert=folder / "stranger.pem", key=folder / "stranger.key")
    stranger = Relay(settings.console.relay_control, context)
    with pytest.raises(RelayRefused) as refused:
        await stranger.message("rima", held)
    assert refused.value.status == 403
    await stranger.close()


def test_the_bodies_of_a_message_are_its_accounts_and_its_recipients(house: House) -> None:
    addresses = ("amal@finance.saba.example", "x@مالية.saba.example", "odd@", "a@freemail.example")
    message = {"organization": "INT", "recipients": [{"address": one, "state": "held"} for one in addresses]}
    assert entities(read(message), house.registry.value) == ("FIN", "INT")
