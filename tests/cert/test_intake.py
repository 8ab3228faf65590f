"""The intake, asked over real HTTPS: an answer of 202 means that every line is kept, as an event or with its reason."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from cert import deadletter
from cert.https import Peers, server
from cert.intake import Intake, owns
from cert.sqlite import SqliteStore
from cert.store import IncidentQuery, Query
from deploy.demo import make_lab
from deploy.ports import Ports
from hudhud import codec, config, journal
from hudhud.clock import SYSTEM, VirtualClock
from hudhud.database import Database
from hudhud.event import event_id, format_time
from hudhud.journal import Cursor, Journal, open_readonly
from hudhud.settings import Settings, split_address
from hudhud.ship import Shipper
from hudhud.tls import client_context
from tests.cert.morning import LURE, MINISTRIES, mail

TOKEN = "a token that nobody guesses"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, keys and releases, made once."""
    folder = tmp_path_factory.mktemp("lab")
    make_lab(folder, Ports(22_000), SYSTEM.now())
    (folder / "tokens.toml").write_text(f'feed = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"\n')
    return folder


@dataclass(slots=True)
class Running:
    """An intake that listens, and clients that hold certificates of the house."""

    settings: Settings
    intake: Intake
    url: str

    def tls(self, name: str | None) -> ssl.SSLContext:
        folder = self.settings.path("tls")
        if name is None:
            return client_context(folder / "ca.pem")
        return client_context(folder / "ca.pem", cert=folder / f"{name}.pem", key=folder / f"{name}.key")

    async def post(
        self, body: bytes, source: str = "relay:n/0", name: str | None = "relay", **headers: str
    ) -> httpx.Response:
        async with httpx.AsyncClient(verify=self.tls(name), trust_env=False) as client:
            sent = {"Hudhud-Source": source, **headers}
            return await client.post(f"{self.url}/v1/events", content=body, headers=sent)

    def kept(self) -> list[dict[str, Any]]:
        reader = open_readonly(self.settings.path("intake", "journal.db"), "intake")
        rows = [codec.decode(record.document) for record in reader.read(0, 100_000)]
        reader.close()
        return rows

    def dead(self) -> list[deadletter.DeadLetter]:
        return deadletter.listed(self.settings.path("intake", "journal.db"))


@pytest.fixture
async def running(lab: Path, free_port: int, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    limits = getattr(request, "param", {})
    whole = config.load(lab / "hudhud.toml").settings
    intake_settings = msgspec.structs.replace(
        whole.intake, listen=f"127.0.0.1:{free_port}", tokens="tokens.toml", **limits
    )
    settings = msgspec.structs.replace(whole, intake=intake_settings)
    settings.path("intake", "journal.db").unlink(missing_ok=True)
    peers = Peers()
    intake = Intake(settings, peers)
    serving = server(intake.app, settings.intake.listen, settings, "intake", peers)
    task = asyncio.create_task(serving.serve())
    while not serving.started:
        await asyncio.sleep(0.01)
    yield Running(settings, intake, f"https://localhost:{free_port}")
    serving.should_exit = True
    await task
    intake.close()
    for end in ("", "-wal", "-shm"):
        Path(f"{settings.path('intake', 'journal.db')}{end}").unlink(missing_ok=True)


def lines(*documents: dict[str, object], first: int = 1) -> bytes:
    rows = [codec.encode({"sequence": first + n, "document": one}) for n, one in enumerate(documents)]
    return b"\n".join(rows) + b"\n"


async def test_what_was_answered_202_is_in_the_journal_with_its_id(running: Running) -> None:
    answer = await running.post(lines(mail(), mail("INT"), first=7))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    assert [row["fields"]["event.id"] for row in running.kept()] == [event_id("relay:n/0", 7), event_id("relay:n/0", 8)]


async def test_a_line_that_cannot_be_read_is_a_dead_letter_and_holds_up_nothing(running: Running) -> None:
    bad = [
        b"{not json", b"[]", b'{"document": {}}', b'{"sequence": -1, "document": {}}', b'{"sequence": 3}',
        b'{"sequence": true, "document": {}}', codec.encode({"sequence": 4, "document": {"@timestamp": "soon"}}),
        codec.encode({"sequence": 5, "document": {"@timestamp": "2026-11-23T10:00:00"}}),
        b'{"sequence": 6, "document": ' + b'{"a":' * 50 + b"1" + b"}" * 50 + b"}", b"\xff\xfe",
    ]  # fmt: skip
    answer = await running.post(b"\n".join([*bad, lines(mail())]))
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["dead_letters"]) == (202, 1, len(bad))
    letters = running.dead()
    assert [letter.line for letter in letters] == bad
    assert all(letter.reason for letter in letters)
    await running.post(b"\n".join(bad))
    assert len(running.dead()) == len(bad)


