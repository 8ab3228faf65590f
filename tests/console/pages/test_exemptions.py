"""Exemptions: asked for by one, approved by two others who each log in, live by a signed release, revoked."""

from __future__ import annotations

from typing import Any

from console.house import House
from console.opening import opened
from hudhud import release
from hudhud.clock import VirtualClock
from hudhud.release import Trust
from hudhud.settings import Settings
from mail.exempt import Exemption, parse_exemptions
from mail.grants.asking import Act

FORM = {
    "sender": "rania@finance.saba.example",
    "recipient": "legal@partner.example",
    "days": "7",
    "reason": "Treaty: the partner has no other mail",
    "document": "2026/114",
}


def live(settings: Settings) -> list[str]:
    """The ids of the exemptions that nodes would load now."""
    found = release.load(settings.path("releases"), "exemptions", Trust.of(settings.releases))
    return [one.id for one in parse_exemptions(found.files)]


async def ask(browser: Any, login: str = "rima", **changes: str) -> Any:
    await browser.login(login)
    await browser.get("/exemptions/new")
    return await browser.send("/exemptions", **{**FORM, **changes})


async def act(house: House, browser: Any, login: str, what: str, **values: str) -> Any:
    visitor = type(browser)(house)
    await visitor.login(login)
    await visitor.get("/exemptions/EX-2026-0001")
    answer = await visitor.send(f"/exemptions/EX-2026-0001/{what}", **values)
    return answer, visitor.read()


async def test_two_officers_who_each_log_in_put_it_in_force(
    browser: Any, house: House, settings: Settings, audit_acts: Any
) -> None:
    await ask(browser)
    assert "two other people must approve it" in browser.read()
    assert live(settings) == []
    _, text = await act(house, browser, "dalia", "approve", reason="")
    assert "one more person must approve" in text
    assert live(settings) == []
    _, text = await act(house, browser, "ziad", "approve", reason="the treaty's text is due")
    assert "in force on the relay within 30 seconds" in text
    assert live(settings) == ["EX-2026-0001"]
    acts = [(actor, act) for actor, act, subject in audit_acts() if subject == "EX-2026-0001"]
    assert acts == [("rima", "exemption.request"), ("dalia", "exemption.approve"), ("ziad", "exemption.approve")]


async def test_what_is_live_is_signed_by_the_desk_and_ends_by_itself(
    browser: Any, house: House, settings: Settings, clock: VirtualClock
) -> None:
    await ask(browser)
    for login in ("dalia", "omar"):
        await act(house, browser, login, "approve")
    found = release.load(settings.path("releases"), "exemptions", Trust.of(settings.releases))
    assert found.signers == ("desk",)
    one = parse_exemptions(found.files)[0]
    assert (one.sender, one.recipient, one.applicant, one.approvers) == (
        FORM["sender"],
        FORM["recipient"],
        "rima",
        ("dalia", "omar"),
    )
    assert one.in_force(clock.now())
    await clock.advance(7 * 86_400 + 1)
    assert not one.in_force(clock.now())


async def test_nobody_approves_what_they_asked_for_nor_twice(browser: Any, house: House, settings: Settings) -> None:
    await ask(browser, "dalia")
    await browser.get("/exemptions/EX-2026-0001")
    assert "You asked for it, so two other people approve it." in browser.read()
    token = browser.page.text.partition('name="token" value="')[2].partition('"')[0]
    answer = await browser.client.post("/exemptions/EX-2026-0001/approve", data={"token": token})
    assert answer.status_code == 403
    visitor = type(browser)(house)
    await visitor.login("ziad")
    await visitor.get("/exemptions/EX-2026-0001")
    await visitor.send("/exemptions/EX-2026-0001/approve")
    assert "/exemptions/EX-2026-0001/approve" not in visitor.actions()
    token = visitor.page.text.partition('name="token" value="')[2].partition('"')[0]
    answer = await visitor.client.post("/exemptions/EX-2026-0001/approve", data={"token": token})
    assert answer.status_code == 409
    assert live(settings) == []


