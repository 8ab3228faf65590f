"""The roll-out: two hundred bodies from one CSV file, whole or not at all, and how ready each of them is."""

from __future__ import annotations

import csv
import io
import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hudhud.entity import Entity, Registry, a_label
from hudhud.registry import FILE, parse_registry

COLUMNS = ("code", "name_ar", "name_en", "domains")  # must be filled in every row
OPTIONAL = (
    *("parent", "sector", "server_networks", "staff_networks", "public_networks", "mail_hosts", "next_hop", "protocol"),
    *("tls", "diwan", "contact_name", "contact_email", "contact_phone", "contact_language"),
)
MAX_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one row: `row` counts as a spreadsheet does, the heading is row 1."""

    row: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.problem}" if self.column else f"row {self.row}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Readiness:
    """How far a body is: what stands in its way, in words; ready when nothing does."""

    code: str
    name: str
    obstacles: tuple[str, ...]

    @property
    def ready(self) -> bool:
        return not self.obstacles


class Mx(Protocol):
    """Who answers for a domain's mail: the addresses of its MX hosts, or a word for why there are none."""

    async def addresses(self, domain: str) -> Sequence[str] | str: ...


def read_rows(data: bytes) -> tuple[list[dict[str, str]], list[RowError]]:
    """The rows of the CSV and everything that is wrong with them; every fault is named, not the first alone."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [RowError(data[: error.start].count(b"\n") + 1, "", "is not UTF-8; save the sheet as CSV UTF-8")]
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",")
    heading = [name.strip() for name in reader.fieldnames or ()]
    errors = [RowError(1, name, "this column is missing") for name in COLUMNS if name not in heading]
    known = {*COLUMNS, *OPTIONAL}
    errors += [RowError(1, name, "is no column that is known") for name in heading if name not in known]
    if errors:
        return [], errors
    reader.fieldnames = heading
    rows: list[dict[str, str]] = []
    for number, raw in enumerate(reader, 2):
        if number > MAX_ROWS:
            return [], [RowError(number, "", f"more than {MAX_ROWS} rows")]
        row = {key: (value or "").strip() for key, value in raw.items() if isinstance(key, str)}
        if any(row.values()):
            rows.append({**row, "#": str(number)})
            errors += _row_errors(number, row)
    return rows, [*errors, *_doubles(rows)]


def _row_errors(number: int, row: Mapping[str, str]) -> Iterator[RowError]:
    for name in COLUMNS:
        if not row.get(name):
            yield RowError(number, name, "is empty")
    for column, check in VALUES:
        for text in _words(row.get(column, "")):
            try:
                check(text)
            except ValueError as error:
                yield RowError(number, column, str(error))


def _code(text: str) -> None:
    if not (text.isascii() and text.replace("-", "").isalnum()):
        raise ValueError(f"{text!r} is not made of ASCII letters, digits and hyphens")


def _email(text: str) -> None:
    if text.count("@") != 1:
        raise ValueError(f"{text!r} is not an e-mail address")


def _next_hop(text: str) -> None:
    if not _hop(text)[1].isdigit():
        raise ValueError(f"{text!r} is not host or host:port")


def _one_of(*allowed: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}")

    return check


VALUES: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("code", _code),
    ("domains", a_label),
    ("server_networks", ipaddress.ip_network),
    ("staff_networks", ipaddress.ip_network),
    ("public_networks", ipaddress.ip_network),
    ("mail_hosts", ipaddress.ip_address),
    ("next_hop", _next_hop),
    ("protocol", _one_of("smtp", "lmtp")),
    ("tls", _one_of("none", "may", "verify")),
    ("contact_email", _email),
    ("contact_language", _one_of("ar", "en")),
)


def _doubles(rows: Sequence[Mapping[str, str]]) -> Iterator[RowError]:
    seen: dict[tuple[str, str], str] = {}
    for row in rows:
        for column, value in (
            ("code", row.get("code", "")),
            *(("domains", d.lower()) for d in _words(row.get("domains", ""))),
        ):
            before = seen.setdefault((column, value), row["#"])
            if value and before != row["#"]:
                yield RowError(int(row["#"]), column, f"{value!r} stands in row {before} already")


def conflicts(current: Registry, rows: Sequence[Mapping[str, str]]) -> Iterator[RowError]:
    """What in a new body's row belongs to a body of the registry already."""
    domains = {domain: entity.code for entity in current.entities.values() for domain in entity.domains}
    prefixes = {str(net.prefix): entity.code for entity in current.entities.values() for net in entity.networks}
    for row in rows:
        if row["code"] in current.entities:
            continue
        owned = [("domains", text, domains.get(a_label(text))) for text in _words(row["domains"])]
        for column in ("server_networks", "staff_networks", "public_networks"):
            owned += [
                (column, text, prefixes.get(str(ipaddress.ip_network(text)))) for text in _words(row.get(column, ""))
            ]
        for column, text, owner in owned:
            if owner is not None:
                yield RowError(int(row["#"]), column, f"{text} already belongs to {owner} in the registry")


