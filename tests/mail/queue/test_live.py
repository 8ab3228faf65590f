"""The postmaster at work on a running relay: by command and by control API, seen from outside."""

from __future__ import annotations

import json
import smtplib
from datetime import timedelta
from typing import Any

import httpx
import pytest

from hudhud.clock import SYSTEM
from tests.mail.queue.speaking import Closed, audited, commanded, ids, lines, said
from tests.mail.session.test_process import AMAL, NOOR, SALIM, House, letter, received, until

YUSUF = "yusuf@finance.saba.example"


def test_a_filter_is_shown_first_then_taken_out_of_delivery_and_put_back(house: House) -> None:
    with Closed(house):
        for number in range(1, 5):
            house.submit(AMAL, [SALIM], letter(AMAL, SALIM, number))
        house.submit(YUSUF, [SALIM], letter(YUSUF, SALIM, 5))
        by_amal = ("--sender", "amal@finance")
        code, (seen,) = commanded(house, "mail", "queue", "hold", *by_amal, "--reason", "storm", "--dry-run")
        assert (code, seen["count"], seen["domains"]) == (0, 4, {"interior.saba.example": 4})
        code, text = said(house, "mail", "queue", "hold", *by_amal, "--reason", "storm")
        assert code == 1
        assert "4 messages" in text
        assert "--yes" in text  # nobody can be asked: nothing was done
        code, (done,) = commanded(house, "mail", "queue", "hold", *by_amal, "--reason", "storm", "--yes")
        assert (code, done["done"], done["failed"]) == (0, 4, {})
        _, held = commanded(house, "mail", "held", "list", *by_amal)
        assert [one["held_by"] for one in held] == [[]] * 4
        assert {finding["disposition"] for one in held for finding in one["findings"]} <= {"accept"}
    said(house, "mail", "queue", "retry", "--all", "--yes")
    until(lambda: received(house, SALIM, 5))
    assert received(house, SALIM, 1) is None
    code, (done,) = commanded(house, "mail", "queue", "resume", "--all", "--reason", "over", "--yes")
    assert (code, done["done"]) == (0, 4)
    for number in range(1, 5):
        until(lambda number=number: received(house, SALIM, number))
        assert len([data for data in house.box(SALIM) if f"<{number}@".encode() in data]) == 1
    code, (shown,) = commanded(house, "mail", "queue", "show", ids(house, 1)[0])
    assert [act["act"] for act in shown["acts"]] == ["held", "resumed"]
    acts = [one for one in audited(house) if one.get("act") in ("mail.hold", "mail.resume")]
    assert {one["reason"] for one in acts} == {"storm", "over"}
    assert shown["id"] in [name for one in acts for name in one["after"]["ids"]]


def test_a_deletion_is_told_to_its_sender_unless_it_is_silent(house: House) -> None:
    with Closed(house):
        for number in (11, 12):
            house.submit(YUSUF, [SALIM], letter(YUSUF, SALIM, number))
        told, silent = ids(house, 11, 12)
        code, (done,) = commanded(house, "mail", "queue", "delete", told, "--reason", "by mistake", "--yes")
        assert (code, done.get("told")) == (0, True)
        words = ("--older", "0s", "--sender", "yusuf@", "--silent", "--yes")
        code, (done,) = commanded(house, "mail", "queue", "delete", *words, "--reason", "again")
        assert (code, done["told"]) == (0, 0)
    said(house, "mail", "queue", "retry", "--all", "--yes")
    report = until(lambda: next((d for d in house.box(YUSUF) if told.encode() in d and b"multipart/report" in d), None))
    assert b"by mistake" not in report
    assert not any(silent.encode() in data for data in house.box(YUSUF))
    code, (path,) = commanded(house, "mail", "trace", told)
    assert [(one["kind"], one["recipients"]) for one in path["told"]] == [("dsn", [YUSUF])]
    assert (received(house, SALIM, 11), received(house, SALIM, 12)) == (None, None)


