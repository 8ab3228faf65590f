"""A whole console on a data folder of its own: real releases, keys, people, SQLite store; a relay that speaks HTTPS."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cert.incident import Change, Incident, Reason, Status, change
from cert.store import Alert
from console.app import build
from console.house import House
from console.opening import opened
from deploy.authority import make_authority, make_certificate
from hudhud import config, release, tls
from hudhud.clock import VirtualClock
from hudhud.event import Event, event_id
from hudhud.keys import SigningKey
from hudhud.people import Person, hash_password, write_people
from hudhud.settings import Settings

PASSWORD = "correct horse battery"
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)  # where a VirtualClock begins
HOST = "https://console.test"

PEOPLE = (
    Person("rima", "ريما الخطيب", "Rima Khatib", frozenset({"analyst"}), None, "en"),
    Person("nour", "نور سعيد", "Nour Said", frozenset({"analyst"}), None, "ar"),
    Person("omar", "عمر الحسن", "Omar Hassan", frozenset({"administrator"}), None, "en"),
    Person("dalia", "داليا حداد", "Dalia Haddad", frozenset({"officer"}), "FIN", "en"),
    Person("ziad", "زياد درويش", "Ziad Darwish", frozenset({"officer"}), "FIN", "en"),
    Person("hani", "هاني عيسى", "Hani Issa", frozenset({"officer"}), "HEA", "en"),
    Person("tariq", "طارق سلوم", "Tariq Salloum", frozenset({"auditor"}), None, "en"),
    Person("nobody", "بلا جهة", "Without Entity", frozenset({"officer"}), None, "en"),
)

RULES = {
    "mail/small.yar": """rule double_extension {
  meta:
    id = "HY-0001"
    version = "1"
    title_en = "Program with a document's name"
    title_ar = "برنامج باسم مستند"
    disposition = "hold"
    threat = "disguise"
  condition:
    filename matches /\\.(pdf|doc)\\.exe$/i
}
""".encode()
}


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder that every test gets a copy of."""
    data = tmp_path_factory.mktemp("console")
    now = datetime.now(UTC)
    make_authority(data / "tls", now)
    for name in ("console", "relay", "stranger"):
        make_certificate(data / "tls", name, ["localhost", "127.0.0.1"], now)
    keys = {name: SigningKey.generate(data / "keys" / f"{name}.key") for name in ("desk", "node", "admin1", "admin2")}
    demo = resources.files("hudhud") / "demo"
    for kind, files, signers in (
        ("registry", {"registry.toml": (demo / "registry.toml").read_bytes()}, ["desk"]),
        ("policy", {"policy.toml": (demo / "policy.toml").read_bytes()}, ["desk"]),
        ("exemptions", {"exemptions.json": b"[]"}, ["desk"]),
        ("rules", RULES, ["admin1", "admin2"]),
    ):
        signing = [keys[name] for name in signers]
        digest = release.write(data / "releases", kind, files, author="omar", note="first", now=NOW, keys=signing)
        release.publish(data / "releases", kind, digest, now=NOW, keys=signing)
    hashed = hash_password(PASSWORD)
    write_people(data / "people.toml", {one.login: (one, hashed) for one in PEOPLE})
    public = "\n".join(f'{name} = "{base64.b64encode(key.public).decode()}"' for name, key in keys.items())
    (data / "hudhud.toml").write_text(
        f"""[node]
name = "test"
data = "."
[releases.keys]
{public}
[console]
listen = "127.0.0.1:%CONSOLE%"
url = "{HOST}"
relay_control = "https://localhost:%RELAY%"
""",
        encoding="utf-8",
    )
    return data


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture
def settings(base: Path, tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    shutil.copytree(base, data)
    path = data / "hudhud.toml"
    text = path.read_text(encoding="utf-8")
    for name, port in zip(("%CONSOLE%", "%RELAY%"), free_ports(2), strict=True):
        text = text.replace(name, str(port))
    path.write_text(text, encoding="utf-8")
    return config.load(path).settings


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest.fixture
async def house(settings: Settings, clock: VirtualClock) -> AsyncIterator[House]:
    async with opened(settings, clock) as found:
        yield found


def held_message(
    number: int = 1, sender: str = "noor@freemail.example", recipient: str = "amal@finance.saba.example"
) -> dict[str, object]:
    """A held message in the form of mail.listing."""
    return {
        "id": f"0-7H3K9QX2M{number}",
        "kind": "mail",
        "state": "held",
        "sender": sender,
        "recipients": [
            {"address": recipient, "state": "held", "held_by": ["HY-0001"], "reply": "", "attempts": [], "tries": 0}
        ],
        "received": "2026-11-23T07:30:00.000000Z",
        "size": 20_480,
        "account": "",
        "organization": "",
        "listener": "mx",
        "held_by": ["HY-0001"],
        "sha256": "ab" * 32,
        "message_id": "<one@freemail.example>",
        "findings": [
            {
                "check": "content", "rule": "HY-0001", "version": "1", "disposition": "hold", "reason": "disguise",
                "recipients": None, "facts": {"name": "invoice\u202efdp.exe", "part": "1.2"},
            },
            {
                "check": "mime", "rule": "H-MIME-01", "version": "1", "disposition": "tag", "reason": "ambiguous-mime",
                "recipients": None, "facts": {},
            },
        ],
        "client": {"ip": "198.51.100.25", "port": 40000, "helo": "mx.freemail.example", "tls": None, "listener": "mx"},
        "acts": [],
    }  # fmt: skip


@dataclass
class FakeRelay:
    """Speaks the control API of the contract, with mutual TLS; remembers who asked for what."""

    messages: dict[str, dict[str, object]] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # actor, method and path, reason

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/queue", self.queue),
                Route("/v1/status", self.status),
                Route("/v1/messages/{id}", self.one),
                Route("/v1/messages/{id}/preview", self.preview),
                Route("/v1/messages/{id}/{act}", self.act, methods=["POST"]),
                Route("/v1/rules/{id}/unstop", self.unstop, methods=["POST"]),
            ]
        )

    def note(self, request: Request, reason: str = "") -> None:
        self.asked.append((request.headers["hudhud-actor"], f"{request.method} {request.url.path}", reason))

    async def queue(self, request: Request) -> Response:
        self.note(request)
        sender = request.query_params.get("sender", "")
        found = [one for one in self.messages.values() if one["state"] == "held" and sender in str(one["sender"])]
        return JSONResponse({"messages": found})

    async def status(self, request: Request) -> Response:
        self.note(request)
        return JSONResponse({"workers": [{"pid": 1}, {"pid": 2}], "queued": 3, "held": 1, "stopped": self.stopped})

    async def one(self, request: Request) -> Response:
        self.note(request)
        found = self.messages.get(request.path_params["id"])
        return JSONResponse(found) if found else JSONResponse({"error": "no such message"}, 404)

    async def preview(self, request: Request) -> Response:
        self.note(request, request.query_params["reason"])
        return JSONResponse({"text": "Dear <b>colleague</b>\nopen \u202ehttps://evil.example\n", "subject": "Salary"})

    async def act(self, request: Request) -> Response:
        reason = (await request.json())["reason"]
        self.note(request, reason)
        found = self.messages.get(request.path_params["id"])
        if found is None or found["state"] != "held":
            return JSONResponse({"error": "not held"}, 409)
        found["state"] = "queued" if request.path_params["act"] == "release" else "deleted"
        return JSONResponse({"done": True})

    async def unstop(self, request: Request) -> Response:
        self.note(request)
        if request.path_params["id"] not in self.stopped:
            return JSONResponse({"error": "not stopped"}, 404)
        self.stopped.remove(request.path_params["id"])
        return JSONResponse({"done": True})


