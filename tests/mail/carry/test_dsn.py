"""Notifications hold together whatever stands in them: strange replies, Arabic addresses, whole originals."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

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


def test_an_arabic_recipient_is_named_in_a_plain_ascii_notification() -> None:
    found = parsed(STORED, told("أمل@مالية.saba.example".encode()))
    human, machine, _ = found.iter_parts()
    assert "أمل@مالية.saba.example" in human.get_content()
    assert machine.get_payload()[1]["Final-Recipient"].startswith(r"utf-8; \x{623}\x{645}\x{644}@")  # type: ignore[union-attr,index]
    assert found.as_bytes().isascii()


def test_an_arabic_sender_gets_one_too() -> None:
    sender = "أمل@مالية.saba.example"
    stored = replace(STORED, sender=sender.encode())
    parsed(stored, told())
    assert f"\r\nTo: <{sender}>\r\n".encode() in dsn.compose(stored, (told(),), CONTENT, RELAY, NOW)


def test_the_whole_original_comes_back_only_where_it_was_asked_for() -> None:
    _, _, full = parsed(replace(STORED, ret="FULL"), told()).iter_parts()
    assert full.get_content_type() == "message/rfc822"
    assert "the body" in full.as_string()
    _, _, headers = parsed(STORED, told()).iter_parts()
    assert headers.get_content_type() == "text/rfc822-headers"
    assert "the body" not in headers.get_content()


def test_words_of_the_world_are_isolated_for_right_to_left_readers() -> None:
    human = next(iter(parsed(STORED, told()).iter_parts()))
    assert "\u2068550 5.1.1 no\u2069" in human.get_content()


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
    human, machine, _ = parsed(STORED, *(told(b"u%d@h.example" % n) for n in range(250))).iter_parts()
    assert len(machine.get_payload()) == 251
    assert "150 more recipients" in human.get_content()
