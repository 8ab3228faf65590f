"""Notifications hold together whatever stands in them: strange replies, Arabic addresses, whole originals."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
from flufl.bounce import all_failures
from hypothesis import given
from hypothesis import strategies as st

from mail import dsn
from mail.attempt import Attempt
from mail.carry.connection import printable
from mail.carry.parcel import Addressee, Parcel
from mail.delivery import unsendable
from mail.shelf.stored import Stored, Waiting

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RELAY = dsn.Relay("mx.relay.saba.example", "postmaster@relay.saba.example")
CONTENT = b"From: <amal@finance.saba.example>\r\nSubject: x\r\n\r\nthe body\r\n"
STORED = Stored(
    number=1, queue_id="0-0000000001", kind="mail", received=NOW - timedelta(hours=4),
    sender=b"amal@finance.saba.example", account="amal@finance.saba.example", entity="FIN",
    listener="submission", bounce=True, size=len(CONTENT), sha256="",
    message_id="1@x.example", client=None, body="7BIT", smtputf8=False, ret=None, envid=None, trace=b"", edits=(),
)  # fmt: skip


def told(address: bytes = b"b@h.example", reply: str = "550 5.1.1 no", action: dsn.Action = "failed") -> dsn.Told:
    attempt = Attempt(False, action == "failed", reply, "mx.h.example (203.0.113.1)", NOW, "rcpt", remote=True)
    return dsn.Told(Waiting(0, address, "h.example", None, None), action, attempt)


def parsed(stored: Stored, *all_told: dsn.Told, content: bytes = CONTENT) -> EmailMessage:
    data = dsn.compose(stored, all_told, content, RELAY, NOW)
    parcel = Parcel(b"", (Addressee(stored.sender),), data)
    assert unsendable(parcel) == ""
    assert max(map(len, data.split(b"\r\n"))) <= 998
    found = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    assert len(list(found.iter_parts())) == 3
    return found


@given(st.binary(max_size=4000), st.binary(max_size=3000))
def test_no_reply_and_no_original_breaks_it(reply: bytes, original: bytes) -> None:
    content = CONTENT + original.replace(b"\r", b"").replace(b"\0", b"").replace(b"\n", b"\r\n") + b"\r\n"
    for ret in ("FULL", "HDRS"):
        parsed(replace(STORED, ret=ret), told(reply="550 " + printable(reply)[:900]), content=content)


def words(found: EmailMessage, kind: str = "plain") -> str:
    body = next(iter(found.iter_parts())).get_body((kind,))
    assert body is not None
    assert body["Content-Language"] == "ar, en"
    return str(body.get_content())


def test_an_arabic_recipient_is_named_in_a_plain_ascii_notification() -> None:
    found = parsed(STORED, told("أمل@مالية.saba.example".encode()))
    _, machine, _ = found.iter_parts()
    assert "أمل@مالية.saba.example" in words(found)
    assert machine.get_payload()[1]["Final-Recipient"].startswith(r"utf-8; \x{623}\x{645}\x{644}@")  # type: ignore[union-attr,index]
    assert found.as_bytes().isascii()


def test_an_arabic_sender_gets_one_too() -> None:
    sender = "أمل@مالية.saba.example"
    stored = replace(STORED, sender=sender.encode(), ret="FULL")
    content = CONTENT.replace(b"Subject: x", "Subject: سلام".encode())
    to = replace(told("ليلى@h.example".encode()).waiting, orcpt=r"utf-8;\x{644}+2Bx@h.example")
    _, machine, returned = parsed(stored, replace(told(), waiting=to), content=content).iter_parts()
    assert machine.get_content_type() == "message/global-delivery-status"
    assert returned.get_content_type() == "message/global"
    data = dsn.compose(stored, (replace(told(), waiting=to),), content, RELAY, NOW).decode()
    assert "\r\nOriginal-Recipient: utf-8;ل+x@h.example\r\nFinal-Recipient: utf-8; ليلى@h.example\r\n" in data
    _, _, header = parsed(replace(stored, ret="HDRS"), told(), content=content).iter_parts()
    assert header.get_content_type() == "message/global-headers"
    assert f"\r\nTo: <{sender}>\r\n".encode() in dsn.compose(stored, (told(),), CONTENT, RELAY, NOW)


def test_the_whole_original_comes_back_only_where_it_was_asked_for() -> None:
    _, _, full = parsed(replace(STORED, ret="FULL"), told()).iter_parts()
    assert full.get_content_type() == "message/rfc822"
    assert "the body" in full.as_string()
    _, _, headers = parsed(STORED, told()).iter_parts()
    assert headers.get_content_type() == "text/rfc822-headers"
    assert "the body" not in headers.as_string()


def test_words_of_the_world_are_isolated_for_right_to_left_readers() -> None:
    found = parsed(STORED, told(reply="550 5.1.1 <b>no</b> \u2069&"))
    assert "\u2068550 5.1.1 <b>no</b> &\u2069" in words(found)
    page = words(found, "html")
    assert "<bdi>550 5.1.1 &lt;b&gt;no&lt;/b&gt; &amp;</bdi>" in page
    assert page.index('<section lang="ar" dir="rtl">') < page.index('<section lang="en" dir="ltr">')
    assert "http" not in page


def test_it_answers_nobody_automatically_and_threads_with_the_original() -> None:
    found = parsed(STORED, told())
    assert found["Auto-Submitted"] == "auto-replied"
    assert found["In-Reply-To"] == "<1@x.example>"
    assert str(found["Subject"]) == "لم تُسلَّم رسالتك / Your message was not delivered"


def test_an_expired_one_says_that_time_ran_out() -> None:
    attempt = Attempt(False, False, "451 4.7.1 later", "mx.h.example", NOW, "rcpt", remote=True)
    one = dsn.Told(Waiting(0, b"b@h.example", "h.example", None, None), "failed", attempt)
    machine = list(parsed(STORED, one).iter_parts())[1]
    assert machine.get_payload()[1]["Status"] == "4.4.7"  # type: ignore[union-attr,index]


def test_many_recipients_are_all_in_the_machine_part() -> None:
    found = parsed(STORED, *(told(b"u%d@h.example" % n) for n in range(250)))
    _, machine, _ = found.iter_parts()
    assert len(machine.get_payload()) == 251
    assert "150 more recipients" in words(found)


def test_a_bounce_processor_of_others_reads_who_failed_and_who_waits() -> None:
    failed = parsed(STORED, told(b"one@h.example"), told(b"two@h.example"))
    temporary, permanent = all_failures(email.message_from_bytes(failed.as_bytes()))
    assert (set(temporary), set(permanent)) == (set(), {b"one@h.example", b"two@h.example"})
    late = parsed(STORED, told(b"late@h.example", "451 4.2.0 busy", "delayed"))
    temporary, permanent = all_failures(email.message_from_bytes(late.as_bytes()))
    assert (set(temporary), set(permanent)) == ({b"late@h.example"}, set())


def test_every_field_that_rfc_3464_asks_for_is_there_and_in_its_form() -> None:
    late = replace(told(action="delayed", reply="451 4.2.0 busy"), until=NOW + timedelta(days=5))
    _, machine, _ = parsed(STORED, late).iter_parts()
    message, recipient = machine.get_payload()  # type: ignore[misc]
    assert message["Reporting-MTA"] == "dns; mx.relay.saba.example"
    assert message["Arrival-Date"] == "Mon, 23 Nov 2026 08:00:00 +0000"
    assert dict(recipient) == {
        "Final-Recipient": "rfc822; b@h.example",
        "Action": "delayed",
        "Status": "4.2.0",
        "Remote-MTA": "dns; mx.h.example",
        "Diagnostic-Code": "smtp; 451 4.2.0 busy",
        "Last-Attempt-Date": "Mon, 23 Nov 2026 12:00:00 +0000",
        "Final-Log-ID": "0-0000000001",
        "Will-Retry-Until": "Sat, 28 Nov 2026 12:00:00 +0000",
    }
    bare = replace(told(), attempt=replace(told().attempt, host="2001:db8::1"))
    _, machine, _ = parsed(STORED, bare).iter_parts()
    assert machine.get_payload()[1]["Remote-MTA"] == "dns; [IPv6:2001:db8::1]"  # type: ignore[union-attr,index]


def test_with_the_international_link_cut_it_says_so_and_names_no_end() -> None:
    late = replace(told(action="delayed"), until=NOW + timedelta(days=5), cut=NOW - timedelta(hours=2))
    found = parsed(STORED, late)
    assert "The international link is down since" in words(found)
    assert "الاتصال الدولي مقطوع منذ" in words(found)
    assert b"Will-Retry-Until" not in found.as_bytes()


def test_of_a_message_that_needed_verified_tls_only_its_name_comes_back() -> None:
    stored = replace(STORED, requiretls=True, ret="FULL")
    content = b"Message-ID: <1@x.example>\r\nSubject: secret\r\n folded secret\r\nDate: today\r\n\r\nsecret body\r\n"
    data = parsed(stored, told(reply="5.7.30 no"), content=content).as_bytes()
    assert b"secret" not in data
    assert b"Message-ID: <1@x.example>" in data


@pytest.mark.parametrize(
    ("status", "english"),
    [
        ("5.1.1", "no such mailbox"),
        ("5.1.10", "takes no mail"),
        ("5.2.2", "mailbox is full"),
        ("5.3.4", "too large"),
        ("5.4.6", "round in a circle"),
        ("5.6.7", "kind of text or address"),
        ("5.7.30", "protected transport"),
        ("5.7.26", "verify the sender's domain"),
        ("5.7.1", "by its rules"),
        ("5.9.9", "Its answer says why"),
    ],
)
def test_each_refusal_says_what_it_means_in_both_languages(status: str, english: str) -> None:
    text = words(parsed(STORED, told(reply=f"550 {status} no")))
    arabic, _, theirs = text.partition("-" * 60)
    assert english in theirs
    assert english not in arabic