def test_what_was_previewed_is_what_is_done_and_by_whom(house: House) -> None:
    with Closed(house), house.api() as api, house.api(actor="omar") as other:
        house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 21))
        seen = api.post("/v1/queue/preview", json={"act": "delete", "domain": "interior.saba.example"}).json()
        assert (seen["count"], seen["recipients"], len(seen["ids"])) == (1, 1, 1)
        house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 22))  # it came too late to be meant
        order = {"act": "delete", "token": seen["token"], "reason": "x", "silent": True}
        assert other.post("/v1/queue/do", json=order).status_code == 409
        assert api.post("/v1/queue/do", json={**order, "act": "hold"}).status_code == 409
        assert api.post("/v1/queue/do", json={**order, "token": "made-up"}).status_code == 410
        assert api.post("/v1/queue/do", json={**order, "reason": " "}).status_code == 400
        done = api.post("/v1/queue/do", json=order).json()
        assert done == {"done": 1, "recipients": 1, "told": 0, "failed": {}, "left": 0}
        states = {
            one["message_id"][:2]: one["state"]
            for one in api.get("/v1/queue", params={"state": "all"}).json()["messages"]
        }
        assert (states["21"], states["22"]) == ("deleted", "queued")
        name = ids(house, 22)[0]
        assert api.post(f"/v1/messages/{name}/hold", json={"reason": "look"}).status_code == 200
        assert api.post(f"/v1/messages/{name}/retry", json={}).status_code == 409
        assert api.post(f"/v1/messages/{name}/resume", json={"reason": "seen"}).json()["recipients"] == [SALIM]
        assert api.post(f"/v1/messages/{name}/delete", json={"reason": "done", "silent": True}).status_code == 200


WRONG = [
    {"older_than": "x"}, {"older_than": "-1"}, {"older_than": "nan"}, {"newer_than": "3 moons"}, {"limit": "0"},
    {"limit": "ten"}, {"limit": "1001"}, {"limit": "²"}, {"state": "lost"}, {"cursor": "nonsense"}, {"entity": "NONE"},
    {"older": "2h"}, {"sender": "a" * 1001}, {"sender": "\u202e"},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda one: next(iter(one)))
def test_every_mistake_in_a_parameter_is_told_in_words(house: House, wrong: dict[str, str]) -> None:
    with house.api() as api:
        answer = api.get("/v1/queue", params=wrong)
        assert answer.status_code == 400, answer.text
        assert len(answer.json()["error"]) > 10


def test_wrong_bodies_and_traces_are_told_too(house: House) -> None:
    with house.api() as api:
        for body in ({}, {"act": "explode"}, {"act": "hold", "age": 3}, {"act": "hold", "sender": ["a"]},
                     {"act": "resume", "state": "queued"}, {"act": "hold", "older_than": True}):  # fmt: skip
            assert api.post("/v1/queue/preview", json=body).status_code == 400, body
        for path in ("/v1/trace", "/v1/trace?since=yesterday", "/v1/trace?since=2026-02-02&until=2026-01-01",
                     "/v1/trace?sender=a&sender=b", "/v1/where?until=9999-12-31"):  # fmt: skip
            assert api.get(path).status_code == 400, path
        assert api.get("/v1/trace", params={"subject": "budget"}).status_code == 403
        assert api.post("/v1/queue/do", content=b"[").status_code == 400
        assert api.get("/v1/queue", headers={"Hudhud-Actor": "x" * 300}).status_code == 400


def test_a_list_is_paged_by_its_cursor_without_gap_or_repeat(house: House) -> None:
    for number in range(30, 42):
        house.outside(letter(NOOR, AMAL, number))
    with house.api() as api:
        asked: dict[str, Any] = {"state": "all", "sender": "noor", "limit": 5}
        whole = api.get("/v1/queue", params={**asked, "limit": 500}).json()["messages"]
        pages, cursor = [], ""
        while cursor is not None:
            page = api.get("/v1/queue", params={**asked, "cursor": cursor}).json()
            pages += page["messages"]
            cursor = page["next"]
        assert [one["id"] for one in pages] == [one["id"] for one in whole]
        assert len(whole) >= 12


