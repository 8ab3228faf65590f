"""`hudhud relay` as it runs: a supervisor with two workers on the lab's demo country, spoken to from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy import demo
from deploy.bench.lab import free_ports
from deploy.mailboxes import HOLD, maildir
from hudhud import codec, config, release, tls
from hudhud.audit import verify
from hudhud.clock import SYSTEM
from hudhud.journal import open_readonly
from hudhud.keys import SigningKey
from hudhud.settings import Settings, split_address
from rules.ruleset import library

ROOT = Path(__file__).parents[3]
AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
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


@dataclass
class House:
    """A lab's data folder with its relay running."""

    data: Path
    settings: Settings
    relay: subprocess.Popen[bytes]

    @property
    def password(self) -> str:
        return demo.password(self.data)

    def state(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads((self.data / "run" / "relay.json").read_text())
            return found
        return {}

    def pids(self) -> list[int]:
        return list(self.state().get("workers", []))

    def submit(
        self, account: str, recipients: list[str], data: bytes, *, sender: str = ""
    ) -> dict[str, tuple[int, bytes]]:
        _, port = split_address(self.settings.relay.submission[0])
        with smtplib.SMTP("localhost", port, timeout=30) as client:
            client.starttls(context=tls.client_context(self.data / "tls" / "ca.pem"))
            client.login(account, self.password)
            return client.sendmail(sender or account, recipients, data, ["body=8bitmime"])

    def outside(self, data: bytes, recipient: str = AMAL) -> None:
        host, port = split_address(self.settings.relay.mx[0])
        with smtplib.SMTP(host, port, timeout=30) as client:
            client.sendmail(NOOR, [recipient], data)

    def box(self, address: str) -> list[bytes]:
        folder = maildir(self.data / "mailboxes", address) / "new"
        return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []

    def events(self, action: str = "") -> list[dict[str, Any]]:
        """Every event in the shards' journals, or those of one action."""
        found: list[dict[str, Any]] = []
        for path in (self.data / "relay").glob("shard-*.db"):
            with contextlib.closing(open_readonly(path, "test")) as reader:
                found += [codec.decode(one.document) for one in reader.read(0, 100_000)]
        return [one for one in found if action in ("", one["event"]["action"])]

    def actions(self) -> set[str]:
        return {one["event"]["action"] for one in self.events()}

    def hudhud(self, *words: str, stdin: str = "") -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.main", *words, "--config", str(self.data / "hudhud.toml")],
            input=stdin, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def api(self, certificate: str = "console", actor: str = "rima") -> httpx.Client:
        folder = self.data / "tls"
        context = tls.client_context(
            folder / "ca.pem", cert=folder / f"{certificate}.pem", key=folder / f"{certificate}.key"
        )
        url = f"https://localhost:{split_address(self.settings.relay.control)[1]}"
        return httpx.Client(base_url=url, verify=context, headers={"Hudhud-Actor": actor}, timeout=20, trust_env=False)


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def start_relay(data: Path) -> subprocess.Popen[bytes]:
    with (data / "relay.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.main", "relay", "--config", str(data / "hudhud.toml")],
            cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("lab") / "var"
    path = demo.make_lab(data, free_ports(), SYSTEM.now())
    lab = subprocess.Popen([sys.executable, "-c", LAB, str(data)], cwd=ROOT, stdout=subprocess.PIPE)
    assert lab.stdout is not None
    assert lab.stdout.readline() == b"ready\n"
    running = House(data, config.load(path).settings, start_relay(data))
    try:
        until(lambda: running.state().get("ready"), 60)
        yield running
    finally:
        running.relay.send_signal(signal.SIGTERM)
        running.relay.wait(30)
        lab.kill()
        lab.wait()


def letter(sender: str, recipient: str, number: int, body: bytes = b"Hello.\r\n", extra: bytes = b"") -> bytes:
    domain = sender.rpartition("@")[2]
    return (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {number}\r\nMessage-ID: <{number}@{domain}>\r\n".encode()
        + b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        + (extra or b"Content-Type: text/plain; charset=utf-8\r\n")
        + b"\r\n"
        + body
    )


def received(house: House, address: str, number: int) -> bytes | None:
    return next((data for data in house.box(address) if f"Message-ID: <{number}@".encode() in data), None)


def test_ministry_writes_to_ministry(house: House) -> None:
    body = "سطر\r\n.نقطة\r\n\r\n".encode() + b"\xff\x80 bytes\r\n"
    assert house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 1, body)) == {}
    data = until(lambda: received(house, SALIM, 1))
    assert data.partition(b"\r\n\r\n")[2] == body
    assert data.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=finance.saba.example;")
    assert b"\r\nReceived: from " in data