async def test_revoking_takes_it_out_of_force(browser: Any, house: House, settings: Settings) -> None:
    await ask(browser)
    for login in ("dalia", "ziad"):
        await act(house, browser, login, "approve")
    answer, _ = await act(house, browser, "omar", "revoke", reason=" ")
    assert answer.status_code == 422
    _, text = await act(house, browser, "omar", "revoke", reason="The treaty is signed")
    assert "The exemption was revoked" in text
    assert live(settings) == []


async def test_declining_needs_a_reason_and_ends_it(browser: Any, house: House, settings: Settings) -> None:
    await ask(browser)
    _, text = await act(house, browser, "ziad", "refuse", reason="Use the diplomatic bag")
    assert "The request was declined." in text
    assert "Use the diplomatic bag" in text


async def test_an_officer_of_another_body_neither_sees_nor_approves(browser: Any, house: House) -> None:
    await ask(browser)
    visitor = type(browser)(house)
    await visitor.login("hani")
    assert (await visitor.get("/exemptions/EX-2026-0001")).status_code == 404
    token = (await visitor.get("/keys")).text.partition('name="token" value="')[2].partition('"')[0]
    answer = await visitor.client.post("/exemptions/EX-2026-0001/approve", data={"token": token})
    assert answer.status_code == 404
    await visitor.get("/exemptions?state=all")
    assert "EX-2026-0001" not in visitor.read()


async def test_mistakes_in_the_form_are_named_and_what_was_typed_stays(browser: Any) -> None:
    for changes, said in (
        ({"sender": "nonsense"}, "neither an address nor a domain"),
        ({"recipient": "x@"}, "neither an address nor a domain"),
        ({"sender": "x@freemail.example"}, "belongs to no public body"),
        ({"recipient": "huda@health.saba.example"}, "needs no exemption"),
        ({"days": "0"}, "a whole number of days"),
        ({"days": "400"}, "a whole number of days"),
        ({"starts": "tomorrow"}, "year-month-day"),
        ({"size": "-1"}, "whole number of MiB"),
        ({"reason": "x"}, "Reason and document are both needed"),
    ):
        answer = await ask(browser, **changes)
        assert answer.status_code == 422, changes
        assert said in browser.read(), changes
        assert FORM["document"] in browser.page.text
        browser.client.cookies.clear()
    await ask(browser, "dalia", sender="huda@health.saba.example")
    assert "of your own entity only" in browser.read()


async def test_the_list_tells_expiry_and_use(browser: Any, house: House, pipeline: Any, clock: VirtualClock) -> None:
    await ask(browser)
    for login in ("dalia", "ziad"):
        await act(house, browser, login, "approve")
    use = {
        "event.dataset": "hudhud.mail",
        "event.action": "exemption-used",
        "organization.id": "FIN",
        "hudhud.mail.exemption": "EX-2026-0001",
    }
    await pipeline.events(use, use, use)
    await browser.get("/exemptions")
    assert "7 d 0 h left 3" in browser.read()
    await clock.advance(1000)
    await browser.get("/exemptions/EX-2026-0001")
    assert "Dalia Haddad , Ziad Darwish" in browser.read()


async def test_what_a_crash_kept_from_the_nodes_is_published_at_the_next_start(
    settings: Settings, clock: VirtualClock
) -> None:
    async with opened(settings, clock) as house:
        asked = Exemption(
            id="",
            sender=FORM["sender"],
            recipient=FORM["recipient"],
            starts=clock.now(),
            ends=clock.now().replace(year=2027),
            reason=FORM["reason"],
            document=FORM["document"],
            applicant="rima",
        )
        await house.exempting.request(asked, "FIN", clock.now())
        ledger = house.exempting._ledger
        ledger.approve("EX-2026-0001", "dalia", clock.now())
        ledger.approve("EX-2026-0001", "ziad", clock.now())  # and then the power went
    assert live(settings) == []
    async with opened(settings, clock) as house:
        assert live(settings) == ["EX-2026-0001"]
        await house.exempting.move("EX-2026-0001", Act.REVOKE, "omar", clock.now(), "enough")
    assert live(settings) == []


