"""`hudhud registry`: the public bodies — check, show, who is this address, copy, publish, import many, onboard one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from cyclopts import App

from deploy import publish_command, rollout
from deploy.live_registry import live_files, live_registry, publish_files
from hudhud import config as configuration
from hudhud.cli import Exit, Problem, err, out, out_json, progress, table
from hudhud.entity import Entity, MailServer, Registry
from hudhud.i18n import Language
from hudhud.registry import FILE, parse_registry
from hudhud.settings import Relay, Settings
from mail.setup.ways import records as setup_records
from mail.setup.ways import ways

app = App(name="registry", help="The public bodies: check, show, who, copy, publish, import, onboard, audit.")
publish_command.register(app)
CONFIG = Path(configuration.DEFAULT)
COLUMNS = ("code", "name", "الاسم", "domains", "networks", "next hop")


@app.command
def check(path: Path) -> int:
    """Read a registry.toml and the prefix lists beside it; the first mistake is named with file, line and key."""
    folder = path if path.is_dir() else path.parent
    files = {one.name: one.read_bytes() for one in folder.iterdir() if one.suffix in {".txt", ".cidr"}}
    files[FILE] = (folder / FILE if path.is_dir() else path).read_bytes()
    found = parse_registry(files)
    domains = sum(len(entity.domains) for entity in found.entities.values())
    servers = sum(len(entity.servers) for entity in found.entities.values())
    bodies = f"{len(found.entities)} bodies, {domains} domains, {servers} own servers"
    out(f"{path}: right; {bodies}, {len(found.national_prefixes)} national prefixes")
    return Exit.DONE


@app.command
def show(code: str = "", *, config: Path = CONFIG, json: bool = False) -> int:
    """Show all bodies, or the one with the national code CODE.

    Parameters
    ----------
    code
        National code of one body; without it, all.
    config
        Where the live registry is found.
    json
        JSON: one object for one body, one a line for all.
    """
    settings = configuration.load(config).settings
    _, registry = live_registry(settings)
    if code and code not in registry.entities:
        raise Problem(f"the registry has no body with the code {code!r}; `hudhud registry show` lists them", Exit.NO)
    chosen = [registry.entities[code]] if code else list(registry.entities.values())
    if json:
        for entity in chosen:
            out_json(_as_json(entity, settings.relay))
    elif code:
        table(f"{chosen[0].name_en} · {chosen[0].name_ar}", ("what", "value"), _details(chosen[0]))
        out("Records by which mail programs find their servers:")
        for name, kind, value in _setup(chosen[0], settings.relay):
            out(f"{name}. {kind} {value}")
    else:
        table("Public bodies", COLUMNS, [_row(entity) for entity in chosen])
    return Exit.DONE


def _setup(entity: Entity, settings: Relay) -> Iterator[tuple[str, str, str]]:
    for domain in entity.domains:
        yield from setup_records(ways(entity, domain, settings))


def _as_json(entity: Entity, settings: Relay) -> object:
    networks = [{"prefix": str(n.prefix), "class": n.kind} for n in entity.networks]
    return {
        "code": entity.code,
        "name": {"ar": entity.name_ar, "en": entity.name_en},
        "parent": entity.parent,
        "domains": entity.domains,
        "networks": networks,
        "mail_hosts": [str(host) for host in entity.mail_hosts],
        "next_hop": msgspec.to_builtins(entity.next_hop),
        "diwan": entity.diwan,
        "contacts": msgspec.to_builtins(entity.contacts),
        "servers": [_server(server) for server in entity.servers],
        "imap": msgspec.to_builtins(entity.imap),
        "setup_records": [
            {"name": name, "type": kind, "value": value} for name, kind, value in _setup(entity, settings)
        ],
    }


def _server(server: MailServer) -> dict[str, object]:
    return {
        "name": server.name,
        "kind": server.kind,
        "addresses": [str(prefix) for prefix in server.addresses],
        "certificates": list(server.certificates),
        "senders": sorted(server.senders),
        "lists": server.lists,
        "messages_per_minute": server.messages_per_minute or None,
    }


def _known_by(server: MailServer) -> str:
    known = ", ".join([*map(str, server.addresses), *server.certificates])
    senders = f"; sends from {', '.join(sorted(server.senders))}" if server.senders else ""
    return f"{server.name} ({server.kind}) at {known}{senders}{'; lists' if server.lists else ''}"


def _row(entity: Entity) -> Sequence[object]:
    networks = ", ".join(f"{network.prefix} ({network.kind})" for network in entity.networks)
    return entity.code, entity.name_en, entity.name_ar, ", ".join(entity.domains), networks, _hop(entity)


def _hop(entity: Entity) -> str:
    hop = entity.next_hop
    return f"{hop.protocol} {hop.host}:{hop.port}, TLS {hop.tls}" if hop else "none"


def _details(entity: Entity) -> list[tuple[str, str]]:
    rows = [("code", entity.code), ("domains", ", ".join(entity.domains))]
    rows += [("network", f"{network.prefix} ({network.kind})") for network in entity.networks]
    rows += [("mail host", str(host)) for host in entity.mail_hosts]
    rows += [("own server", _known_by(server)) for server in entity.servers]
    rows += [("next hop", _hop(entity)), ("diwan", entity.diwan)]
    rows += [("IMAP", f"{entity.imap.host}:{entity.imap.port}")] if entity.imap else []
    return rows + [(f"contact: {c.role}", f"{c.name} <{c.email}> {c.phone} ({c.language})") for c in entity.contacts]


@app.command
def who(asked: str, *, config: Path = CONFIG, json: bool = False) -> int:
    """Whose is this IP address, domain or e-mail address, and is it national? Exit code 1 where it is nobody's.

    Parameters
    ----------
    asked
        An IP address, a domain or an e-mail address.
    config
        Where the live registry is found.
    json
        One JSON object.
    """
    _, registry = live_registry(configuration.load(config).settings)
    try:
        found = registry.who(asked)
    except ValueError as error:
        raise Problem(f"{error}; write an IP address, a domain or an e-mail address") from None
    code = found.entity.code if found.entity else None
    kind = found.network.kind if found.network else None
    if json:
        out_json({"asked": asked, "entity": code, "network": kind, "national": found.national, "reason": found.reason})
    else:
        national = {True: "national", False: "foreign", None: "national or not: its mail hosts decide"}[found.national]
        owner = f"{found.entity.name_en} ({code})" if found.entity else "nobody's in the registry"
        out(f"{asked}: {owner}; {national}; {found.reason}")
    return Exit.DONE if found.entity or found.national else Exit.NO


@app.command(name="import")
def import_(path: Path, *, config: Path = CONFIG, publish: bool = False, note: str = "", json: bool = False) -> int:
    """Import public bodies from a CSV file, whole or not at all, and show how ready each is.

    Parameters
    ----------
    path
        CSV in UTF-8 with the columns code, name_ar, name_en, domains and, where known, parent, sector, server_networks,
        staff_networks, public_networks, mail_hosts, next_hop, protocol, tls, diwan, contact_name, contact_email,
        contact_phone, contact_language. Several values in a cell are separated by spaces.
    config
        Where the live registry is found.
    publish
        Sign the new registry with the desk's key and make it live; without it nothing changes.
    note
        Why, for the release's history.
    json
        One JSON object a body.
    """
    settings = configuration.load(config).settings
    rows, errors = rollout.read_rows(path.read_bytes())
    current, present = live_registry(settings)
    errors = errors or list(rollout.conflicts(present, rows))
    for error in errors:
        err(f"{path.name}: {error}")
    if errors:
        count = "1 mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
        raise Problem(f"{path.name}: {count}; nothing was imported", Exit.NO)
    text, registry = rollout.merge(current, rows)
    known = {row["code"] for row in rows}
    states = asyncio.run(_readiness([e for e in registry.entities.values() if e.code in known], registry, settings))
    for state in states if json else ():
        out_json({"code": state.code, "name": state.name, "ready": state.ready, "obstacles": state.obstacles})
    if not json:
        _show_readiness(states)
    if publish:
        fresh = [code for code in known if f"[entity.{code}]".encode() not in current]
        publish_files(settings, "registry", {FILE: text}, note or f"import of {path.name}")
        policy = rollout.in_shadow(live_files(settings, "policy")["policy.toml"], sorted(fresh))
        publish_files(settings, "policy", {"policy.toml": policy}, f"{len(fresh)} new bodies begin in shadow")
        out(f"Live: {len(registry.entities)} bodies; the {len(fresh)} new ones begin in shadow.")
    elif not json:
        out("Nothing was changed; --publish makes it live.")
    return Exit.DONE


def _show_readiness(states: Sequence[rollout.Readiness]) -> None:
    rows = [(s.code, s.name, "ready" if s.ready else "not yet", "; ".join(s.obstacles)) for s in states]
    table("Readiness", ("code", "name", "state", "what stands in the way"), rows)
    count = len(states)
    for word, part in (
        ("ready", ""),
        ("without a server", "no mailbox server"),
        ("with MX abroad", "MX abroad"),
        ("without contact", "no contact"),
    ):
        found = sum(1 for s in states if (s.ready if not part else any(part in o for o in s.obstacles)))
        out(f"{found} of {count} {word}")


async def _readiness(entities: Sequence[Entity], registry: Registry, settings: Settings) -> list[rollout.Readiness]:
    from deploy.mxhosts import MxHosts

    hosts = MxHosts(settings.dns)
    states = []
    with progress("Asking the DNS", len(entities)) as bar:
        for entity in entities:
            states.append(await rollout.readiness(entity, registry, hosts))
            bar.advance(1, entity.code)
    return states


@app.command
def onboard(code: str, *, config: Path = CONFIG, language: Literal["ar", "en"] = "en", enforce: bool = False) -> int:
    """Walk one body to the national mail: contacts, DNS records to publish, a test mail explained, shadow, enforce.

    Parameters
    ----------
    code
        National code of the body.
    config
        Where the live registry and the keys are found.
    language
        Language of what the body's people are shown: ar or en.
    enforce
        End the body's shadow first: from now on the national policy is carried out for it.
    """
    from deploy.onboarding import walk

    loaded = configuration.load(config)
    if enforce:
        policy = rollout.enforced(live_files(loaded.settings, "policy")["policy.toml"], code)
        publish_files(loaded.settings, "policy", {"policy.toml": policy}, f"{code} leaves the shadow")
    return asyncio.run(walk(loaded, code, language))


@app.command
def audit(
    *codes: str,
    config: Path = CONFIG,
    dns: Path | None = None,
    connect: bool = True,
    language: Language = "en",
    html: Path | None = None,
    csv: Path | None = None,
    json: bool = False,
) -> int:
    """Audit the posture of all bodies or those named (MX, SPF, DKIM, DMARC, TLS, web mail); exit code 1: one is bad.

    Parameters
    ----------
    codes
        National codes; without them, all bodies.
    config
        Where the live registry is found.
    dns
        zone.json that answers in place of the DNS; no host is called then.
    connect
        Call the mail hosts as a stranger would (TLS, certificate, open relay).
    language
        Of the texts: ar or en.
    html
        Write a page in both languages.
    csv
        Write a sheet with a row for each point.
    json
        One JSON object a body.
    """
    from deploy.audit_command import audit as run

    settings = configuration.load(config).settings
    return asyncio.run(
        run(settings, codes, zone=dns, connect=connect, language=language, html=html, sheet=csv, as_json=json)
    )
