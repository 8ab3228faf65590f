"""Automatic forwarding abroad: marks in header and sender, and what came in and goes on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from hudhud.clock import VirtualClock
from mail.accounts import Account
from mail.content import marks

FROM = "From: Amal <amal@finance.saba.example>"
AMAL = "amal@finance.saba.example"
NOOR = "noor@freemail.example"
SALIM = "salim@interior.saba.example"
SERVER = Account("FIN/exchange", "FIN", kind="server")
LISTS = Account("FIN/lists", "FIN", kind="server", lists=True)
ALLOW = {"foreign": "allow"}
TEXT = "The budget of the next year was agreed upon this morning; the table is below, please keep it to yourself."


def _mail(*headers: str, body: str = "hello") -> bytes:
    return "\r\n".join([*headers, "", body, ""]).encode()


SURE = [
    "Auto-Submitted: auto-forwarded",
    "Auto-Submitted: (by rule) Auto-Forwarded; owner-email=a@b.example",
    "Autoforwarded: TRUE",
    "Resent-Date: Mon, 23 Nov 2026 08:00:00 +0000",
    "Resent-From: amal@finance.saba.example",
    "X-MS-Exchange-ForwardingLoop: amal@finance.saba.example;0f3c",
    "X-MS-Exchange-Inbox-Rules-Loop: amal@finance.saba.example",
    "X-Forwarded-To: noor@freemail.example",
    "X-Forwarded-For: amal@finance.saba.example noor@freemail.example",
    "Delivered-To: amal@finance.saba.example",
    "X-Original-To: amal@finance.saba.example",
    "X-Hudhud-Id: 0-7H3K9QX2M4 by=relay.other.example",
]
UNSURE = [
    "Auto-Submitted: auto-replied",
    "Auto-Submitted: auto-generated (vacation)",
    "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
    "X-Autoreply: yes",
]


@pytest.mark.parametrize("header", SURE)
async def test_forwarding_is_refused_even_where_writing_is_allowed(ask: Any, header: str) -> None:
    asked = await ask(_mail(FROM, header), rcpt=[NOOR, SALIM], changed=ALLOW)
    assert [asked.word(0), asked.word(1)] == ["reject", "accept"]
    assert "H-FWD-01" in asked.rules


@pytest.mark.parametrize("header", [*SURE[:3], *SURE[5:], *UNSURE])
async def test_within_the_country_forwarding_is_free(ask: Any, header: str) -> None:
    assert (await ask(_mail(FROM, header))).word() == "accept"


@pytest.mark.parametrize("header", UNSURE)
async def test_what_is_automatic_must_answer_the_recipients_own_message(
    ask: Any, header: str, clock: VirtualClock
) -> None:
    threads = [(AMAL, NOOR, "m1@freemail.example", clock.now() - timedelta(days=3))]
    answer = _mail(FROM, header, "In-Reply-To: <m1@freemail.example>")
    assert (await ask(answer, rcpt=[NOOR], threads=threads)).word() == "accept"
    other = await ask(_mail(FROM, header), rcpt=[NOOR], threads=threads)
    assert (other.word(), other.rules[-1]) == ("reject", "H-FWD-01")
    assert (await ask(_mail(FROM, header), rcpt=[NOOR], changed=ALLOW)).word() == "accept"


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: no",
        "X-Forwarded-Message-Id: <m1@x.example>",
        "X-Forwarded-For: 192.0.2.7",
        "Autoforwarded: FALSE",
    ],
)
async def test_what_people_do_by_hand_is_no_mark(ask: Any, header: str) -> None:
    assert (await ask(_mail(FROM, header), rcpt=[NOOR], changed=ALLOW)).word() == "accept"


@pytest.mark.parametrize(
    ("sender", "changed", "word"),
    [
        ("SRS0=HHH=TT=freemail.example=noor@finance.saba.example", ALLOW, "reject"),
        ("srs1+x=y==HHH=TT=a.example=b@finance.saba.example", ALLOW, "reject"),
        ("prvs=1234567890=amal@finance.saba.example", ALLOW, "accept"),
        ("amal+noor=freemail.example@finance.saba.example", ALLOW, "accept"),
        ("amal@finance.saba.example", ALLOW, "accept"),
    ],
)
async def test_a_rewritten_sender_is_a_mark(ask: Any, sender: str, changed: dict[str, object], word: str) -> None:
    assert (await ask(_mail(FROM), sender, [NOOR], account=SERVER, changed=changed)).word() == word


async def test_a_tagged_sender_may_answer_what_came_to_the_address_within(ask: Any, clock: VirtualClock) -> None:
    threads = [(AMAL, NOOR, "m1@freemail.example", clock.now())]
    sender = "prvs=1234567890=amal@finance.saba.example"
    answer = _mail(FROM, "In-Reply-To: <m1@freemail.example>")
    assert (await ask(answer, sender, [NOOR], account=SERVER, threads=threads)).word() == "accept"


async def test_a_list_server_sends_on_by_its_nature(ask: Any) -> None:
    post = _mail(f"From: {SALIM}", "List-Id: <all.finance.saba.example>", "Delivered-To: all@finance.saba.example")
    sender = "all-bounces+noor=freemail.example@finance.saba.example"
    assert (await ask(post, sender, [NOOR], account=LISTS, changed=ALLOW)).word() == "accept"


@pytest.mark.parametrize(("force", "word"), [("shadow", "accept"), ("tag", "tag"), ("hold", "hold")])
async def test_forwarding_goes_as_far_as_the_body_wants(ask: Any, force: str, word: str) -> None:
    asked = await ask(_mail(FROM, SURE[0]), rcpt=[NOOR], changed=ALLOW | {"forwarding": force})
    assert asked.word() == word


# --- what came in and goes on


def _came(clock: VirtualClock, *, writer: str = SALIM, days: float = 1.0, text: str = TEXT, files: bytes = b"") -> Any:
    known = marks.of("m1@interior.saba.example", text, ())
    at: datetime = clock.now() - timedelta(days=days)
    return [(mark, [writer], at) for mark in known.lasting]


@pytest.mark.parametrize(
    ("headers", "body", "how"),
    [
        (["Message-ID: <m1@interior.saba.example>"], "something else", "message-id"),
        (["Message-ID: <new@x>"], TEXT, "text"),
        (["Message-ID: <new@x>"], "> " + TEXT.replace("; ", ";\r\n> ").upper(), "text"),
        (
            ["Message-ID: <new@x>"],
            f"FYI\r\n\r\nFrom: Salim <{SALIM}>\r\nSent: Monday\r\nTo: Amal\r\nSubject: budget\r\n\r\n{TEXT}",
            "text",
        ),
        (["Message-ID: <new@x>"], f"---------- Forwarded message ----------\r\n{TEXT}", "text"),
    ],
)
async def test_what_came_in_does_not_go_on_abroad(
    ask: Any, clock: VirtualClock, headers: list[str], body: str, how: str
) -> None:
    asked = await ask(_mail(FROM, *headers, body=body), rcpt=[NOOR, SALIM], changed=ALLOW, arrivals=_came(clock))
    assert [asked.word(0), asked.word(1)] == ["reject", "accept"]
    found = next(f for f in asked.data.findings if f.rule == "H-FWD-02")
    assert found.facts["known_by"] == how


@pytest.mark.parametrize(
    ("writer", "days", "text"),
    [
        (NOOR, 1, TEXT),  # the recipient wrote it
        (AMAL, 1, TEXT),  # the sender wrote it
        (SALIM, 8, TEXT),  # long ago
        (SALIM, 1, "Thank you, I agree."),  # everybody's words
    ],
)
async def test_what_may_go_on(ask: Any, clock: VirtualClock, writer: str, days: float, text: str) -> None:
    arrivals = _came(clock, writer=writer, days=days, text=text)[0 if writer != SALIM or days > 7 else 1 :]
    data = _mail(FROM, "Message-ID: <m1@interior.saba.example>", body=text)
    assert (await ask(data, rcpt=[NOOR], changed=ALLOW, arrivals=arrivals)).word() == "accept"


async def test_own_words_above_a_quote_are_an_answer_not_a_forwarding(ask: Any, clock: VirtualClock) -> None:
    own = "Dear Noor, thank you for your question about the fees. As my colleague says below they stay the same."
    body = f"{own}\r\n\r\nFrom: Salim\r\nSent: Monday\r\nTo: Amal\r\n\r\n{TEXT}"
    assert (await ask(_mail(FROM, body=body), rcpt=[NOOR], changed=ALLOW, arrivals=_came(clock))).word() == "accept"


async def test_a_colleagues_draft_may_answer_who_began_the_thread(ask: Any, clock: VirtualClock) -> None:
    threads = [(AMAL, NOOR, "q@freemail.example", clock.now())]
    answer = _mail(FROM, "Message-ID: <new@x>", "In-Reply-To: <q@freemail.example>", body=TEXT)
    assert (await ask(answer, rcpt=[NOOR], threads=threads, arrivals=_came(clock))).word() == "accept"
    same = answer.replace(b"<new@x>", b"<m1@interior.saba.example>")
    assert (await ask(same, rcpt=[NOOR], threads=threads, arrivals=_came(clock))).word() == "reject"


def _with_file(text: str, data: str) -> bytes:
    return (
        f"{FROM}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        f"Content-Type: text/plain\r\n\r\n{text}\r\n--b\r\nContent-Type: text/csv; name=table.csv\r\n"
        f"Content-Disposition: attachment; filename=table.csv\r\n\r\n{data}\r\n--b--\r\n"
    ).encode()


@pytest.mark.parametrize(("text", "word"), [("See below.", "reject"), (TEXT, "tag")])
async def test_files_that_came_in_are_refused_alone_and_tagged_among_words(ask: Any, text: str, word: str) -> None:
    table = "\r\n".join(f"{n};amount;{n * 17}" for n in range(200))
    came = await ask(_with_file("Here it is.", table), SALIM, [AMAL], account=None)
    arrivals = [(mark, [SALIM], came_at) for mark in came.data.arrivals if (came_at := _now(came))]
    asked = await ask(_with_file(text, table), rcpt=[NOOR], changed=ALLOW, arrivals=arrivals)
    assert (asked.word(), "H-FWD-03" in asked.rules) == (word, True)


def _now(asked: Any) -> datetime:
    return VirtualClock().now()


async def test_what_comes_in_is_remembered_with_who_wrote_it_and_what_goes_abroad_is_not(ask: Any) -> None:
    data = _mail("From: Noor <noor@freemail.example>", "Reply-To: n2@x.example", "Message-ID: <a@b>", body=TEXT)
    came = await ask(data, NOOR, [AMAL], account=None)
    assert len(came.data.arrivals) == 2
    assert came.data.writers == (NOOR, "n2@x.example")
    assert (await ask(_mail(FROM, body=TEXT), rcpt=[NOOR], changed=ALLOW)).data.arrivals == ()
