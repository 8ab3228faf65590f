"""What a sender is told of mail that was refused or held."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from hudhud.entity import Contact, Entity
from mail.tell import notice
from mail.tell.notice import Notice, Refused
from mail.verdict import Disposition, Finding, Reply

REPLY = Reply(250, "2.0.0", "Accepted")


def told(what: str, count: int, total: int) -> tuple[str, str, str]:
    """Subject, text and page of a notice."""
    finding = Finding("content", "HY-0101", "1", Disposition.HOLD, "content-hit", facts={"rule": "HY-0101"})
    refused = [Refused(f"r{n}@interior.saba.example", finding, REPLY) for n in range(count)]
    made = Notice("amal@finance.saba.example", "0-ABC", refused, total, None, "https://x.example/r", "تقرير", what)
    data = notice.compose(made, sender="postmaster@relay.saba.example", hostname="mx.example", now=datetime.now(UTC))
    assert data.isascii()
    mail = message_from_bytes(data, policy=default)
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    return str(mail["Subject"]), plain.get_content(), page.get_content()


@pytest.mark.parametrize("what", ["refused", "held"])
def test_a_notice_speaks_both_languages_arabic_first(what: str) -> None:
    subject, text, page = told(what, 1, 2)
    assert subject.index("من أصل") < subject.index(" of ")
    assert text.index("رسالتك") < text.index("Your message")
    assert 'dir="rtl"' in page
    assert "0-ABC" in text


def test_a_held_message_is_not_called_lost_or_refused() -> None:
    subject, text, _ = told("held", 1, 1)
    assert "Your message is held" in subject
    assert "need not send it again" in " ".join(text.split())
    assert "Not sent" not in subject + text


def test_one_recipient_is_not_counted() -> None:
    subject, _, _ = told("refused", 1, 1)
    assert "1 of 1" not in subject


def test_a_reference_reads_right_in_arabic_too() -> None:
    """It begins with a digit: without isolation a page from right to left shows its halves the other way round."""
    _, text, page = told("refused", 1, 1)
    assert text.count("\u20680-ABC\u2069") == 2
    assert page.count("<bdi>0-ABC</bdi>") == 2


@pytest.mark.parametrize(("reason", "said"), [("foreign-recipient", True), ("no-such-domain", False)])
def test_exemptions_are_spoken_of_only_where_one_would_help(reason: str, said: bool) -> None:
    contact = Contact("security", "Hala", "security@finance.saba.example", "+999 1 100", "ar")
    body = Entity("FIN", "وزارة المالية", "Finance", None, "", (), (), (), None, "", (contact,))
    finding = Finding("national", "H-NAT-02", "1", Disposition.REJECT, reason)
    refused = [Refused("x@partner.example", finding, REPLY)]
    made = Notice("amal@finance.saba.example", "0-ABC", refused, 1, body, "https://x.example/r")
    data = notice.compose(made, sender="postmaster@relay.saba.example", hostname="mx.example", now=datetime.now(UTC))
    plain = message_from_bytes(data, policy=default).get_body(("plain",))
    assert ("+999 1 100" in plain.get_content()) is said
