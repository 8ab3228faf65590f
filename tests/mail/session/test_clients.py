"""Clients that nobody here wrote speak to a live worker: swaks, Postfix's smtp-source, Python's smtplib."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
from typing import Any

import pytest

AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
PASSWORD = "a password of the lab"


async def run(*words: str) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(child.communicate(), 60)
    return child.returncode or 0, output.decode("utf-8", "replace")


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there: apt install {package}")
    return found


@pytest.mark.system
@pytest.mark.parametrize(
    ("mechanism", "listener", "tls"), [("PLAIN", "submission", "--tls"), ("LOGIN", "submissions", "-tlsc")]
)
async def test_swaks_logs_in_and_sends(start: Any, mechanism: str, listener: str, tls: str) -> None:
    swaks = program("swaks", "swaks")
    if (await run("perl", "-MNet::SSLeay", "-e", "1"))[0]:
        pytest.skip("swaks has no TLS: apt install libnet-ssleay-perl")
    async with start() as running:
        server = ("--server", "127.0.0.1", "--port", str(running.ports[listener]), tls)
        login = ("--auth", mechanism, "--auth-user", AMAL, "--auth-password", PASSWORD)
        envelope = ("--from", AMAL, "--to", f"{SALIM},x@freemail.example", "--helo", "pc.example", "--pipeline")
        code, output = await run(swaks, *server, *login, *envelope[: -1 if listener == "submissions" else None])
        assert "250 2.0.0 Accepted" in output, output
        assert ("Accepted for 1 of 2 recipients" in output) is ("x@freemail.example" in output), output
        assert code == 0
        assert [one["address"] for one in running.mail()[0]["recipients"]] == [SALIM]


@pytest.mark.system
async def test_smtp_source_sends_many_in_parallel_and_in_one_session(start: Any) -> None:
    source = program("smtp-source", "postfix")
    async with start() as running:
        target = ("-f", NOOR, "-t", AMAL, "-M", "mx.freemail.example", f"inet:127.0.0.1:{running.ports['mx']}")
        for more in ((), ("-d",)):
            code, output = await run(source, "-s", "8", "-m", "60", "-l", "3000", *more, *target)
            assert code == 0, output
        assert len(running.mail()) == 100  # as many as a list shows
        assert running.spool.database.read("SELECT count(*) FROM messages")[0][0] == 120
        assert running.actions() == ["accepted"] * 120


async def test_a_message_of_many_megabytes_arrives_whole(start: Any) -> None:
    data = b"From: <noor@freemail.example>\r\nSubject: large\r\n\r\n" + b"0123456789abcdef" * 60 + b"\r\n"
    data += (b"x" * 70 + b"\r\n.leading dot\r\n") * 100_000
    async with start() as running:

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", running.ports["mx"], timeout=60) as client:
                assert client.sendmail(NOOR, [AMAL], data) == {}

        await asyncio.to_thread(send)
        assert running.spool.body(running.mail()[0]["id"]) == data
        assert list((running.house.folder).glob("tmp*")) == []


async def test_an_arabic_address_is_spoken_by_smtplib(start: Any) -> None:
    async with start() as running:

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", running.ports["mx"], timeout=60) as client:
                client.ehlo()
                client.mail("نور@freemail.example", ["SMTPUTF8", "BODY=8BITMIME"])
                assert client.rcpt("أمل@مالية.saba.example")[0] == 250
                assert client.data("From: <نور@freemail.example>\r\n\r\nمرحبا\r\n".encode())[0] == 250

        await asyncio.to_thread(send)
        assert running.mail()[0]["recipients"][0]["address"] == "أمل@مالية.saba.example"