def test_ages_hops_and_bodies_narrow_a_list(house: House) -> None:
    with Closed(house):
        house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 51))
        for words, expected in (
            (("--older", "1h"), 1), (("--newer", "1h"), 0), (("--entity", "INT"), 0), (("--entity", "HEA"), 1),
            (("--hop", "interior"), 1), (("--rule", "H-NAT-02"), 1), (("--account", "amal"), 0),
        ):  # fmt: skip
            assert said(house, "mail", "queue", "list", *words)[0] == expected, words
        for words in (("--older", "soon"), ("--newer", "-3h"), ("--state", "lost"), ("--entity", "NOBODY")):
            code, text = said(house, "mail", "queue", "list", *words)
            assert code == 2, words
            assert len(text) > 10
        assert said(house, "mail", "queue", "hold", "--reason", "x", "--yes")[0] == 2  # nothing was said to be meant
        assert said(house, "mail", "queue", "delete", "--domain", "nowhere.example", "--reason", "x", "--yes")[0] == 1
    said(house, "mail", "queue", "retry", "--all", "--yes")
    until(lambda: received(house, SALIM, 51))


def test_a_trace_has_the_whole_path_and_where_tells_it_in_both_languages(house: House) -> None:
    foreign = "someone@partner.example"
    house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 61))
    with pytest.raises(smtplib.SMTPDataError) as refused:
        house.submit(AMAL, [foreign], letter(AMAL, foreign, 62))
    assert isinstance(refused.value.smtp_error, bytes)
    reference = refused.value.smtp_error.decode().rpartition("(ref ")[2].rstrip(")")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as at_rcpt:
        house.outside(letter(NOOR, foreign, 63), foreign)
    shown = at_rcpt.value.recipients[foreign][1].decode().rpartition("(ref ")[2].rstrip(")")
    until(lambda: commanded(house, "mail", "trace", shown)[1])
    assert commanded(house, "mail", "trace", shown)[1][0]["events"][0]["event"]["reason"] == "relay-denied"
    until(lambda: received(house, SALIM, 61))
    until(lambda: any(reference.encode() in data for data in house.box(AMAL)))
    today = SYSTEM.now().date().isoformat()
    by_domain = ("--sender", AMAL.upper(), "--recipient", "interior.saba.example", "--since", today, "--limit", "1")
    for words in (("--message-id", "<61@finance.saba.example>"), (ids(house, 61)[0],), by_domain):
        code, found = commanded(house, "mail", "trace", *words)
        assert (code, found[0]["message_id"]) == (0, "61@finance.saba.example"), words
        (recipient,) = found[0]["recipients"]
        assert recipient["attempts"][-1]["delivered"]
        assert recipient["attempts"][-1]["host"]
        assert found[0]["verdicts"][0]["disposition"] == "accept"
    code, found = commanded(house, "mail", "trace", "--recipient", foreign, "--sender", AMAL)
    assert (found[0]["id"], found[0]["state"]) == (reference, "refused")
    assert found[0]["events"][0]["rule"]["id"] == ["H-NAT-02"]
    until(lambda: commanded(house, "mail", "trace", reference)[1][0]["told"][0]["state"] == "delivered")
    code, text = said(house, "mail", "where", "--sender", AMAL, "--recipient", SALIM, "--lang", "ar", "--limit", "1")
    assert (code, "استلمها خادم بريده" in text) == (0, True)
    code, text = said(house, "mail", "where", reference, "--lang", "en")
    assert "official mail stays national" in text
    assert "mailbox of \u2068amal@finance.saba.example\u2069" in text
    assert said(house, "mail", "where", "--sender", AMAL, "--recipient", "nobody@interior.saba.example")[0] == 1
    assert said(house, "mail", "trace", "--until", "2020-01-01")[0] == 1
    code, text = said(house, "mail", "trace", ids(house, 61)[0])
    assert (code, "delivered" in text, "received" in text) == (0, True, True)
    with house.api() as api:
        told = api.get("/v1/where", params={"id": reference}).json()["messages"][0]
        assert (told["state"], len(told["ar"]), len(told["en"])) == ("refused", 3, 3)
        page = api.get("/v1/trace", params={"sender": AMAL, "limit": 1}).json()
        assert page["next"] == page["messages"][0]["id"]
    assert "mail.trace" in {one.get("act") for one in audited(house)}


