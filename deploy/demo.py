"""Makes the lab's data folder: authority, keys, demo country, accounts, people, first releases and hudhud.toml."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec.structs import replace

from deploy.authority import make_authority, make_certificate, write_private
from deploy.mailboxes import Mailbox
from deploy.ports import Ports
from hudhud import release
from hudhud.entity import Registry
from hudhud.people import Person, Role, hash_password, write_people
from hudhud.registry import parse_registry
from mail import accounts
from mail.proof import apps
from mail.proof.scram import Keys
from rules.ruleset import library

PROGRAMS = ("relay", "intake", "desk", "console", "sensor", "mta")
DEMO = resources.files("hudhud").joinpath("demo")

# (local part, name) in every ministry; the first of each is who the tour speaks as.
STAFF: dict[str, tuple[tuple[str, str], ...]] = {
    "finance.saba.example": (("amal", "Amal Haddad"), ("yusuf", "Yusuf Darwish"), ("rania", "Rania Sabbagh")),
    "interior.saba.example": (("salim", "Salim Khoury"), ("hala", "Hala Issa"), ("majd", "Majd Hamdan")),
    "health.saba.example": (("huda", "Huda Nasser"), ("bassel", "Bassel Omar"), ("lina", "Lina Farah")),
    "education.saba.example": (("karim", "Karim Saleh"), ("noura", "Noura Aziz"), ("sami", "Sami Haidar")),
    "justice.saba.example": (("layla", "Layla Mansour"), ("adnan", "Adnan Shami"), ("reem", "Reem Qasim")),
    "telecom.saba.example": (("nabil", "Nabil Aziz"), ("dima", "Dima Rahal"), ("fadi", "Fadi Atassi")),
}

# login, Arabic name, English name, role, entity
PEOPLE: tuple[tuple[str, str, str, Role, str | None], ...] = (
    ("rima", "ريما الخطيب", "Rima Khatib", "analyst", None),
    ("omar", "عمر الحسن", "Omar Hassan", "administrator", None),
    ("samar", "سمر نجار", "Samar Najjar", "administrator", None),
    ("dalia", "داليا حداد", "Dalia Haddad", "officer", "FIN"),
    ("ziad", "زياد درويش", "Ziad Darwish", "officer", "FIN"),
    ("tariq", "طارق سلوم", "Tariq Salloum", "auditor", None),
)
SIGNERS = ("omar", "samar")


def demo_registry() -> Registry:
    """The demo country."""
    return parse_registry({"registry.toml": DEMO.joinpath("registry.toml").read_bytes()}, version="demo")


def mailboxes(registry: Registry, ports: Ports) -> Iterator[tuple[str, Mailbox]]:
    """(documentation address "host:port", the listener that plays it) for every mailbox server of the lab."""
    number = 0
    for entity in registry.entities.values():
        if entity.next_hop is not None:
            number += 1
            hop = entity.next_hop
            played = Mailbox("127.0.0.1", ports.mailbox(number), hop.protocol, entity.domains)
            yield f"{hop.host}:{hop.port}", played
    for address, domain in (
        ("192.0.2.250:25", "sabanet.example"),
        ("198.51.100.25:25", "freemail.example"),
        ("203.0.113.25:25", "partner.example"),
    ):
        number += 1
        yield address, Mailbox("127.0.0.1", ports.mailbox(number), "smtp", (domain,))


def make_lab(data: Path, ports: Ports, now: datetime, *, store: str = "sqlite") -> Path:
    """Everything a first `hudhud up` needs below `data`; the path of its hudhud.toml."""
    data.mkdir(parents=True, exist_ok=True)
    make_authority(data / "tls", now)
    for program in PROGRAMS:
        make_certificate(data / "tls", program, ("localhost", "127.0.0.1", "mx.relay.saba.example"), now)
    keys = {name: release.SigningKey.generate(data / "keys" / f"{name}.key") for name in ("desk", "node", *SIGNERS)}
    registry = demo_registry()
    programs = [f"autoconfig.{domain}" for entity in registry.entities.values() for domain in entity.domains]
    make_certificate(data / "tls", "setup", ("localhost", "mx.relay.saba.example", *programs), now)
    _make_zone(data, registry)
    _make_accounts(data, registry)
    _make_releases(data, keys, now)
    path = data / "hudhud.toml"
    path.write_text(_toml(registry, ports, keys, store), encoding="utf-8")
    return path


def password(data: Path) -> str:
    """The password of every demo account and person of this lab."""
    secret: str = json.loads((data / "demo.json").read_text())["password"]
    return secret


def _make_accounts(data: Path, registry: Registry) -> None:
    secret = "-".join(secrets.token_hex(2) for _ in range(4))
    write_private(data / "demo.json", json.dumps({"password": secret}).encode())
    hashed = hash_password(secret)
    rows = []
    for domain, people in STAFF.items():
        entity = registry.by_domain(domain)
        if entity is not None:
            rows += [accounts.row(f"{local}@{domain}", entity.code, name, hashed) for local, name in people]
    salts = apps.login_secret(data / "keys")
    rows = [replace(row, scram=str(Keys.make(secret, apps.salt_for(row, salts)))) for row in rows]
    accounts.write(data / "accounts.toml", rows)
    write_people(
        data / "people.toml",
        {
            login: (
                Person(login, name_ar, name_en, frozenset({role}), entity, "ar" if role == "officer" else "en"),
                hashed,
            )
            for login, name_ar, name_en, role, entity in PEOPLE
        },
    )


def _make_zone(data: Path, registry: Registry) -> None:
    zone: dict[str, dict[str, list[str]]] = json.loads(DEMO.joinpath("zone.json").read_text(encoding="utf-8"))
    domains = [domain for entity in registry.entities.values() for domain in entity.domains]
    for domain, selector in [*((domain, "hudhud") for domain in domains), ("freemail.example", "s1")]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        write_private(data / "keys" / f"dkim-{domain}.pem", pem)
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        record = f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"
        zone[f"{selector}._domainkey.{domain}"] = {"TXT": [record]}
    (data / "zone.json").write_text(json.dumps(zone, indent=1, ensure_ascii=False), encoding="utf-8")


def _make_releases(data: Path, keys: dict[str, release.SigningKey], now: datetime) -> None:
    folder = data / "releases"
    first: dict[str, tuple[dict[str, bytes], list[release.SigningKey]]] = {
        "registry": ({"registry.toml": DEMO.joinpath("registry.toml").read_bytes()}, [keys["desk"]]),
        "policy": ({"policy.toml": DEMO.joinpath("policy.toml").read_bytes()}, [keys["desk"]]),
        "exemptions": ({"exemptions.json": b"[]"}, [keys["desk"]]),
        "rules": (dict(library()), [keys[name] for name in SIGNERS]),
    }
    for kind, (files, signers) in first.items():
        digest = release.write(folder, kind, files, author="demo", note="first release", now=now, keys=signers)
        release.publish(folder, kind, digest, now=now, keys=signers)


def _toml(registry: Registry, ports: Ports, keys: dict[str, release.SigningKey], store: str) -> str:
    connect = "\n".join(f'"{played}" = "{m.host}:{m.port}"' for played, m in mailboxes(registry, ports))
    public = "\n".join(
        f'{name} = "{base64.b64encode(key.public).decode()}"' for name, key in keys.items() if name != "node"
    )
    return f"""# The lab of `hudhud up`, on loopback. `hudhud config show` prints every setting and its origin.

