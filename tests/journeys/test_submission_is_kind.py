"""A relay as it runs, its next hops and mailboxes, and people who send: none loses a message without being told."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy import demo
from deploy.mailboxes import maildir
from deploy.main import _run as hudhud
from deploy.ports import Ports
from hudhud import config, tls
from hudhud.audit import verify
from hudhud.clock import SYSTEM
from hudhud.keys import SigningKey
from hudhud.settings import Settings, split_address
from tests.conftest import needs

ROOT = Path(__file__).parents[2]
RANIA, SALIM = "rania@finance.saba.example", "salim@interior.saba.example"
FORBIDDEN = "outsider@freemail.example"
LAB = """
import asyncio, sys
from pathlib import Path
from deploy.onebox import _lab
from hudhud import config, log

async def main():
    data = Path(sys.argv[1])
    log.configure("warning")
    async with _lab(data, config.load(data / "hudhud.toml").settings):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


class Dns:
    """Stands between the relay and the lab's name server, and drops every question while it is `down`."""

    def __init__(self, upstream: str) -> None:
        self.down = False
        self._upstream = split_address(upstream)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(2)
            while True:
                question, client = self._socket.recvfrom(4096)
                if not self.down:
                    asking.sendto(question, self._upstream)
                    self._socket.sendto(asking.recv(4096), client)

    def close(self) -> None:
        self._socket.close()


