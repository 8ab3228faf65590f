"""Two relay nodes, each with its own configuration, on one folder of releases: both go by what the desk decides."""

from __future__ import annotations

import json
import os
import shutil
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy import demo
from deploy.bench.lab import free_ports
from hudhud import config, tls
from hudhud.clock import SYSTEM
from hudhud.settings import Settings, split_address

ROOT = Path(__file__).parents[3]
SALIM, PARTNER = "salim@interior.saba.example", "noor@partner.example"
AGREE_S = 10.0  # the contract: both nodes go by an exemption so soon …
REVOKE_S = 30.0  # … and by its end
UNTIL = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"
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
class Node:
    """A relay with a data folder of its own."""

    data: Path
    settings: Settings
    relay: subprocess.Popen[bytes]

    def ready(self) -> bool:
        try:
            return bool(json.loads((self.data / "run" / "relay.json").read_text()).get("ready"))
        except (OSError, ValueError):
            return False

    def sends(self) -> bool:
        """Whether Salim may write to the partner here; nothing is sent: RCPT is answered, the session ends."""
        _, port = split_address(self.settings.relay.submission[0])
        with smtplib.SMTP("localhost", port, timeout=30) as client:
            client.starttls(context=tls.client_context(self.data / "tls" / "ca.pem"))
            client.login(SALIM, demo.password(self.data))
            client.mail(SALIM)
            code, _words = client.rcpt(PARTNER)
        return code == 250

    def hudhud(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.main", "mail", "exempt", *words, "--config", str(self.data / "hudhud.toml")],
            input=demo.password(self.data) + "\n", capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def api(self, actor: str) -> httpx.Client:
        folder = self.data / "tls"
        context = tls.client_context(folder / "ca.pem", cert=folder / "console.pem", key=folder / "console.key")
        url = f"https://localhost:{split_address(self.settings.relay.control)[1]}"
        return httpx.Client(base_url=url, verify=context, headers={"Hudhud-Actor": actor}, timeout=20, trust_env=False)


def until(true: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
    return found


def start_relay(data: Path) -> subprocess.Popen[bytes]:
    with (data / "relay.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.main", "relay", "--config", str(data / "hudhud.toml")],
            cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    folder = tmp_path_factory.mktemp("nodes")
    first, second, ports, other = folder / "one", folder / "two", free_ports(), free_ports()
    path = demo.make_lab(first, ports, SYSTEM.now())
    text = path.read_text()
    shutil.copytree(first, second)
    text = text.replace('name = "', 'name = "two-', 1)
    for name in ("mx", "submission", "submissions", "control", "setup", "observe"):
        text = text.replace(f":{getattr(ports, name)}", f":{getattr(other, name)}")
    text = text.replace("[releases.keys]", f'[releases]\nfolder = "{first / "releases"}"\n\n[releases.keys]', 1)
    (second / "hudhud.toml").write_text(text)
    shutil.rmtree(second / "releases")
    (second / "keys" / "desk.key").unlink()
    lab = subprocess.Popen([sys.executable, "-c", LAB, str(first)], cwd=ROOT, stdout=subprocess.PIPE)
    assert lab.stdout is not None
    assert lab.stdout.readline() == b"ready\n"
    found = [Node(data, config.load(data / "hudhud.toml").settings, start_relay(data)) for data in (first, second)]
    try:
        until(lambda: all(one.ready() for one in found), 90)
        yield found[0], found[1]
    finally:
        for one in found:
            one.relay.send_signal(signal.SIGTERM)
        for one in found:
            one.relay.wait(30)
        lab.kill()
        lab.wait()


def test_both_nodes_go_by_what_was_approved_and_by_what_was_revoked(nodes: tuple[Node, Node]) -> None:
    desk, other = nodes
    scope = ("--sender", SALIM, "--recipient", PARTNER, "--reason", "the treaty's text")
    code, said = desk.hudhud("request", *scope, "--until", UNTIL, "--document", "INT 4", "--login", "omar")
    assert code == 0, said
    name = said.split(":")[0]
    code, said = desk.hudhud("approve", name, "--login", "omar")
    assert (code, "of their own" in said) == (1, True)
    code, said = desk.hudhud("approve", name, "--login", "dalia")  # an officer of another body
    assert code == 1, said
    code, said = desk.hudhud("approve", name, "--login", "samar")
    assert code == 0, said
    assert not desk.sends()
    assert not other.sends()
    with desk.api("samar") as api:
        again = api.post(f"/v1/exemptions/{name}/approve", json={})
        assert (again.status_code, "another person" in again.json()["error"]) == (409, True)
        assert "شخص آخر" in again.json()["error"]
    with desk.api("nobody") as api:
        assert api.get("/v1/exemptions").status_code == 403
    _make_officer(desk.data)
    with desk.api("hani") as api:
        done = api.post(f"/v1/exemptions/{name}/approve", json={"reason": "seen"})
        assert done.json()["state"] == "approved", done.text
        began = time.monotonic()
    until(lambda: desk.sends() and other.sends(), AGREE_S)
    assert time.monotonic() - began < AGREE_S
    with desk.api("hani") as api:
        shown = api.get(f"/v1/exemptions/{name}").json()
        assert [one["act"] for one in shown["history"]] == ["request", "approve", "approve"]
        assert shown["acts"] == ["revoke"]
        assert api.post(f"/v1/exemptions/{name}/revoke", json={}).status_code == 409  # no reason
        assert api.post(f"/v1/exemptions/{name}/revoke", json={"reason": "it is signed"}).status_code == 200
    until(lambda: not desk.sends() and not other.sends(), REVOKE_S)
    lines = [json.loads(line) for line in (desk.data / "audit" / "exemptions.chain").read_text().splitlines()]
    acts = [(one["actor"], one["act"]) for one in lines if one.get("subject") == name]
    people = ("omar", "request"), ("samar", "approve"), ("hani", "approve"), ("hani", "revoke")
    assert acts == [(who, f"exemption.{act}") for who, act in people]


def test_a_node_without_the_desk_says_so(nodes: tuple[Node, Node]) -> None:
    with nodes[1].api("omar") as api:
        answer = api.get("/v1/exemptions")
        assert (answer.status_code, "another machine" in answer.json()["error"]) == (404, True)


def test_break_glass_through_the_api_is_in_force_by_one_approver_and_waits_for_a_review(
    nodes: tuple[Node, Node],
) -> None:
    desk, other = nodes
    with desk.api("rima") as api:
        wish = {"kind": "break-glass", "sender": SALIM, "recipient": PARTNER, "reason": "a flood, tonight"}
        asked = api.post("/v1/exemptions", json=wish)
        assert asked.status_code == 200, asked.text
        name = asked.json()["id"]
        assert api.post(f"/v1/exemptions/{name}/approve", json={}).status_code == 409
        assert api.post("/v1/exemptions", json={**wish, "recipiennt": "x"}).status_code == 400
    with desk.api("omar") as api:
        given = api.post(f"/v1/exemptions/{name}/approve", json={}).json()
        assert (given["state"], given["uses"], given["review_overdue"]) == ("approved", 1, False)
    until(lambda: desk.sends() and other.sends(), AGREE_S)
    code, said = desk.hudhud("list", "--unreviewed", "--json")
    waiting = json.loads(said)
    assert (code, waiting["id"], waiting["reviewed"], waiting["review_overdue"]) == (0, name, None, False)
    code, said = desk.hudhud("review", name, "--login", "samar", "--wrong", "--reason", "there was no flood")
    assert code == 0, said
    until(lambda: not desk.sends() and not other.sends(), REVOKE_S)
    assert desk.hudhud("list", "--unreviewed")[0] == 1


def _make_officer(data: Path) -> None:
    """An officer of the Ministry of Interior, with Dalia's password."""
    path = data / "people.toml"
    text = path.read_text()
    hashed = text.partition("[person.dalia]")[2].partition('password = "')[2].partition('"')[0]
    more = f'name_ar = "هاني"\nname_en = "Hani"\nroles = ["officer"]\nentity = "INT"\npassword = "{hashed}"\n'
    path.write_text(f"{text}\n[person.hani]\n{more}")
