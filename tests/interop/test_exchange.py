"""Postfix, Exim, Dovecot, swaks, msmtp and curl exchange mail with the relay, both ways; no octet of a body changes."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import secrets
import subprocess
from pathlib import Path

import pytest

from tests.interop.conftest import Country, arrived
from tests.interop.peers import ABROAD, needs
from tests.mail.session.test_process import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]
AMAL, SALIM, HUDA = "amal@finance.saba.example", "salim@interior.saba.example", "huda@health.saba.example"
NOOR = "noor@freemail.example"
ODD = (
    b".a dot\r\n..two\r\n.\r\n\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7 and \xff\x80\r\ntrailing \t \r\n\r\n"
    + b"0123456789" * 99 + b"12345678\r\n" + b"From the beginning of a line\r\nlast\r\n"
)  # fmt: skip


def letter(sender: str, recipient: str, token: str, body: bytes = b"Hello.\r\n", more: str = "") -> bytes:
    identity = f"{token}@{sender.rpartition('@')[2]}"
    head = (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {token}\r\nMessage-ID: <{identity}>\r\n"
        f"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n{more or EIGHT_BIT}\r\n"
    )
    return head.encode() + body


EIGHT_BIT = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"


def attachment(token: str) -> tuple[str, bytes]:
    """(header fields, body) with 25 MB of an attachment that does not compress."""
    content = base64.encodebytes(random.Random(token).randbytes(25_000_000)).replace(b"\n", b"\r\n")
    head = b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
    body = head + b'Content-Disposition: attachment; filename="plan.bin"\r\n\r\n' + content + b"--b--\r\n"
    return 'Content-Type: multipart/mixed; boundary="b"\r\n', body


def body_of(data: bytes) -> str:
    """The sha256 of what follows the header."""
    return hashlib.sha256(data.partition(b"\r\n\r\n")[2]).hexdigest()


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def token() -> str:
    return "t" + secrets.token_hex(8)


def ran(*words: str, stdin: bytes = b"") -> str:
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, said
    return said


def test_a_ministrys_postfix_hands_in_25_megabytes_that_huda_reads_by_imap(country: Country, token: str) -> None:
    more, body = attachment(token)
    country.inject(country.postfix, AMAL, HUDA, letter(AMAL, HUDA, token, body, more))
    found = until(lambda: country.imap(token), 60)
    assert body_of(found) == sha256(body)
    assert b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=finance.saba.example;" in found
    assert "Verified TLS connection established to 127.0.0.1" in country.postfix.log.read_text()


def test_a_strangers_exim_brings_odd_bytes_whole_to_a_postfix_whose_name_is_verified(
    country: Country, token: str
) -> None:
    country.inject(country.exim, NOOR, AMAL, letter(NOOR, AMAL, token, ODD), "BODY=8BITMIME")
    found = arrived(lambda: country.postfix.box("amal"), token)
    assert body_of(found) == sha256(ODD)
    assert re.search(rb"(?i)Authentication-Results:[^\n]*\r\n?(?:[ \t][^\n]*\n)*?[^\n]*spf=pass", found), found[:2000]
    assert f"[{ABROAD}]".encode() in found
    taken = country.postfix.log.read_text()
    assert "TLS connection established from" in taken


def test_arabic_addresses_go_from_exim_through_the_relay_to_postfix(country: Country, token: str) -> None:
    sender, recipient = "نور@freemail.example", "أمل@مالية.saba.example"
    country.inject(country.exim, sender, recipient, letter(sender, recipient, token, ODD), "SMTPUTF8", "BODY=8BITMIME")
    found = arrived(lambda: country.postfix.box("أمل"), token)
    assert body_of(found) == sha256(ODD)
    assert f"From: <{sender}>".encode() in found
    assert f"Delivered-To: {recipient}".encode() in found


def test_arabic_addresses_go_from_postfix_through_the_relay_to_exim(country: Country, token: str) -> None:
    sender, recipient = "أمل@مالية.saba.example", "سالم@interior.saba.example"
    country.inject(
        country.postfix, sender, recipient, letter(sender, recipient, token, ODD), "SMTPUTF8", "BODY=8BITMIME"
    )
    found = arrived(lambda: country.exim.box("سالم"), token)
    assert body_of(found) == sha256(ODD)


@pytest.mark.parametrize(
    "secure", [("submission", "--tls"), ("submissions", "--tls-on-connect")], ids=lambda pair: pair[0]
)
def test_swaks_submits_and_exim_takes_it_over_verified_tls(
    country: Country, token: str, secure: tuple[str, str]
) -> None:
    listener, option = secure
    swaks = needs("swaks", "swaks")
    server = ("--server", "localhost", "--port", str(country.port(listener)), option)
    check = ("--tls-verify", "--tls-ca-path", str(country.ca)) if "--tls-ca-path" in ran(swaks, "--help") else ()
    login = ("--auth", "PLAIN", "--auth-user", AMAL, "--auth-password", country.password)
    pipelined = ("--pipeline",) if listener == "submission" else ()
    envelope = ("--from", AMAL, "--to", SALIM, "--helo", "pc.finance.saba.example", "--data", "-")
    said = ran(swaks, *server, *check, *login, *envelope, *pipelined, stdin=letter(AMAL, SALIM, token, ODD[:400]))
    assert " 250 2.0.0 Accepted" in said
    arrived(lambda: country.exim.box("salim"), token)
    assert "esmtps X=TLS1." in country.exim.log.read_text()


def test_msmtp_and_curl_submit_to_dovecot(country: Country, token: str, tmp_path: Path) -> None:
    msmtp, curl = needs("msmtp", "msmtp"), needs("curl", "curl")
    secret = tmp_path / "password"
    secret.write_text(country.password)
    ran(
        msmtp, "--file=/dev/null", "--host=localhost", f"--port={country.port('submission')}", "--tls=on",
        f"--tls-trust-file={country.ca}", "--auth=on", f"--user={AMAL}", f"--passwordeval=cat {secret}",
        f"--from={AMAL}", "--", HUDA, stdin=letter(AMAL, HUDA, token + "m").replace(b"\r\n", b"\n"),
    )  # fmt: skip
    mail = tmp_path / "letter.eml"
    mail.write_bytes(letter(AMAL, HUDA, token + "c", ODD))
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine localhost login {AMAL} password {country.password}\n")
    ran(
        curl, "--silent", "--show-error", "--url", f"smtps://localhost:{country.port('submissions')}",
        "--cacert", str(country.ca), "--netrc-file", str(netrc), "--mail-from", AMAL, "--mail-rcpt", HUDA,
        "--upload-file", str(mail),
    )  # fmt: skip
    arrived(lambda: country.dovecot.box("huda"), token + "m")
    assert body_of(arrived(lambda: country.dovecot.box("huda"), token + "c")) == sha256(ODD)


def test_submitted_25_megabytes_arrive_at_exim(country: Country, token: str) -> None:
    more, body = attachment(token)
    with country.submission(AMAL) as client:
        assert client.sendmail(AMAL, [SALIM], letter(AMAL, SALIM, token, body, more)) == {}
    assert body_of(arrived(lambda: country.exim.box("salim"), token)) == sha256(body)


def test_success_asked_for_is_told_by_postfix_and_for_lmtp_by_the_relay(country: Country, token: str) -> None:
    with country.submission(SALIM) as client:
        client.ehlo()
        assert client.mail(SALIM, ["RET=HDRS", f"ENVID={token}", "BODY=8BITMIME"])[0] == 250
        for to in (AMAL, HUDA):
            assert client.rcpt(to, ["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{to}"])[0] == 250
        assert client.data(letter(SALIM, AMAL, token))[0] == 250
    for recipient, reporter in ((AMAL, b"mail.finance.saba.example"), (HUDA, b"mx.relay.saba.example")):
        found = arrived(
            lambda: country.exim.box("salim"), f"Original-Envelope-Id: {token}", f"Final-Recipient: rfc822; {recipient}"
        )
        assert b"Action: delivered" in found
        assert b"Reporting-MTA: dns; " + reporter in found
        assert found.startswith(b"Return-path: <>")


def test_what_exim_refuses_is_told_to_the_sender_in_its_words(country: Country, token: str) -> None:
    nobody = f"{token}@interior.saba.example"
    with country.submission(AMAL) as client:
        try:
            client.sendmail(AMAL, [nobody], letter(AMAL, nobody, token))
        except OSError as error:  # refused at once is as good
            pytest.fail(str(error))
    found = arrived(lambda: country.postfix.box("amal"), f"Final-Recipient: rfc822; {nobody}")
    assert b"Action: failed" in found
    assert b"5.1.1" in found
    assert b"nobody of that name works here" in found
    assert b"Return-Path: <>" in found


def test_the_null_sender_of_a_stranger_brings_its_bounce(country: Country, token: str) -> None:
    swaks = needs("swaks", "swaks")
    bounce = letter("mailer-daemon@freemail.example", AMAL, token, b"It could not be delivered.\r\n")
    server = ("--server", "127.0.0.1", "--port", str(country.port("mx")), "--local-interface", ABROAD, "--tls")
    said = ran(swaks, *server, "--from", "<>", "--to", AMAL, "--helo", "freemail.example", "--data", "-", stdin=bounce)
    assert " 250 2.0.0 Accepted" in said
    assert b"Return-Path: <>" in arrived(lambda: country.postfix.box("amal"), token)