def test_both_workers_take_connections(house: House) -> None:
    for number in range(100, 120):
        house.outside(letter(NOOR, AMAL, number))
    code, text = house.hudhud("mail", "queue", "list", "--state", "all", "--json")
    assert code == 0
    shards = {json.loads(line)["id"][0] for line in text.splitlines()}
    assert shards == {"0", "1"}
    until(lambda: all(received(house, AMAL, number) for number in range(100, 120)))


def test_a_refusal_is_explained_in_the_senders_own_mailbox(house: House) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        house.submit(AMAL, ["x@partner.example"], letter(AMAL, "x@partner.example", 2))
    code, text = refused.value.smtp_code, refused.value.smtp_error
    assert isinstance(text, bytes)
    assert code == 550
    assert b"H-NAT-02" in text
    reference = text.decode().rpartition("(ref ")[2].rstrip(")")
    notice = until(lambda: next((d for d in house.box(AMAL) if f"X-Hudhud-Reference: {reference}".encode() in d), None))
    assert b"\nx@partner.example\r\n" in notice


def test_the_command_line_explains_lists_and_says_when_nothing_is_there(house: House) -> None:
    house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 3))
    until(lambda: received(house, SALIM, 3))
    code, text = house.hudhud("mail", "queue", "list", "--state", "delivered", "--recipient", "SALIM", "--json")
    assert code == 0
    found = json.loads(text.splitlines()[0])
    code, text = house.hudhud("mail", "explain", found["id"])
    assert code == 0
    assert "delivered" in text
    assert house.hudhud("mail", "queue", "list", "--sender", "nobody@nowhere.example")[0] == 1
    assert house.hudhud("mail", "explain", "0-0000000000")[0] == 1
    code, text = house.hudhud("mail", "status", "--json")
    status = json.loads(text)
    assert (code, len(status["workers"]), status["stopped"]) == (0, 2, [])


def test_waiting_mail_is_held_released_deleted_and_tried_again_by_command(house: House) -> None:
    closed = house.data / "mailboxes" / HOLD
    closed.touch()  # every next hop answers 421
    for number in (50, 51):
        house.submit(AMAL, [SALIM], letter(AMAL, SALIM, number))
    _, text = house.hudhud("mail", "queue", "list", "--json")
    ids = {one["message_id"].partition("@")[0]: one["id"] for one in map(json.loads, text.splitlines())}
    code, text = house.hudhud("mail", "queue", "hold", ids["50"], "--reason", "looks odd")
    assert (code, ids["50"] in text) == (0, True)
    assert house.hudhud("mail", "held", "list", "--sender", "amal")[0] == 0
    code, text = house.hudhud("mail", "queue", "delete", ids["51"], "--reason", "asked for by its sender")
    assert (code, "--yes" in text) == (1, True)  # nobody can be asked
    assert house.hudhud("mail", "queue", "delete", ids["51"], "--reason", "asked by its sender", "--yes")[0] == 0
    assert house.hudhud("mail", "held", "release", ids["50"], "--reason", "looked at")[0] == 0
    closed.unlink()
    house.hudhud("mail", "queue", "retry", "--all", "--yes")
    until(lambda: received(house, SALIM, 50))
    code, text = house.hudhud("mail", "explain", ids["51"], "--json")
    assert json.loads(text)["state"] == "deleted"
    assert json.loads(text)["acts"][-1]["reason"] == "asked by its sender"


