"""How these tests speak to a running relay: commands in this process, its log, its audit chains."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any

from deploy.mailboxes import HOLD
from deploy.main import _run as run
from hudhud.audit import verify
from hudhud.keys import SigningKey
from tests.mail.session.test_process import House


def said(house: House, *words: str, stdin: str = "") -> tuple[int, str]:
    """The exit code and the words of a command, run in this process: a new one each time would cost a minute."""
    out, before = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = run([*words, "--config", str(house.data / "hudhud.toml")])
    finally:
        sys.stdin = before
    return code, out.getvalue()


def commanded(house: House, *words: str, stdin: str = "") -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the JSON objects of a command."""
    code, text = said(house, *words, "--json", stdin=stdin)
    return code, [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def ids(house: House, *numbers: int, state: str = "all") -> list[str]:
    """The queue ids of the letters with these numbers."""
    _, found = commanded(house, "mail", "queue", "list", "--state", state, "--limit", "500")
    by_number = {one["message_id"].partition("@")[0]: one["id"] for one in found}
    return [by_number[str(number)] for number in numbers]


class Closed:
    """Inside it every next hop answers 421."""

    def __init__(self, house: House) -> None:
        self.flag = house.data / "mailboxes" / HOLD

    def __enter__(self) -> None:
        self.flag.parent.mkdir(parents=True, exist_ok=True)
        self.flag.touch()

    def __exit__(self, *_: object) -> None:
        self.flag.unlink()


def audited(house: House) -> list[dict[str, Any]]:
    chains = sorted((house.data / "audit").glob("relay-*.chain"))
    key = SigningKey.load(house.data / "keys" / "node.key")
    assert all(verify(chain, key.public) == [] for chain in chains)
    return [json.loads(line) for chain in chains for line in chain.read_text().splitlines()]


def lines(house: House, name: str) -> list[dict[str, Any]]:
    text = (house.data / "relay.log").read_text()
    return [one for line in text.splitlines() if line[:1] == "{" and (one := json.loads(line)).get("queue_id") == name]
