"""System classes pass rule B by design, each as a finding with its reason, and are no hole for persons."""

from __future__ import annotations

import base64
import gzip
from dataclasses import replace
from typing import Any

import pytest

from mail.accounts import Account

NOOR = "noor@freemail.example"
SERVER = Account("FIN/exchange", "FIN", kind="server")
POSTMASTER = Account("postmaster@finance.saba.example", "FIN", frozenset({"postmaster@finance.saba.example"}))
AMAL = Account("amal@finance.saba.example", "FIN", frozenset({"amal@finance.saba.example"}))
REFUSE = {"foreign": "refuse"}


def _report(
    recipient: str = "gone@finance.saba.example", *, kind: str = "delivery-status", action: str = "failed"
) -> bytes:
    return (
        f"From: MAILER-DAEMON@finance.saba.example\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-replied\r\n"
        f'Content-Type: multipart/report; report-type={kind}; boundary="b"\r\n\r\n--b\r\n\r\nNo such person.\r\n'
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.finance.saba.example\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: 5.1.1\r\n--b--\r\n"
    ).encode()


def _class(asked: Any) -> list[object]:
    found = [f for f in asked.data.findings if f.rule == "H-SYS-01" and f.reason == "system-class"]
    assert all(f.disposition.word == "accept" for f in found)
    return [f.facts["class"] for f in found]


@pytest.mark.parametrize("changed", [{}, REFUSE])
async def test_a_servers_report_of_its_own_mailbox_goes_abroad(ask: Any, changed: dict[str, object]) -> None:
    asked = await ask(_report(), "", [NOOR], account=SERVER, changed=changed)
    assert asked.word() == "accept"
    assert _class(asked) == ["delivery-report"]


@pytest.mark.parametrize(
    "data",
    [
        _report("salim@interior.saba.example"),
        _report(NOOR),
        _report(kind="disposition-notification"),
        _report(action="nothing"),
        _report() + b"x" * 300_000,
        b"From: amal@finance.saba.example\r\n\r\nhello\r\n",
    ],
)
async def test_what_is_no_report_of_its_own_is_no_answer(ask: Any, data: bytes) -> None:
    asked = await ask(data, "", [NOOR], account=SERVER)
    assert (asked.word(), "H-NAT-03" in asked.rules) == ("reject", True)


async def test_a_report_goes_to_one_and_persons_have_no_reports(ask: Any) -> None:
    assert (await ask(_report(), "", [NOOR, "x@partner.example"], account=SERVER)).word() == "reject"
    asked = await ask(_report(), "", [NOOR], account=AMAL, changed={"null_sender": True})
    assert asked.word() == "reject"


async def test_the_postmaster_answers_the_worlds_postmasters_as_postmaster(ask: Any) -> None:
    as_postmaster = b"From: postmaster@finance.saba.example\r\n\r\nIt is mended.\r\n"
    asked = await ask(as_postmaster, "postmaster@finance.saba.example", [NOOR], account=POSTMASTER, changed=REFUSE)
    assert (asked.word(), _class(asked)) == ("accept", ["postmaster"])
    both = replace(AMAL, delegated={"postmaster@finance.saba.example": "owner"})
    personal = as_postmaster.replace(b"postmaster@", b"amal@")
    asked = await ask(personal, "postmaster@finance.saba.example", [NOOR], account=both)
    assert (asked.word(), asked.rules[-1]) == ("reject", "H-SYS-01")


def _aggregate(name: str, text: str = "") -> bytes:
    packed = base64.b64encode(gzip.compress(b"<feedback/>", mtime=0)).decode()
    return "\r\n".join(
        [
            "From: noreply-dmarc@finance.saba.example", "MIME-Version: 1.0",
            "Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: text/plain", "", f"report {text}",
            "--b", f'Content-Type: application/gzip; name="{name}"',
            f'Content-Disposition: attachment; filename="{name}"', "Content-Transfer-Encoding: base64", "", packed,
            "--b--", "",
        ]
    ).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("finance.saba.example!freemail.example!1763856000!1763942399.xml.gz", "", "accept"),
        ("finance.saba.example!freemail.example!1763856000!1763942399!001.json.gz", "", "accept"),
        ("other.example!freemail.example!1763856000!1763942399.xml.gz", "", "reject"),
        ("budget.xml.gz", "", "reject"),
        ("finance.saba.example!freemail.example!1763856000!1763942399.xml.gz", "secret " * 1000, "reject"),
    ],
)
async def test_dmarc_and_tls_reports_are_known_by_their_file(ask: Any, name: str, text: str, word: str) -> None:
    sender = "noreply-dmarc@finance.saba.example"
    asked = await ask(_aggregate(name, text), sender, ["rua@freemail.example"], account=SERVER, changed=REFUSE)
    assert asked.word() == word


async def test_the_response_centre_may_warn_anybody_as_itself(ask: Any) -> None:
    cert = Account("cert@telecom.saba.example", "TEL", frozenset({"cert@telecom.saba.example"}))
    data = b"From: cert@telecom.saba.example\r\n\r\nYour host scans us.\r\n"
    changed = REFUSE | {"response_centre": ["cert@telecom.saba.example"]}
    asked = await ask(data, "cert@telecom.saba.example", ["abuse@partner.example"], account=cert, changed=changed)
    assert (asked.word(), _class(asked)) == ("accept", ["response-centre"])
    asked = await ask(data, "cert@telecom.saba.example", ["abuse@partner.example"], account=cert, changed=REFUSE)
    assert asked.word() == "reject"