def test_held_mail_is_previewed_and_released_through_the_control_api(house: House) -> None:
    page = "<html><body><script>evil()</script><p>مرحبا \u202eabc</p></body></html>\r\n".encode()
    attachment = b"UEsDBBQAAAAAAAAAIQAAAAAAAAAAAAAAAAAPAAAAaW52b2ljZS5wZGYuZXhl\r\n"
    body = (
        b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
        + b"--b\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="invoice.pdf.exe"\r\n\r\n'
        + attachment + b"--b--\r\n"
    )  # fmt: skip
    house.outside(letter(NOOR, AMAL, 4, body, b'Content-Type: multipart/mixed; boundary="b"\r\n'))
    with house.api() as api:
        listed = api.get("/v1/queue", params={"state": "held", "recipient": "amal"}).json()["messages"]
        found = next(one for one in listed if one["message_id"] == "4@freemail.example")
        assert found["held_by"]
        path = f"/v1/messages/{found['id']}"
        assert api.get(path).json()["verdicts"][0]["disposition"] == "hold"
        assert api.get(f"{path}/preview").status_code == 400  # no reason
        preview = api.get(f"{path}/preview", params={"reason": "ticket 7"}).json()
        assert preview["subject"] == "4"
        assert "مرحبا" in preview["text"]
        assert "evil" not in preview["text"]
        assert "\\u202e" in preview["text"]
        assert {part["name"] for part in preview["parts"]} >= {"invoice.pdf.exe"}
        assert api.post(f"{path}/release", json={"reason": ""}).status_code == 400
        assert received(house, AMAL, 4) is None
        released = api.post(f"{path}/release", json={"reason": "expected by the ministry"})
        assert released.json() == {"id": found["id"], "recipients": [AMAL]}
        assert api.post(f"{path}/release", json={"reason": "again"}).status_code == 409
        assert api.get("/v1/messages/0-0000000000").status_code == 404
        assert api.post(f"{path}/explode", json={}).status_code == 404
    until(lambda: received(house, AMAL, 4))
    key = SigningKey.load(house.data / "keys" / "node.key")
    chains = [house.data / "audit" / f"relay-{number}.chain" for number in (0, 1)]
    acts = [json.loads(line) for chain in chains for line in chain.read_text().splitlines()]
    mine = [(one["actor"], one["act"], one.get("reason", "")) for one in acts if one.get("subject") == found["id"]]
    assert ("rima", "mail.preview", "ticket 7") in mine
    assert ("rima", "mail.release", "expected by the ministry") in mine
    assert all(verify(chain, key.public) == [] for chain in chains)


def test_the_control_api_is_for_named_certificates_and_persons_only(house: House) -> None:
    with house.api("sensor") as api:
        assert api.get("/v1/queue").status_code == 403
        assert api.get("/healthz").json() == {"healthy": True}
        metrics = api.get("/metrics").text
        assert "hudhud_mail_workers 2.0" in metrics
        assert 'hudhud_mail_limit_hits_total{limit="max_sessions"} 0.0' in metrics
    with house.api(actor="") as api:
        assert api.get("/v1/status").status_code == 400
    with house.api() as api:
        assert len(api.get("/v1/status").json()["workers"]) == 2
        assert api.post("/v1/rules/HY-9999/unstop").status_code == 404
    bare = httpx.Client(verify=tls.client_context(house.data / "tls" / "ca.pem"), trust_env=False)
    with bare, pytest.raises((httpx.TransportError, ssl.SSLError)):
        bare.get(f"https://localhost:{split_address(house.settings.relay.control)[1]}/healthz")


HOLDS_ALL = """
rule holds_all
{
    meta:
        id = "HY-9001"
        version = "%d"
        title_en = "Holds everything"
        title_ar = "تحجز كل شيء"
        disposition = "hold"
        threat = "campaign"
    strings:
        $word = "budget word"
    condition:
        $word and %s
}
"""


def publish_rules(house: House, version: int, condition: str) -> str:
    """Our library and one rule more, signed by two administrators."""
    keys = [SigningKey.load(house.data / "keys" / f"{name}.key") for name in demo.SIGNERS]
    files = {**library(), "mail/holds_all.yar": (HOLDS_ALL % (version, condition)).encode()}
    folder = house.data / "releases"
    digest = release.write(folder, "rules", files, author="omar", note="test", now=SYSTEM.now(), keys=keys)
    release.publish(folder, "rules", digest, now=SYSTEM.now(), keys=keys)

    def live() -> bool:
        with house.api() as api:
            workers = api.get("/v1/status").json()["workers"]
        return all(worker["ruleset"] == digest for worker in workers)

    until(live)
    return digest


