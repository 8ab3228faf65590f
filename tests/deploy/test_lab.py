"""What the lab plays: the name server and the mailbox servers, asked by real clients."""

import json
import smtplib
import ssl
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from deploy import mailboxes, zone
from deploy.authority import make_authority, make_certificate
from deploy.mailboxes import Mailbox, maildir
from hudhud import tls
from hudhud.clock import SYSTEM

LONG = "v=DKIM1; p=" + "A" * 600


async def ask(port: int, name: str, kind: str, *, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await send(query, "127.0.0.1", port=port, timeout=5)


@pytest.mark.parametrize("tcp", [False, True])
async def test_the_zone_is_answered(tmp_path: Path, free_port: int, tcp: bool) -> None:
    path = tmp_path / "zone.json"
    path.write_text(json.dumps({"a.example": {"TXT": [LONG], "MX": ["10 mx.a.example."]}}))
    server = await zone.serve(path, "127.0.0.1", free_port)
    try:
        found = await ask(free_port, "A.example.", "TXT", tcp=True)
        assert b"".join(found.answer[0][0].strings).decode() == LONG
        assert (await ask(free_port, "a.example", "MX", tcp=tcp)).answer[0][0].exchange.to_text() == "mx.a.example."
        assert (await ask(free_port, "b.example", "MX", tcp=tcp)).rcode() == dns.rcode.NXDOMAIN
        assert (await ask(free_port, "example", "MX", tcp=tcp)).rcode() == dns.rcode.NOERROR
        path.write_text(json.dumps({"b.example": {"A": ["192.0.2.1"]}}))
        assert (await ask(free_port, "b.example", "A", tcp=tcp)).answer
    finally:
        server.close()


@pytest.mark.parametrize("junk", [b"", b"\0", b"\xff" * 40, b"\0" * 12])
def test_what_is_no_question_gets_no_answer(junk: bytes) -> None:
    assert zone.answer({}, junk) is None


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    make_authority(tmp_path, SYSTEM.now())
    make_certificate(tmp_path, "mta", ("localhost", "127.0.0.1"), SYSTEM.now())
    return tmp_path


async def test_mail_lies_in_the_maildir_byte_for_byte(certificates: Path, free_port: int) -> None:
    import asyncio

    context = tls.server_context(certificates / "mta.pem", certificates / "mta.key")
    box = Mailbox("127.0.0.1", free_port, "smtp", ("finance.saba.example",))
    (server,) = await mailboxes.serve([box], certificates / "mail", context)
    body = "Subject: x\r\n\r\n.dot\r\n..\r\nبريد\r\n".encode() + b"\xff \r\n"

    def send() -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("localhost", free_port, timeout=10) as client:
            client.starttls(context=tls.client_context(certificates / "ca.pem"))
            return client.sendmail("a@x.example", ["amal@finance.saba.example", "b@other.example"], body)

    refused = await asyncio.to_thread(send)
    assert list(refused) == ["b@other.example"]
    (path,) = (maildir(certificates / "mail", "amal@finance.saba.example") / "new").iterdir()
    assert path.read_bytes() == body
    (certificates / "mail" / mailboxes.HOLD).touch()
    with pytest.raises(smtplib.SMTPException):
        await asyncio.to_thread(send)
    server.close()


def test_a_recipient_cannot_name_a_folder_outside(tmp_path: Path) -> None:
    for address in ("../../etc@..", "a/../../b@x.example", "@", "..@.."):
        assert tmp_path in maildir(tmp_path, address).resolve().parents


def test_only_the_lab_authority_is_trusted(certificates: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_authority(other, SYSTEM.now())
    context = tls.client_context(other / "ca.pem")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert (certificates / "ca.key").stat().st_mode & 0o077 == 0