def merge(current: bytes, rows: Sequence[Mapping[str, str]]) -> tuple[bytes, Registry]:
    """registry.toml with the bodies of `rows` added; RegistryError where the whole does not fit together."""
    present = parse_registry({FILE: current}).entities
    fresh = [row for row in rows if row["code"] not in present]
    text = current.rstrip() + b"\n" + "".join(_table(row) for row in fresh).encode()
    return text, parse_registry({FILE: text})


def _table(row: Mapping[str, str]) -> str:
    networks = [
        f"{{ prefix = {_quote(prefix)}, class = {_quote(kind)} }}"
        for kind in ("server", "staff", "public")
        for prefix in _words(row.get(f"{kind}_networks", ""))
    ]
    lines = [f"\n[entity.{row['code']}]"]
    lines += [
        f"{key} = {_quote(row[key])}" for key in ("name_ar", "name_en", "parent", "sector", "diwan") if row.get(key)
    ]
    lines.append(f"domains = [{', '.join(_quote(d) for d in _words(row['domains']))}]")
    lines.append(f"networks = [{', '.join(networks)}]")
    lines.append(f"mail_hosts = [{', '.join(_quote(h) for h in _words(row.get('mail_hosts', '')))}]")
    if row.get("next_hop"):
        host, port = _hop(row["next_hop"])
        protocol, security = _quote(row.get("protocol") or "smtp"), _quote(row.get("tls") or "may")
        lines.append(f"next_hop = {{ host = {_quote(host)}, port = {port}, protocol = {protocol}, tls = {security} }}")
    if row.get("contact_email"):
        name, email = _quote(row.get("contact_name", "")), _quote(row["contact_email"])
        phone, language = _quote(row.get("contact_phone", "")), _quote(row.get("contact_language") or "ar")
        contact = f"role = {_quote('security')}, name = {name}, email = {email}, phone = {phone}, language = {language}"
        lines.append(f"contacts = [{{ {contact} }}]")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """A TOML basic string."""
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in text)
    return f'"{escaped}"'


def _words(text: str) -> list[str]:
    return text.replace(";", " ").replace("|", " ").replace(",", " ").split()


def _hop(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and "." in host else (text, "25")


def _abroad(host: str, registry: Registry) -> bool:
    """Whether a next hop given by its address is neither national nor in a body's own network; a name is not asked."""
    try:
        return not registry.is_official_address(host)
    except ValueError:
        return False


def in_shadow(policy: bytes, codes: Sequence[str]) -> bytes:
    """policy.toml with the bodies `codes` in shadow: judged, not carried out. Those it names stay as they are."""
    text = policy.decode("utf-8").rstrip() + "\n"
    fresh = [code for code in codes if f"[entity.{code}]" not in text]
    return (text + "".join(f'\n[entity.{code}]\nmode = "shadow"\n' for code in fresh)).encode()


def enforced(policy: bytes, code: str) -> bytes:
    """policy.toml with the body's shadow ended; every other line as it was."""
    lines, inside = [], False
    for line in policy.decode("utf-8").splitlines():
        if line.strip().startswith("["):
            inside = line.split("#")[0].strip() == f"[entity.{code}]"
        shadow = inside and line.split("#")[0].replace(" ", "").strip() == 'mode="shadow"'
        lines.append('mode = "enforce"' if shadow else line)
    return ("\n".join(lines) + "\n").encode()


async def readiness(entity: Entity, registry: Registry, mx: Mx) -> Readiness:
    """What stands between a body and the national mail: server, contact, where its MX stands."""
    obstacles = []
    if entity.next_hop is None:
        obstacles.append("no mailbox server: give next_hop, or open mailboxes for it on a shared server")
    elif _abroad(entity.next_hop.host, registry):
        obstacles.append(f"its mailbox server {entity.next_hop.host} stands abroad")
    if not entity.contacts:
        obstacles.append("no contact: the response centre cannot reach it")
    for contact in entity.contacts:
        if registry.is_national_domain(contact.email.rpartition("@")[2]) is False:
            obstacles.append(f"its contact {contact.email} uses a foreign mail service")
    if not entity.domains:
        obstacles.append("no domain")
    for domain in entity.domains:
        hosts = await mx.addresses(domain)
        if isinstance(hosts, str):
            obstacles.append(f"{domain}: MX {hosts}")
        elif abroad := [host for host in hosts if not registry.is_official_address(host)]:
            obstacles.append(f"{domain}: MX abroad ({', '.join(abroad[:3])})")
    return Readiness(entity.code, entity.name_en, tuple(obstacles))