def test_subjects_are_searched_by_two_people_for_a_ticket_until_a_day(house: House) -> None:
    data = letter(YUSUF, SALIM, 71).replace(b"Subject: 71", "Subject: ميزانيّة Budget 71".encode())
    house.submit(YUSUF, [SALIM], data)
    until(lambda: received(house, SALIM, 71))
    ends = (SYSTEM.now() + timedelta(days=5)).date().isoformat()
    late = (SYSTEM.now() + timedelta(days=40)).date().isoformat()
    password = house.password + "\n"
    assert said(house, "mail", "trace", "--subject", "budget")[0] == 2
    asked = ("mail", "trace", "order", "request", "--subject", "budget ميزانية", "--ticket", "T-9", "--reason", "leak")
    assert said(house, *asked, "--until", late, "--login", "omar", stdin=password)[0] == 1
    code, text = said(house, *asked, "--until", ends, "--login", "omar", stdin=password)
    assert code == 0, text
    order = text.partition(":")[0]
    search = ("mail", "trace", "--order", order, "--login", "omar")
    assert commanded(house, *search, stdin=password)[0] == 1  # not allowed yet
    for login, expected in (("omar", 1), ("dalia", 1), ("samar", 0), ("samar", 1)):
        code, text = said(house, "mail", "trace", "order", "approve", order, "--login", login, stdin=password)
        assert code == expected, (login, text)
    assert commanded(house, "mail", "trace", "order", "list")[1][-1]["status"] == "approved"
    code, found = commanded(house, *search, stdin=password)
    assert (code, [one["message_id"][:2] for one in found]) == (0, ["71"])
    assert "subject" not in found[0]
    assert commanded(house, *search, "--subject", "another", stdin=password)[0] == 1
    acts = [one for one in audited(house) if one.get("act") == "mail.trace" and order in one["subject"]]
    assert (acts[-1]["actor"], acts[-1]["reason"]) == ("omar", "T-9: leak")


def test_health_readiness_and_metrics_need_no_certificate_at_their_own_address(house: House) -> None:
    with httpx.Client(base_url=f"http://{house.settings.relay.observe}", trust_env=False) as pulse:
        assert pulse.get("/healthz").json() == {"healthy": True}
        assert pulse.get("/readyz").json() == {"ready": True, "because": []}
        assert pulse.get("/v1/queue").status_code == 404
        text = pulse.get("/metrics").text
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}
    names = {name.partition("{")[0].removeprefix("hudhud_mail_") for name in values}
    assert names >= {
        "messages_total", "recipients_refused_total", "attempts_total", "sessions_total", "dns_questions_total",
        "judge_seconds_bucket", "delivery_seconds_bucket", "dns_seconds_bucket", "queued", "oldest_seconds", "held",
        "limit_hits_total", "disk_bytes", "worker_restarts_total", "rules_stopped", "certificate_end_seconds",
        "release_published_seconds", "release_serial", "acts_total", "sessions_open", "ready",
    }  # fmt: skip
    delivered = sum(value for name, value in values.items() if "_attempts_total" in name and '"delivered"' in name)
    timed = sum(value for name, value in values.items() if "delivery_seconds_bucket" in name and '"+Inf"' in name)
    assert delivered == timed > 0
    assert values['hudhud_mail_certificate_end_seconds{file="relay.pem"}'] > SYSTEM.now().timestamp()


def test_each_line_of_the_log_about_a_message_has_its_queue_id(house: House) -> None:
    with Closed(house):
        house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 81))
        name = ids(house, 81)[0]
        until(lambda: any(one["event"] == "not delivered" for one in lines(house, name)))
        said(house, "mail", "queue", "delete", name, "--reason", "x", "--yes", "--silent")
    events = {one["event"] for one in lines(house, name)}
    assert {"message", "not delivered"} <= events
    about = ("message", "not delivered", "no room", "receiving failed", "delivery failed by our own fault")
    everything = [json.loads(line) for line in (house.data / "relay.log").read_text().splitlines() if line[0] == "{"]
    assert all("queue_id" in one for one in everything if one["event"] in about)
    others = ("worker ready", "reloaded", "releases swapped", "next hop is back")
    assert not any("queue_id" in one for one in everything if one["event"] in others[:3])
