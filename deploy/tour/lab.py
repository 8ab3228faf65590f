"""What the tour acts with: a real SMTP client, the maildirs, the command line, the running programs' pids."""

from __future__ import annotations

import asyncio
import json
import os
import re
import smtplib
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import TypeVar

from deploy import demo
from deploy.mailboxes import maildir
from deploy.programs import state
from hudhud import config, release, tls
from hudhud.clock import SYSTEM
from hudhud.event import format_time
from hudhud.settings import Settings, split_address

T = TypeVar("T")
CITIZEN = "noor@freemail.example"
CITIZEN_HOST = ("198.51.100.25", "mx.freemail.example")


@dataclass(frozen=True, slots=True)
class Sent:
    """What the relay said: one (code, text) a refused recipient, and to the message as a whole."""

    refused: dict[str, tuple[int, str]]
    reply: tuple[int, str]

    @property
    def accepted(self) -> bool:
        return self.reply[0] == 250


@dataclass(slots=True)
class Lab:
    """A running lab, seen from outside, and this tour's run id, which everything it sends carries."""

    data: Path
    run: str
    settings: Settings = field(init=False)
    began: str = field(default_factory=lambda: format_time(SYSTEM.now()))
    incidents: dict[str, dict[str, object]] = field(default_factory=dict)  # by id, as last shown
    _count: int = 0

    def __post_init__(self) -> None:
        self.settings = config.load(self.data / "hudhud.toml").settings

    @property
    def password(self) -> str:
        return demo.password(self.data)

    @property
    def context(self) -> ssl.SSLContext:
        return tls.client_context(self.data / "tls" / "ca.pem")

    def message_id(self, domain: str) -> str:
        self._count += 1
        return f"<{self.run}.{self._count}@{domain}>"

    def compose(
        self, sender: str, recipients: Sequence[str], subject: str, body: bytes, *, headers: Sequence[str] = ()
    ) -> tuple[str, bytes]:
        """(Message-ID, message): the body's bytes are used as they are."""
        identity = self.message_id(sender.rpartition("@")[2])
        lines = [
            f"Date: {formatdate(localtime=False)}",
            f"From: <{sender}>",
            f"To: {', '.join(f'<{r}>' for r in recipients)}",
            f"Subject: {subject}",
            f"Message-ID: {identity}",
            *headers,
        ]
        if not any(line.lower().startswith("mime-version") for line in headers):
            lines += ["MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
        return identity, "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def submit(self, account: str, recipients: Sequence[str], data: bytes, *, implicit_tls: bool = False) -> Sent:
        """Hand in a message as `account`, with STARTTLS and AUTH, as a mail program does."""
        _, port = split_address(
            (self.settings.relay.submissions if implicit_tls else self.settings.relay.submission)[0]
        )
        client: smtplib.SMTP
        if implicit_tls:
            client = smtplib.SMTP_SSL(
                "localhost", port, local_hostname="desk.example", timeout=60, context=self.context
            )
        else:
            client = smtplib.SMTP("localhost", port, local_hostname="desk.example", timeout=60)
            client.starttls(context=self.context)
        with client:
            client.login(account, self.password)
            return transact(client, account, recipients, data)

    def from_abroad(self, sender: str, recipients: Sequence[str], data: bytes) -> Sent:
        """Hand in a message from a foreign host; the lab listener takes its address by PROXY protocol."""
        host, port = split_address(self.settings.relay.mx[0])
        address, helo = CITIZEN_HOST
        with FromAddress(address, host, port, helo) as client:
            client.ehlo()
            return transact(client, sender, recipients, data)

    def find(self, address: str, identity: str) -> bytes | None:
        """The message with that Message-ID in the mailbox of `address`."""
        return self.look(address, lambda data: identity.encode() in data.partition(b"\r\n\r\n")[0])

    def look(self, address: str, fits: Callable[[bytes], bool]) -> bytes | None:
        """The newest message in the mailbox of `address` that fits."""
        folder = maildir(self.data / "mailboxes", address) / "new"
        paths = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
        return next((data for path in paths if fits(data := path.read_bytes())), None)

    def pids(self, program: str) -> list[int]:
        """The recorded process ids of a program: its own, then its workers'."""
        found = state(self.data / "run" / f"{program}.json")
        workers = found.get("workers")
        ids = [found.get("pid"), *(workers if isinstance(workers, list) else [])]
        return [pid for pid in ids if isinstance(pid, int)]

    def ready(self, program: str) -> bool:
        """Whether a program says that it is ready."""
        return bool(state(self.data / "run" / f"{program}.json").get("ready"))

    def txt(self, name: str) -> str | None:
        """A TXT record of the lab's zone."""
        zone = json.loads((self.data / "zone.json").read_text(encoding="utf-8"))
        records = zone.get(name.lower(), {}).get("TXT", [])
        return records[0] if records else None

    def stopped(self) -> str:
        """What the relay wrote of rules that stopped themselves."""
        path = self.data / "relay" / "stopped.json"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    async def held(self, sent: Sent) -> list[str]:
        """The rules that hold the message that was answered so; [] where it is not held."""
        reference = re.search(r"\(ref ([0-9A-Za-z-]+)\)", sent.reply[1])
        for row in await self.json_lines("mail", "held", "list"):
            if reference and row.get("id") == reference[1]:
                rules = row.get("held_by")
                return [str(rule) for rule in rules] if isinstance(rules, list) and rules else ["held"]
        return []

    async def ruleset_everywhere(self) -> bool:
        """Whether every worker runs the rules that the live pointer names."""
        pointer = json.loads(release.pointer_path(self.settings.path("releases"), "rules").read_text())
        rows = await self.json_lines("mail", "status")
        seen = [w.get("ruleset") for row in rows for w in _dicts(row.get("workers"))]
        return bool(seen) and all(version == pointer["digest"] for version in seen)

    async def command(self, *words: str, answer: str = "") -> tuple[int, str]:
        """Run `hudhud …` as a person would; (exit code, standard output and error)."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "deploy.main", *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "160"},
        )
        text, _ = await child.communicate(answer.encode())
        return child.returncode or 0, text.decode("utf-8", "replace")

    async def json_lines(self, *words: str) -> list[dict[str, object]]:
        """The NDJSON that `hudhud … --json` prints; [] where it finds nothing."""
        code, text = await self.command(*words, "--config", str(self.data / "hudhud.toml"), "--json")
        if code not in (0, 1):
            raise RuntimeError(f"hudhud {' '.join(words)}: exit {code}: {text[-500:]}")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def _dicts(value: object) -> list[dict[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


class FromAddress(smtplib.SMTP):
    """An SMTP client that announces a documentation address by PROXY protocol version 1 (HAProxy's specification)."""

    def __init__(self, address: str, host: str, port: int, helo: str) -> None:
        self._announce = f"PROXY TCP4 {address} 192.0.2.10 40000 25\r\n".encode()
        super().__init__(host, port, local_hostname=helo, timeout=60)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # smtplib's own seam
        opened = socket.create_connection((host, port), timeout)
        opened.sendall(self._announce)
        return opened


def transact(client: smtplib.SMTP, sender: str, recipients: Sequence[str], data: bytes) -> Sent:
    """One message on an open session; what every reply was."""
    client.ehlo_or_helo_if_needed()
    code, text = client.mail(sender, [f"size={len(data)}", "body=8bitmime"])
    if code != 250:
        client.rset()
        return Sent({}, (code, text.decode("utf-8", "replace")))
    refused = {}
    for recipient in recipients:
        code, text = client.rcpt(recipient)
        if code not in (250, 251):
            refused[recipient] = (code, text.decode("utf-8", "replace"))
    if len(refused) == len(recipients):
        client.rset()
        return Sent(refused, next(iter(refused.values())))
    code, text = client.data(data)
    return Sent(refused, (code, text.decode("utf-8", "replace")))


async def until(look: Callable[[], T | None], seconds: float, *, every: float = 0.1) -> T | None:
    """What `look` finds, asked again and again for at most so many seconds; None where it never finds anything."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(every)