@dataclass
class House:
    """A lab's data folder with its relay running."""

    data: Path
    settings: Settings
    relay: subprocess.Popen[bytes]
    dns: Dns

    def __post_init__(self) -> None:
        self.config, self.password = self.data / "hudhud.toml", demo.password(self.data)
        self.context = tls.client_context(self.data / "tls" / "ca.pem")
        self.submission = split_address(self.settings.relay.submission[0])[1]

    def state(self) -> Any:
        file = self.data / "run" / "relay.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def box(self, address: str) -> list[bytes]:
        folder = maildir(self.data / "mailboxes", address) / "new"
        return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []

    def got(self, address: str, number: int) -> bool:
        return any(f"Message-ID: <kind.{number}@".encode() in data for data in self.box(address))

    def states(self, reference: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
        capsys.readouterr()
        assert hudhud(["mail", "explain", reference, "--json", "--config", str(self.config)]) == 0
        return {one["address"]: one["state"] for one in json.loads(capsys.readouterr().out)["recipients"]}


class MailProgram(smtplib.SMTP):
    """As Outlook and its kin: one refused recipient, and the whole message stays in the outbox."""

    def hand_in(self, house: House, sender: str, recipients: list[str], data: bytes) -> str:
        self.starttls(context=house.context)
        self.login(sender, house.password)
        assert self.mail(sender)[0] == 250
        for recipient in recipients:
            code, text = self.rcpt(recipient)
            if code != 250:
                raise smtplib.SMTPRecipientsRefused({recipient: (code, text)})
        code, text = self.data(data)
        assert code == 250, text
        return text.decode()


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("kind") / "var"
    path = demo.make_lab(data, Ports(_free_base()), SYSTEM.now())
    lab = subprocess.Popen([sys.executable, "-c", LAB, str(data)], cwd=ROOT, stdout=subprocess.PIPE)
    assert lab.stdout is not None
    assert lab.stdout.readline() == b"ready\n"
    settings = config.load(path).settings
    dns = Dns(settings.dns.nameservers[0])
    text = path.read_text().replace(settings.dns.nameservers[0], f"127.0.0.1:{dns.port}")
    path.write_text(text.replace("timeout_s = 2.0", "timeout_s = 0.5"))
    with (data / "relay.log").open("ab") as log:
        words = [sys.executable, "-m", "deploy.main", "relay", "--config", str(path)]
        relay = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
    running = House(data, settings, relay, dns)
    try:
        until(lambda: running.state().get("ready"), 60)
        yield running
    finally:
        relay.send_signal(signal.SIGTERM)
        relay.wait(30)
        dns.close()
        lab.kill()
        lab.wait()


def _free_base() -> int:
    for base in range(31_000, 39_000, 200):
        with contextlib.suppress(OSError), contextlib.ExitStack() as probes:
            for port in (*(base + n for n in (25, 30, 33, 34, 53, 65, 87)), *range(base + 101, base + 110)):
                probes.enter_context(socket.create_server(("127.0.0.1", port)))
            return base
    raise RuntimeError("no free ports")


def letter(sender: str, number: int) -> bytes:
    return (
        f"From: <{sender}>\r\nTo: undisclosed-recipients:;\r\nSubject: Meeting {number}\r\n"
        f"Message-ID: <kind.{number}@finance.saba.example>\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nAt ten.\r\n"
    ).encode()


def notice(house: House, address: str, reference: str) -> str:
    """The text of the notice with that reference, once it lies in the mailbox."""
    mark = f"X-Hudhud-Reference: {reference}".encode()
    data = until(lambda: next((one for one in house.box(address) if mark in one), None), 30)
    return str(message_from_bytes(data, policy=policy.default).get_body(("plain",)).get_content())


def reference_of(reply: str) -> str:
    return reply.rpartition("(ref ")[2].rstrip(")")


def test_an_assistant_writes_to_twelve_one_forbidden_eleven_get_it_and_a_notice_tells_of_the_other(
    house: House,
) -> None:
    colleagues = [
        f"{local}@{domain}" for domain, people in demo.STAFF.items() for local, _ in people if local != "rania"
    ][:11]
    with MailProgram("localhost", house.submission, timeout=30) as program:
        reply = program.hand_in(house, RANIA, [*colleagues[:6], FORBIDDEN, *colleagues[6:]], letter(RANIA, 1))
    assert "Accepted for 11 of 12 recipients" in reply
    text = notice(house, RANIA, reference_of(reply))
    assert FORBIDDEN in text
    assert "H-NAT-02" in text
    assert "official mail stays national" in text
    assert "مستلم" in text
    until(lambda: all(house.got(one, 1) for one in colleagues))
    assert not house.got(FORBIDDEN, 1)


@pytest.mark.system
def test_submission_works_from_any_country(house: House) -> None:
    swaks = needs("swaks", "swaks")
    proxy = (
        *("--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-protocol", "STREAM"),
        *("--proxy-source", "203.0.113.77", "--proxy-source-port", "40000"),
        *("--proxy-dest", "192.0.2.10", "--proxy-dest-port", "587"),
    )
    done = subprocess.run(
        [swaks, "--server", "127.0.0.1", "--port", str(house.submission), "--tls", *proxy, "--helo", "hotel.example",
         "--from", RANIA, "--to", SALIM, "--auth", "PLAIN", "--auth-user", RANIA, "--auth-password", house.password,
         "--header", "Message-ID: <kind.2@finance.saba.example>"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    until(lambda: house.got(SALIM, 2))
    (data,) = [one for one in house.box(SALIM) if b"<kind.2@" in one]
    assert b"[203.0.113.77]" in data


def test_with_the_dns_down_the_message_is_kept_survives_a_killed_worker_and_goes_on_when_it_is_back(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    unlisted = "a@unlisted.saba.example"  # under the national suffix: its mail hosts decide
    house.dns.down = True
    try:
        with MailProgram("localhost", house.submission, timeout=30) as program:
            reply = program.hand_in(house, RANIA, [SALIM, unlisted], letter(RANIA, 3))
        assert "Accepted; a fault here delays its examination" in reply
        until(lambda: house.got(SALIM, 3))  # whose verdict was sure is served at once
        assert house.states(reference_of(reply), capsys)[unlisted] == "unjudged"
        for worker in house.state()["workers"]:
            os.kill(worker, signal.SIGKILL)
    finally:
        house.dns.down = False
    words = ["mail", "queue", "retry", reference_of(reply), "--config", str(house.config)]
    until(lambda: hudhud(words) == 0, 40)
    text = notice(house, RANIA, reference_of(reply))
    assert unlisted in text
    assert "does not exist or takes no mail" in text
    assert house.states(reference_of(reply), capsys)[unlisted] == "failed"


def test_two_people_suspend_a_content_check_and_never_the_national_policy(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def checks(*words: str, login: str = "") -> tuple[int, str]:
        more = ["--login", login] if login else []
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{house.password}\n"))
        code = hudhud(["mail", "checks", *words, *more, "--config", str(house.config)])
        said = capsys.readouterr()
        return code, said.out + said.err

    def suspended() -> list[list[str]]:
        capsys.readouterr()
        assert hudhud(["mail", "status", "--json", "--config", str(house.config)]) == 0
        workers = json.loads(capsys.readouterr().out)["workers"]
        return [[one["check"] for one in worker["suspended"]] for worker in workers]

    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    code, said = checks("suspend", "national", "--for", "1h", "--reason", "hurry", login="omar")
    assert code == 1
    assert "national policy and is never suspended" in said
    assert checks("suspend", "content", "--for", "2d", "--reason", "x", login="omar")[0] == 1
    assert checks("suspend", "content", "--for", "1h", "--reason", "x", login="dalia")[0] == 1  # an officer
    code, said = checks("suspend", "content", "--for", "1h", "--reason", "the scanner hangs", login="omar")
    assert code == 0
    number = said.partition(":")[0]
    assert checks("approve", number, login="omar")[0] == 1
    until(lambda: suspended() == [[], []], 30)
    assert checks("approve", number, login="samar")[0] == 0
    until(lambda: suspended() == [["content"], ["content"]], 10)
    victim = house.state()["workers"][0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in house.state().get("workers", [victim]) and house.state().get("ready"), 30)
    until(lambda: suspended() == [["content"], ["content"]], 10)
    assert "the scanner hangs" in checks("list")[1]
    assert checks("resume", number, "--reason", "repaired", login="omar")[0] == 0
    until(lambda: suspended() == [[], []], 10)
    assert "Every check bites." in checks("list")[1]
    key = SigningKey.load(house.data / "keys" / "node.key")
    assert verify(house.data / "audit" / "suspensions.chain", key.public) == []


def test_a_mail_program_finds_the_servers_over_https(house: House) -> None:
    port = split_address(house.settings.relay.setup)[1]
    headers = {"Host": "autoconfig.finance.saba.example"}
    url = f"https://localhost:{port}/mail/config-v1.1.xml"
    answer = httpx.get(url, headers=headers, verify=house.context, trust_env=False)
    assert answer.status_code == 200
    assert "<hostname>mx.relay.saba.example</hostname>" in answer.text
    assert httpx.get(url, verify=house.context, trust_env=False).status_code == 421