class Server(uvicorn.Server):
    """A uvicorn that leaves signals alone and is stopped by the test."""

    def install_signal_handlers(self) -> None: ...


@pytest.fixture
async def relay(settings: Settings) -> AsyncIterator[FakeRelay]:
    fake = FakeRelay()
    folder = settings.path("tls")
    context = tls.server_context(folder / "relay.pem", folder / "relay.key", client_ca=folder / "ca.pem")
    port = urlsplit(settings.console.relay_control).port or 0
    server = Server(
        uvicorn.Config(
            fake.app(),
            host="127.0.0.1",
            port=port,
            ssl_context_factory=lambda *_: context,
            log_config=None,
            lifespan="off",
            http="h11",
            ws="none",
        )
    )
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield fake
    server.should_exit = server.force_exit = True
    await running


# what the pipeline would have written


def alert(
    number: int,
    entity: str = "FIN",
    *,
    severity: int = 75,
    recipient: str = "",
    incident: str = "",
    disposition: str = "held",
) -> Alert:
    return Alert(
        id=f"alert-{number}",
        timestamp=NOW - timedelta(minutes=30 - number),
        rule="HY-0001",
        title_ar="برنامج باسم مستند",
        title_en="Program with a document's name",
        severity=severity,
        threat="disguise",
        entity=entity,
        event=f"event-{number}",
        keys=("lure:abc",),
        source="hudhud-relay",
        facts={
            "email.to.address": [recipient or f"person{number}@{entity.lower()}.saba.example"],
            "email.from.address": ["noor@freemail.example"],
            "hudhud.mail.disposition": disposition,
            "hudhud.mail.queue_id": f"0-7H3K9QX2M{number}",
            "email.attachments.file.name": ["invoice\u202efdp.exe"],
        },
        incident=incident,
    )