def test_a_rule_that_holds_too_much_stops_itself_and_what_it_held_goes_out(house: House) -> None:
    publish_rules(house, 1, "true")
    for number in range(200, 222):
        house.outside(letter(NOOR, AMAL, number, b"budget word\r\n"))
    stopped = house.data / "relay" / "stopped.json"
    until(lambda: stopped.exists() and "HY-9001" in json.loads(stopped.read_text())["stopped"], 30)
    until(lambda: all(received(house, AMAL, number) for number in range(200, 222)), 40)
    with house.api() as api:
        assert [one["rule"] for one in api.get("/v1/status").json()["stopped"]] == ["HY-9001"]
    house.outside(letter(NOOR, AMAL, 222, b"budget word\r\n"))
    until(lambda: received(house, AMAL, 222))
    assert {"held", "rule-stopped", "rejudged", "delivered"} <= house.actions()
    publish_rules(house, 2, "false")  # another version ends the stop
    until(lambda: json.loads(stopped.read_text())["stopped"] == {})
    publish_rules(house, 3, "true")
    house.outside(letter(NOOR, AMAL, 223, b"budget word\r\n"))
    with house.api() as api:
        held = api.get("/v1/queue", params={"state": "held", "rule": "HY-9001"}).json()["messages"]
        assert [one["message_id"] for one in held] == ["223@freemail.example"]
        assert api.post("/v1/rules/HY-9001/unstop").status_code == 404


def test_two_officers_exempt_a_correspondent_on_the_command_line(house: House) -> None:
    yusuf, foreign = "yusuf@finance.saba.example", "treaty@partner.example"
    with pytest.raises(smtplib.SMTPDataError):
        house.submit(yusuf, [foreign], letter(yusuf, foreign, 300))
    asked = (
        "--sender",
        yusuf,
        "--recipient",
        foreign,
        "--until",
        "2099-01-01",
        "--reason",
        "treaty",
        "--document",
        "L 7",
    )
    assert house.hudhud("mail", "exempt", "request", *asked, "--login", "rima", stdin="wrong\n")[0] == 1
    code, text = house.hudhud("mail", "exempt", "request", *asked, "--login", "rima", stdin=house.password + "\n")
    assert code == 1  # longer than a year
    assert "366" in text
    ends = (SYSTEM.now() + timedelta(days=30)).date().isoformat()
    asked = tuple(ends if word == "2099-01-01" else word for word in asked)
    code, text = house.hudhud("mail", "exempt", "request", *asked, "--login", "rima", stdin=house.password + "\n")
    assert code == 0, text
    number = text.partition(":")[0]
    for login, expected in (("rima", 1), ("dalia", 0), ("dalia", 1), ("ziad", 0)):
        code, text = house.hudhud("mail", "exempt", "approve", number, "--login", login, stdin=house.password + "\n")
        assert code == expected, (login, text)
    code, text = house.hudhud("mail", "exempt", "list", "--json")
    assert json.loads(text)["approvers"] == ["dalia", "ziad"]

    def passes() -> bool:
        with contextlib.suppress(smtplib.SMTPException):
            return house.submit(yusuf, [foreign], letter(yusuf, foreign, 301)) == {}
        return False

    until(passes)
    until(lambda: received(house, foreign, 301))
    assert "exemption-used" in house.actions()
    revoked = ("mail", "exempt", "revoke", number, "--reason", "done", "--login", "omar")
    assert house.hudhud(*revoked, stdin=house.password + "\n")[0] == 0
    until(lambda: not passes())