[node]
name = "lab"
data = "."

[lab.connect]
# documentation address = the loopback port that plays it
{connect}

[releases.keys]
# whose signatures make a release live
{public}

[dns]
nameservers = ["127.0.0.1:{ports.dns}"]
timeout_s = 2.0

[relay]
hostname = "mx.relay.saba.example"
workers = 2
mx = ["127.0.0.1:{ports.mx}"]
submission = ["127.0.0.1:{ports.submission}"]
submissions = ["127.0.0.1:{ports.submissions}"]
setup = "127.0.0.1:{ports.setup}"
submission_port = {ports.submission}
submissions_port = {ports.submissions}
control = "127.0.0.1:{ports.control}"
observe = "127.0.0.1:{ports.observe}"
help_url = "https://localhost:{ports.console}/r"
postmaster = "postmaster@relay.saba.example"

[spool]
min_free_bytes = 67_108_864  # a lab takes little

[intake]
listen = "127.0.0.1:{ports.intake}"
url = "https://localhost:{ports.intake}"

[store]
kind = "{store}"
hosts = ["http://127.0.0.1:{ports.elastic}"]

[console]
listen = "127.0.0.1:{ports.console}"
url = "https://localhost:{ports.console}"
relay_control = "https://localhost:{ports.control}"
"""
