"""A whole console on a data folder of its own: real releases, keys, people, SQLite store; what the pipeline writes."""

from __future__ import annotations

import base64
import json
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import pytest

from cert.incident import Change, Incident, Reason, Status, change
from cert.store import Alert
from console.house import House
from console.opening import opened
from deploy.authority import make_authority, make_certificate
from hudhud import config, release
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
[relay]
control = "127.0.0.1:%RELAY%"
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
            rsit="malicious-code:malware-distribution",
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


@pytest.fixture
def pipeline(house: House) -> SimpleNamespace:
    """What the pipeline would write, for tests that need their own."""
    return SimpleNamespace(
        alert=alert,
        incident=incident_of,
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