def test_when_a_person_leaves_everything_of_hers_ends_in_open_sessions_too(house: House) -> None:
    rania, role, foreign = "rania@finance.saba.example", "minister@finance.saba.example", "bank@partner.example"
    day = (SYSTEM.now() + timedelta(days=30)).date().isoformat()
    assert house.hudhud("mail", "account", "role", role, "--name", "Minister")[0] == 0
    code, text = house.hudhud(
        "mail", "delegate", "give", role, rania, "--until", day, "--owner", "yusuf@finance.saba.example"
    )
    assert code == 0, text
    asked = ("--sender", rania, "--recipient", foreign, "--until", day, "--reason", "loan", "--document", "L 8")
    code, text = house.hudhud("mail", "exempt", "request", *asked, "--login", "rima", stdin=house.password + "\n")
    number = text.partition(":")[0]
    for login in ("dalia", "ziad"):
        assert house.hudhud("mail", "exempt", "approve", number, "--login", login, stdin=house.password + "\n")[0] == 0

    def by_server() -> int:
        """What the body's own server, at its registered address, hears for her exempted correspondent."""
        host, port = split_address(house.settings.relay.mx[0])
        with socket.create_connection((host, port), timeout=20) as raw, raw.makefile("rwb") as talk:
            talk.write(b"PROXY TCP4 192.0.2.45 192.0.2.10 40000 25\r\n")
            talk.flush()
            for line in (b"", b"HELO exchange", f"MAIL FROM:<{rania}>".encode(), f"RCPT TO:<{foreign}>".encode()):
                if line:
                    talk.write(line + b"\r\n")
                    talk.flush()
                reply = talk.readline()
            return int(reply[:3])

    until(lambda: by_server() == 250)
    _, port = split_address(house.settings.relay.submission[0])
    with smtplib.SMTP("localhost", port, timeout=30) as session:
        session.starttls(context=tls.client_context(house.data / "tls" / "ca.pem"))
        session.login(rania, house.password)
        assert session.sendmail(role, [SALIM], letter(role, SALIM, 400)) == {}

        def exempted() -> bool:
            """Each worker looks at the releases by itself, once a second."""
            try:
                return session.sendmail(rania, [foreign], letter(rania, foreign, 401)) == {}
            except (smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused):
                return False

        until(exempted)
        assert until(lambda: received(house, SALIM, 400)).count(b"rania") == 0  # who acted is not told to recipients
        code, text = house.hudhud("mail", "account", "leave", rania, "--successor", AMAL, "--reason", "new post")
        assert code == 0, text
        assert f"passed on: {AMAL} may send as {role}" in text
        assert "1 exemptions revoked" in text
        with pytest.raises(smtplib.SMTPException) as gone:
            until(lambda: session.sendmail(rania, [SALIM], letter(rania, SALIM, 402)) is None, 30)
        assert getattr(gone.value, "smtp_code", 421) == 421
    with pytest.raises(smtplib.SMTPAuthenticationError):  # the other worker looks at the accounts once a second
        until(lambda: house.submit(rania, [SALIM], letter(rania, SALIM, 403)) is None, 30)
    until(lambda: by_server() == 550)
    assert house.submit(AMAL, [SALIM], letter(role, SALIM, 404), sender=role) == {}
    acts = [
        (one["hudhud"]["mail"].get("account"), one["hudhud"]["mail"].get("role")) for one in house.events("accepted")
    ]
    assert {(rania, role), (AMAL, role)} <= set(acts)
    _, text = house.hudhud("mail", "delegate", "list", "--json")
    assert [(one["to"], one["role"]) for one in map(json.loads, text.splitlines())] == [(AMAL, True)]
    assert house.hudhud("mail", "account", "leave", rania)[0] == 0  # said again, it ends what is left: nothing
    key = SigningKey.load(house.data / "keys" / "node.key")
    assert verify(house.data / "audit" / "accounts.chain", key.public) == []


def test_a_killed_worker_comes_back_and_loses_nothing(house: House) -> None:
    before = house.pids()
    house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 5))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: house.state().get("ready") and len(house.pids()) == 2 and not set(before) & set(house.pids()), 40)
    until(lambda: received(house, SALIM, 5))
    house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 6))
    until(lambda: received(house, SALIM, 6))