async def test_who_may_send_what(running: Running) -> None:
    body = lines(mail())
    assert (await running.post(body, name=None)).status_code == 401
    assert (await running.post(body, source="sensor-1")).status_code == 403
    assert (await running.post(body, source="relayed")).status_code == 403
    assert (await running.post(body, source="sensor-1", name="sensor")).status_code == 202
    assert (await running.post(body, source="mta", name="mta")).status_code == 403
    assert (await running.post(body, source="feed", name=None, Authorization=f"Bearer {TOKEN}")).status_code == 202
    assert (await running.post(body, source="relay", name=None, Authorization=f"Bearer {TOKEN}")).status_code == 403
    assert (await running.post(body, source="feed", name=None, Authorization="Bearer wrong")).status_code == 401


def test_a_source_begins_with_its_holder() -> None:
    assert owns("relay", "relay")
    assert owns("relay", "relay:node-1/0")
    assert not owns("relay", "relay2")
    assert not owns("", "relay")
    assert not owns("relay", "relay-" + "x" * 300)


@pytest.mark.parametrize(
    "running", [{"max_batch_events": 2, "max_batch_bytes": 5_000, "max_event_bytes": 900}], indirect=True
)
async def test_a_limit_that_is_passed_is_named(running: Running) -> None:
    many = await running.post(lines(mail(), mail(), mail()))
    assert many.status_code == 413
    assert "intake.max_batch_events is 2" in many.json()["problem"]
    large = await running.post(lines({**mail(), "message": "x" * 6_000}))
    assert large.status_code == 413
    assert "intake.max_batch_bytes is 5000" in large.json()["problem"]
    await running.post(lines({**mail(), "message": "x" * 1_000}))
    assert "intake.max_event_bytes is 900" in running.dead()[0].reason


@pytest.mark.parametrize("running", [{"max_backlog_events": 3}], indirect=True)
async def test_a_full_backlog_asks_to_wait(running: Running) -> None:
    await running.post(lines(mail(), mail(), mail()))
    answer = await running.post(lines(mail(), first=9))
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    async with httpx.AsyncClient(verify=running.tls(None), trust_env=False) as client:
        assert (await client.get(f"{running.url}/healthz")).status_code == 503


async def test_nodes_read_releases_and_nothing_else(running: Running) -> None:
    async with httpx.AsyncClient(verify=running.tls("relay"), trust_env=False) as client:
        pointer = await client.get(f"{running.url}/v1/releases/rules/enforce.json")
        assert pointer.status_code == 200
        for path in ("../keys/node.key", "%2e%2e/keys/node.key", "rules", "nothing", "../hudhud.toml"):
            assert (await client.get(f"{running.url}/v1/releases/{path}")).status_code == 404, path
    async with httpx.AsyncClient(verify=running.tls(None), trust_env=False) as client:
        assert (await client.get(f"{running.url}/v1/releases/rules/enforce.json")).status_code == 401


async def test_the_kernels_shipper_and_the_intake_understand_each_other(running: Running, tmp_path: Path) -> None:
    database = Database(tmp_path / "relay.db", journal.SCHEMA)
    source = Journal(database, "relay:here/0")
    await source.write([codec.encode(mail(code)) for code in MINISTRIES] + [b"{damaged"])
    cursor = Cursor(tmp_path / "cursor")
    shipper = Shipper([source], [cursor], running.url, running.tls("relay"), None, VirtualClock())
    assert await shipper.ship_once() == 7
    await shipper.close()
    assert len(running.kept()) == 6
    assert len(running.dead()) == 1
    database.close()


