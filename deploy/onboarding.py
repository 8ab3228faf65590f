"""`hudhud registry onboard CODE`: one body on its way to the national mail, each step with what is left to do."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy.authority import write_private
from deploy.live_registry import live_registry
from deploy.mxhosts import MxHosts
from deploy.rollout import readiness
from hudhud.cli import Exit, Problem, out, table
from hudhud.clock import SYSTEM
from hudhud.config import Config
from hudhud.entity import Entity, Registry
from hudhud.i18n import Catalogue, Language, language
from hudhud.settings import Settings
from mail.accounts import Account
from mail.dns import LiveResolver
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.judging import Judging
from mail.live import LiveReleases, live_releases
from mail.message import Message
from mail.setup.ways import records as setup_records
from mail.setup.ways import ways
from mail.threads import NoThreads
from mail.verdict import Disposition

DKIM_BITS = 2048  # RFC 8301

say = Catalogue("deploy")
Mark = Literal["done", "to do"]
Kind = Literal["MX", "TXT", "SRV", "CNAME"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is, how it stands, and what the body or the response centre does next."""

    what: str
    mark: Mark
    next: str


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record that the body publishes, and what stands there now."""

    name: str
    kind: Kind
    value: str
    published: bool
    programs: bool = False  # by which mail programs find their servers


async def walk(config: Config, code: str, shown_in: str) -> int:
    """Print every step for the body `code`; exit code 1 while anything is left to do."""
    settings, speak = config.settings, language(shown_in)
    _, registry = live_registry(settings)
    if code not in registry.entities:
        raise Problem(f"the registry has no body with the code {code!r}; `hudhud registry show` lists them", Exit.NO)
    entity = registry.entities[code]
    records = await dns_records(entity, settings)
    live = live_releases(settings)
    steps = [
        _contacts(entity, speak),
        await _server(entity, registry, settings, speak),
        _published([one for one in records if not one.programs], speak),
        _programs(entity, [one for one in records if one.programs], speak),
        await _test_mail(entity, settings, live, speak),
        _mode(entity, live, speak),
    ]
    out(f"{entity.name(speak)} ({code})")
    rows = [(number, step.what, say(speak, step.mark), step.next) for number, step in enumerate(steps, 1)]
    table("", ("", say(speak, "step"), say(speak, "state"), say(speak, "next")), rows)
    missing = [(r.name, r.kind, r.value) for r in records if not r.published]
    if missing:
        out(say(speak, "Records to publish:"))
        for name, kind, value in missing:
            out(f"{name}. {kind} {_quoted(value) if kind == 'TXT' else value}")
    return Exit.DONE if all(step.mark == "done" for step in steps) else Exit.NO


def _quoted(text: str) -> str:
    return " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))


def _contacts(entity: Entity, speak: Language) -> Step:
    roles = {contact.role for contact in entity.contacts}
    lacking = [role for role in ("security", "postmaster") if role not in roles]
    todo = say(speak, "name a contact for: {roles}", roles=", ".join(lacking)) if lacking else ""
    return Step(say(speak, "contacts"), "to do" if lacking else "done", todo)


async def _server(entity: Entity, registry: Registry, settings: Settings, speak: Language) -> Step:
    found = await readiness(entity, registry, MxHosts(settings.dns))
    text = "; ".join(o for o in found.obstacles if not o.startswith("no contact"))
    return Step(say(speak, "mailbox server and MX"), "to do" if text else "done", text)


def _published(records: list[Record], speak: Language) -> Step:
    missing = sum(1 for record in records if not record.published)
    todo = say(speak, "{count} DNS records are not published yet", count=missing) if missing else ""
    return Step(say(speak, "DNS records"), "to do" if missing else "done", todo)


def _programs(entity: Entity, records: list[Record], speak: Language) -> Step:
    missing = sum(1 for record in records if not record.published)
    todo = [say(speak, "{count} DNS records are not published yet", count=missing)] if missing else []
    if entity.imap is None:
        todo.append(say(speak, "name the body's IMAP server in the registry (imap)"))
    return Step(say(speak, "mail programs find their servers"), "to do" if todo else "done", "; ".join(todo))


async def dns_records(entity: Entity, settings: Settings) -> list[Record]:
    """MX, SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 9989), TLS-RPT (RFC 8460), SRV (RFC 6186) of each domain."""
    resolver = LiveResolver(settings.dns)
    selector = settings.delivery.dkim_selector
    records: list[Record] = []
    for domain in entity.domains:
        key = dkim_record(settings.path("keys", f"dkim-{domain}.pem"))
        report = settings.relay.postmaster
        for name, kind, value, mark in (
            (domain, "MX", f"10 {settings.relay.hostname}", settings.relay.hostname),
            (domain, "TXT", f"v=spf1 mx:{settings.relay.hostname} -all", "v=spf1"),
            (f"{selector}._domainkey.{domain}", "TXT", key, key.partition("p=")[2][:60]),
            (f"_dmarc.{domain}", "TXT", f"v=DMARC1; p=none; rua=mailto:{report}", "v=DMARC1"),
            (f"_smtp._tls.{domain}", "TXT", f"v=TLSRPTv1; rua=mailto:{report}", "v=TLSRPTv1"),
        ):
            found = await resolver.ask(name, "MX" if kind == "MX" else "TXT")
            there = not isinstance(found, str) and any(mark in text for text in found)
            records.append(Record(name, "MX" if kind == "MX" else "TXT", value, there))
        for name, kind, value in setup_records(ways(entity, domain, settings.relay)):
            wanted: Kind = "SRV" if kind == "SRV" else "CNAME"
            found = await resolver.ask(name, wanted)
            there = not isinstance(found, str) and value.rstrip(".") in (text.rstrip(".") for text in found)
            records.append(Record(name, wanted, value, there, programs=True))
    return records


def dkim_record(path: Path) -> str:
    """The TXT record of the public half of a DKIM key; the key is made where there is none."""
    if not path.exists():
        fresh = rsa.generate_private_key(public_exponent=65537, key_size=DKIM_BITS)
        pem = fresh.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        write_private(path, pem)
    private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


async def _test_mail(entity: Entity, settings: Settings, live: LiveReleases, speak: Language) -> Step:
    """A mail of the body to itself through the relay's own judgement; nothing is sent."""
    what = say(speak, "test mail")
    if not entity.domains:
        return Step(what, "to do", say(speak, "the body has no domain"))
    domain = entity.domains[0]
    address = f"postmaster@{domain}"
    judging = Judging(live, LiveResolver(settings.dns), NoThreads(), SYSTEM, settings)
    client = Client("127.0.0.1", 0, "localhost", "TLSv1.3", "submission")
    account = Account(address, entity.code, frozenset({address}))
    recipient = Recipient(parse_path(address.encode(), smtputf8=False))
    envelope = Envelope(recipient.address, (recipient,), client, account, SYSTEM.now())
    text = f"From: <{address}>\r\nTo: <{address}>\r\nSubject: test\r\nMessage-ID: <test@{domain}>\r\n\r\ntest\r\n"
    try:
        verdict = await judging.at_rcpt(envelope, recipient)
        judged = await judging.at_data(Message.read(envelope, "onboarding", text.encode()), [verdict])
    finally:
        await judging.close()
    findings = ", ".join(f"{f.rule} ({f.reason})" for f in (*verdict.findings, *judged.findings)) or say(
        speak, "no finding"
    )
    accepted = judged.stored and verdict.disposition < Disposition.DEFER
    return Step(what, "done" if accepted else "to do", f"{judged.data_reply.line()} – {findings}")


def _mode(entity: Entity, live: LiveReleases, speak: Language) -> Step:
    """Shadow first, then enforce: both are a line of the policy release."""
    rules = live.policy.rules(entity.code)
    what = say(speak, "policy: shadow, then enforce")
    if rules.mode == "enforce":
        return Step(what, "done", say(speak, "enforced; foreign recipients: {foreign}", foreign=rules.foreign))
    todo = say(speak, "in shadow: look at what would have been refused, then set mode = enforce in the policy")
    return Step(what, "to do", todo)