def test_a_reload_applies_whole_or_not_at_all(house: House) -> None:
    path, before = house.data / "hudhud.toml", house.pids()
    text = path.read_text()
    path.write_text(text.replace("workers = 2", 'workers = "two"'))
    house.relay.send_signal(signal.SIGHUP)
    until(lambda: "not reloaded" in (house.data / "relay.log").read_text())
    assert house.pids() == before
    path.write_text(text.replace("workers = 2", "workers = 2\nmax_recipients = 3"))
    house.relay.send_signal(signal.SIGHUP)
    until(lambda: '"reloaded"' in (house.data / "relay.log").read_text(), 60)
    assert not set(before) & set(house.pids())
    many = [f"user{number}@interior.saba.example" for number in range(5)]
    refused = house.submit(AMAL, many, letter(AMAL, many[0], 7))
    assert [code for code, _ in refused.values()] == [452, 452]
    path.write_text(text)


def test_a_rolling_restart_cuts_no_session_and_refuses_none(house: House) -> None:
    log, before = house.data / "relay.log", house.pids()
    done = log.read_text().count('"reloaded"')
    host, port = split_address(house.settings.relay.mx[0])
    words = ("smtp-source", "-s", "3", "-m", "60", "-l", "2000", "-f", NOOR, "-t", SALIM, f"{host}:{port}")
    slow = smtplib.SMTP(host, port, timeout=60)  # in the middle of a message all the time
    slow.ehlo()
    slow.mail(NOOR)
    slow.rcpt(AMAL)
    assert slow.docmd("DATA")[0] == 354
    lines = iter(letter(NOOR, AMAL, 600).splitlines(keepends=True))
    house.relay.send_signal(signal.SIGHUP)
    rounds = 0
    while log.read_text().count('"reloaded"') == done and rounds < 50:
        rounds += 1
        subprocess.run(words, timeout=60, check=True)  # smtp-source fails where a connection or a command does
        if rounds < 8:
            slow.send(next(lines, b""))
        elif rounds == 8:
            slow.send(b"".join(lines) + b".\r\n")
            assert slow.getreply()[0] == 250
            slow.quit()
    assert rounds >= 8
    assert not set(before) & set(house.pids())
    assert "sessions are cut" not in log.read_text()
    until(lambda: received(house, AMAL, 600))
    until(lambda: len([1 for one in house.box(SALIM) if b"smtp-source" in one or len(one) > 2000]) >= 60 * rounds, 60)


def test_shards_that_nobody_has_any_more_are_adopted(house: House) -> None:
    path = house.data / "hudhud.toml"
    text = path.read_text()
    count = (house.data / "relay.log").read_text().count('"reloaded"')
    path.write_text(text.replace("workers = 2", "workers = 1"))
    house.relay.send_signal(signal.SIGHUP)
    until(lambda: (house.data / "relay.log").read_text().count('"reloaded"') > count, 60)
    until(lambda: "adopted a shard" in (house.data / "relay.log").read_text(), 20)
    assert house.hudhud("mail", "queue", "list", "--state", "all")[0] == 0
    path.write_text(text)
    house.relay.send_signal(signal.SIGHUP)
    until(lambda: (house.data / "relay.log").read_text().count('"reloaded"') > count + 1, 60)
    assert len(house.pids()) == 2


def test_a_clean_stop_leaves_nothing_behind_and_the_relay_down_is_exit_3(house: House) -> None:
    pids = [house.relay.pid, *house.pids()]
    house.relay.send_signal(signal.SIGTERM)
    assert house.relay.wait(30) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids[1:])
    assert house.state() == {}
    code, text = house.hudhud("mail", "queue", "list")
    assert code == 3
    assert "hudhud relay" in text
    house.relay = start_relay(house.data)
    until(lambda: house.state().get("ready"), 60)


def test_workers_end_when_their_supervisor_is_killed_and_a_new_one_takes_over(house: House) -> None:
    workers = house.pids()
    house.submit(AMAL, [SALIM], letter(AMAL, SALIM, 8))
    house.relay.kill()
    house.relay.wait()
    (house.data / "run" / "relay.json").unlink()
    house.relay = start_relay(house.data)
    until(lambda: house.state().get("ready"), 60)
    assert not set(workers) & set(house.pids())
    until(lambda: received(house, SALIM, 8))