def incident_of(
    id: str, *alerts: Alert, title: str = "One lure, several bodies", severity: int = 85, **more: object
) -> Incident:
    return replace(
        Incident(
            id=id,
            version=0,
            status=Status.NEW,
            title_ar="طُعم واحد في عدة جهات",
            title_en=title,
            severity=severity,
            reasons=(Reason(75, "gravest alert", {}), Reason(10, "{bodies} bodies hit", {"bodies": 5})),
            rsit="fraud:phishing",
            threat="campaign",
            entities=tuple(sorted({one.entity for one in alerts})),
            rules=("HY-0001",),
            keys=("lure:abc",),
            alerts=len(alerts),
            first=min(one.timestamp for one in alerts),
            last=max(one.timestamp for one in alerts),
            opened=NOW - timedelta(minutes=20),
            updated=NOW,
        ),
        **more,  # type: ignore[arg-type]
    )


async def put(house: House, incident: Incident, *alerts: Alert) -> Incident:
    """Store alerts and incident as the pipeline does."""
    await house.store.add_alerts(alerts)
    opening: Change = change(incident, NOW - timedelta(minutes=20), "hudhud", ("opened", "", "", ""))
    return await house.store.put_incident(opening)


@pytest.fixture
async def campaign(house: House) -> Incident:
    """The same lure to five ministries: one incident with five alerts."""
    alerts = [
        alert(n, code, incident="I-20261123-AAAAAAAA") for n, code in enumerate(("FIN", "INT", "HEA", "EDU", "JUS"), 1)
    ]
    return await put(house, incident_of("I-20261123-AAAAAAAA", *alerts), *alerts)


@pytest.fixture
async def health_only(house: House) -> Incident:
    """An incident that concerns the Ministry of Health alone."""
    one = alert(9, "HEA", incident="I-20261123-BBBBBBBB")
    return await put(house, incident_of("I-20261123-BBBBBBBB", one, title="Health only", severity=50), one)


async def put_events(house: House, *fields: dict[str, object], at: datetime = NOW - timedelta(minutes=5)) -> None:
    """Events of the relay or a sensor."""
    events = [
        Event(event_id("test", number), at, {"event.id": event_id("test", number), **one})  # type: ignore[dict-item]
        for number, one in enumerate(fields, 1)
    ]
    await house.store.add_events(events)
    await house.store.settle()