async def test_break_glass_is_one_approval_and_waits_for_another_persons_review(
    browser: Any, house: House, settings: Settings, audit_acts: Any, clock: VirtualClock
) -> None:
    await ask(browser, "rima", kind="break-glass", sender="rania@finance.saba.example", document="", level="secret")
    assert "whoever is on duty approves it" in browser.read()
    await act(house, browser, "dalia", "approve")
    assert live(settings) == ["EX-2026-0001"]
    await browser.get("/exemptions?state=unreviewed")
    assert "To be reviewed until" in browser.read()
    visitor = type(browser)(house)
    await visitor.login("dalia")
    await visitor.get("/exemptions/EX-2026-0001")
    assert "/exemptions/EX-2026-0001/review" not in visitor.actions()
    await clock.advance(5 * 86_400)
    await visitor.login("ziad")
    await visitor.get("/exemptions/EX-2026-0001")
    assert "overdue" in visitor.read()
    _, text = await act(house, browser, "ziad", "review", reason="There was a flood")
    assert "Your review was recorded" in text
    await browser.login("rima")
    await browser.get("/exemptions?state=unreviewed")
    assert "There is none here." in browser.read()
    acts = [(actor, name) for actor, name, subject in audit_acts() if subject == "EX-2026-0001"]
    assert acts[-1] == ("ziad", "exemption.review")


async def test_only_who_is_on_duty_breaks_the_glass_and_the_deputy_after_a_while(
    browser: Any, house: House, settings: Settings, clock: VirtualClock
) -> None:
    now = clock.now()
    settings.path("duty.toml").write_text(
        f'wait_minutes = 15\n[[duty]]\nentity = "FIN"\nfrom = {now.isoformat()}\n'
        f"until = {now.replace(year=2027).isoformat()}\n"
        'first = "dalia"\ndeputies = ["ziad"]\n'
    )
    await ask(browser, kind="break-glass", document="")
    for login, minutes, open_to in (("omar", 1, False), ("ziad", 1, False), ("ziad", 15, True)):
        await clock.advance(minutes * 60)
        visitor = type(browser)(house)
        await visitor.login(login)
        await visitor.get("/exemptions/EX-2026-0001")
        assert ("/exemptions/EX-2026-0001/approve" in visitor.actions()) is open_to, (login, minutes)
    await act(house, browser, "dalia", "approve")
    assert live(settings) == ["EX-2026-0001"]


async def test_a_partner_has_an_owner_and_a_domain_to_a_domain_is_an_administrators(browser: Any) -> None:
    wide = {"sender": "finance.saba.example", "recipient": "partner.example"}
    await ask(browser, "dalia", **wide)
    assert "only an administrator asks for that" in browser.read()
    browser.client.cookies.clear()
    partner = {"kind": "partner", "owner": "dalia", "contact": "desk@partner.example", "review": "2026-11-26"}
    await ask(browser, "omar", **wide, **{**partner, "owner": ""})
    assert "needs an owner" in browser.read()
    browser.client.cookies.clear()
    await ask(browser, "omar", **wide, **partner, level="internal")
    assert "desk@partner.example" in browser.read()
    assert "internal" in browser.read()


async def test_what_the_rules_forbid_is_said_in_arabic_too_and_the_past_is_over(browser: Any) -> None:
    await ask(browser, "nour", sender="finance.saba.example", recipient="partner.example")
    assert "لا يطلب ذلك إلا مدير" in browser.read()
    browser.client.cookies.clear()
    await ask(browser, "dalia", starts="2026-11-22")
    assert "over already" in browser.read()