class Programs:
    """`hudhud intake` and `hudhud desk` as processes of their own."""

    def __init__(self, lab: Path) -> None:
        self.lab = lab
        self.children: dict[str, Any] = {}

    async def start(self, name: str) -> None:
        with (self.lab / f"{name}.log").open("ab") as output:
            self.children[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "deploy.main", name, "--config", str(self.lab / "hudhud.toml"),
                stdout=output, stderr=output,
            )  # fmt: skip
        path = self.lab / "run" / f"{name}.json"
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if path.exists() and codec.decode(path.read_bytes()).get("pid") == self.children[name].pid:
                return
            await asyncio.sleep(0.05)
        raise AssertionError((self.lab / f"{name}.log").read_text())

    async def end(self, name: str, how: signal.Signals) -> int:
        child = self.children.pop(name)
        child.send_signal(how)
        return int(await child.wait())

    def kill_all(self) -> None:
        for child in self.children.values():
            child.kill()


@pytest.fixture
def programs(tmp_path: Path, free_port: int) -> Iterator[Programs]:
    make_lab(tmp_path, Ports(free_port), SYSTEM.now())
    toml = (tmp_path / "hudhud.toml").read_text()
    (tmp_path / "hudhud.toml").write_text(toml + "\n[desk]\nbatch_events = 20\n")
    made = Programs(tmp_path)
    yield made
    made.kill_all()


async def test_killed_again_and_again_nothing_is_lost_and_nothing_is_twice(programs: Programs, tmp_path: Path) -> None:
    settings = config.load(tmp_path / "hudhud.toml").settings
    folder = settings.path("tls")
    context = client_context(folder / "ca.pem", cert=folder / "relay.pem", key=folder / "relay.key")
    database = Database(tmp_path / "source.db", journal.SCHEMA)
    source, cursor = Journal(database, "relay:t/0"), Cursor(tmp_path / "shipped")
    now = SYSTEM.now()
    documents = []
    for number in range(600):
        one = mail(
            list(MINISTRIES)[number // 60 % 5],
            "held" if number % 60 == 0 else "accepted",
            lure=LURE if number % 60 == 0 else None,
        )
        documents.append(codec.encode({**one, "@timestamp": format_time(now - timedelta(seconds=number))}))
    await source.write(documents)
    shipper = Shipper([source], [cursor], settings.intake.url, context, None, SYSTEM, batch=40)
    stop = asyncio.Event()
    shipping = asyncio.create_task(shipper.run(stop))
    for name in ("intake", "desk", "intake", "desk"):
        for one in {"intake", "desk"} - set(programs.children):
            await programs.start(one)
        await asyncio.sleep(0.4)
        await programs.end(name, signal.SIGKILL)
    for one in {"intake", "desk"} - set(programs.children):
        await programs.start(one)
    store = SqliteStore(settings.path("store"), SYSTEM)
    until = time.monotonic() + 60
    count = 0
    while count < 600 and time.monotonic() < until:
        await asyncio.sleep(0.3)
        count = sum(bucket.count for bucket in await store.counts(Query("hudhud.source_id:*"), "event.action"))
    stop.set()
    await shipping
    await asyncio.sleep(0.5)
    assert [await programs.end(name, signal.SIGTERM) for name in ("desk", "intake")] == [0, 0]
    assert count == 600
    assert sum(bucket.count for bucket in await store.histogram(Query(), "day")) == 600
    (incident,) = (await store.incidents(IncidentQuery())).found
    assert incident.alerts == 10 + 1  # ten held mails and their campaign
    await store.close()
    database.close()
    assert not (tmp_path / "run" / "desk.json").exists()


async def test_a_client_that_leaves_in_the_middle_is_one_line(
    running: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    port = split_address(running.settings.intake.listen)[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=running.tls("relay"), server_hostname="localhost")
    writer.write(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nHudhud-Source: relay:n/0\r\n")
    writer.write(b"Content-Length: 100\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await asyncio.sleep(0.3)
    told = capfd.readouterr()
    assert "Traceback" not in caplog.text + told.out + told.err
    assert "left in the middle" in told.out + told.err
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert (await running.post(lines(mail()))).status_code == 202