# a browser


@dataclass
class Form:
    action: str
    values: dict[str, str]


class FormReader(HTMLParser):
    """The POST forms of a page, with the values that a browser would send."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.inside = False
        self.select = self.area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("method") == "post"
            if self.inside:
                self.forms.append(Form(given["action"], {}))
        elif self.inside and tag == "input":
            self.forms[-1].values[given["name"]] = given.get("value", "")
        elif self.inside and tag == "textarea":
            self.area = given["name"]
            self.forms[-1].values[self.area] = ""
        elif self.inside and tag == "select":
            self.select = given["name"]
            self.forms[-1].values.setdefault(self.select, "")
        elif self.inside and tag == "option" and ("selected" in given or not self.forms[-1].values[self.select]):
            self.forms[-1].values[self.select] = given["value"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.area = ""
        elif tag == "form":
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.area:
            self.forms[-1].values[self.area] += data


class Browser:
    """Follows links and sends forms as a browser without JavaScript does; holds cookies, names its origin."""

    def __init__(self, house: House, address: str = "192.0.2.77") -> None:
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=build(house), client=(address, 50_000)),
            base_url=HOST,
            headers={"accept-language": "en"},
        )
        self.page: httpx.Response | None = None

    async def get(self, path: str, **headers: str) -> httpx.Response:
        self.page = await self.client.get(path, headers={"sec-fetch-site": "same-origin", **headers})
        return self.page

    async def send(self, action: str, **values: str) -> httpx.Response:
        """Fill in the form of the present page that goes to `action` and follow where it leads."""
        assert self.page is not None
        form = next((one for one in forms(self.page.text) if one.action == action), None)
        assert form is not None, f"no form for {action}: {[one.action for one in forms(self.page.text)]}"
        assert set(values) <= set(form.values), f"{action} has no field {set(values) - set(form.values)}"
        answer = await self.client.post(
            action, data={**form.values, **values}, headers={"origin": HOST, "sec-fetch-site": "same-origin"}
        )
        if answer.status_code == 303:
            return await self.get(answer.headers["location"])
        self.page = answer
        return answer

    def read(self) -> str:
        """What a person reads in the main part of the present page."""
        assert self.page is not None
        inner = self.page.text.partition("<main")[2]
        return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", inner.partition(">")[2])))

    def actions(self) -> list[str]:
        """Where the forms of the present page's main part lead."""
        assert self.page is not None
        return [one.action for one in forms(self.page.text.partition("<main")[2])]

    async def login(self, login: str, password: str = PASSWORD, following: str = "/") -> httpx.Response:
        await self.get(f"/login?next={following}")
        return await self.send("/login", login=login, password=password)


def forms(html: str) -> list[Form]:
    reader = FormReader()
    reader.feed(html)
    return reader.forms


@pytest.fixture
def browser(house: House) -> Browser:
    return Browser(house)


@pytest.fixture
def another(house: House) -> Browser:
    """A second person's browser."""
    return Browser(house, "192.0.2.78")


@pytest.fixture
def pipeline(house: House) -> SimpleNamespace:
    """What the pipeline would write, for tests that need their own."""
    return SimpleNamespace(
        alert=alert,
        incident=incident_of,
        held_message=held_message,
        put=lambda incident, *alerts: put(house, incident, *alerts),
        events=lambda *fields, **more: put_events(house, *fields, **more),
    )


@pytest.fixture
def audit_acts(house: House) -> object:
    """A function that gives the (actor, act, subject) of every act in the console's chain so far."""

    def acts() -> list[tuple[str, str, str]]:
        lines = [json.loads(line) for line in house.audit.path.read_text(encoding="utf-8").splitlines()]
        bodies = [line.get("body", line) for line in lines]
        return [(one["actor"], one["act"], one["subject"]) for one in bodies if one.get("kind") == "act"]

    return acts
