"""Loads hudhud.toml whole: either it is right and frozen, or an error names file, line, key and what was expected."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hudhud import auth_config, toml
from hudhud.settings import Directory, Dovecot, Issuer, Section, Settings, split_address

ConfigError = toml.PlaceError

DEFAULT = "hudhud.toml"
MAX_WORKERS = 256  # processes of one relay: more than a machine has processors for


@dataclass(frozen=True, slots=True)
class Config:
    """The settings, the file they came from, and the line of each key that the file sets."""

    path: Path
    settings: Settings
    where: Mapping[str, int]

    def origin(self, key: str) -> str:
        """The place "hudhud.toml:12" for a key that the file sets, "default" for one that it does not."""
        return f"{self.path.name}:{self.where[key]}" if key in self.where else "default"

    def effective(self) -> Iterator[tuple[str, object, str]]:
        """Every setting as (key, value, origin)."""
        yield from self._effective(self.settings, "")

    def _effective(self, section: Section, prefix: str) -> Iterator[tuple[str, object, str]]:
        for name in section.__struct_fields__:
            value, key = getattr(section, name), f"{prefix}{name}"
            if isinstance(value, Section):
                yield from self._effective(value, f"{key}.")
            elif key != "folder":
                yield key, value, self.origin(key)


def load(path: Path, *, files: bool = False) -> Config:
    """The configuration in `path`; ConfigError where anything in it is wrong or the file cannot be read.

    `files`: those that it names are looked for as well: of a program that will need them on this machine.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        remedy = "name one (a lab has var/hudhud.toml), or let `hudhud up` make one"
        raise ConfigError(str(path), 0, "", f"cannot be read: {error.strerror}; {remedy}") from None
    found = parse(path, data)
    for key, problem in auth_config.file_mistakes(found.settings) if files else ():
        raise ConfigError(path.name, toml.line_of(key, found.where), key, problem)
    return found


def parse(path: Path, data: bytes) -> Config:
    """The configuration in `data`, read as if it stood in `path`."""
    document, where = toml.read(path.name, data)
    if "folder" in document:
        raise ConfigError(path.name, toml.line_of("folder", where), "folder", "is not known here")
    _check_auth_tables(path.name, document, where)
    settings = toml.convert(document, Settings, file=path.name, where=where, hidden=("folder",))
    settings = msgspec.structs.replace(settings, folder=str(path.resolve().parent))
    for key, problem in _mistakes(settings):
        raise ConfigError(path.name, toml.line_of(key, where), key, problem)
    return Config(path, settings, where)


def _check_auth_tables(file: str, document: Mapping[str, object], where: Mapping[str, int]) -> None:
    """Each back end alone, because in a table of tables a mistake has no name."""
    auth = document.get("auth")
    for kind, shape in (("ldap", Directory), ("dovecot", Dovecot), ("oauth", Issuer)):
        tables = auth.get(kind) if isinstance(auth, dict) else None
        for name, table in tables.items() if isinstance(tables, dict) else ():
            toml.convert(table, shape, file=file, where=where, prefix=f"auth.{kind}.{name}")


def _mistakes(settings: Settings) -> Iterator[tuple[str, str]]:
    """What a type cannot say."""
    listeners = dict(_listeners(settings))
    asked = {f"dns.nameservers[{index}]": address for index, address in enumerate(settings.dns.nameservers)}
    for key, address in (listeners | asked).items():
        try:
            split_address(address)
        except ValueError as error:
            yield key, f"{error}; write for example 127.0.0.1:2525"
    if settings.lab is not None:
        for key, address in listeners.items():
            if not _loopback(split_address(address)[0]):
                yield "lab", f"a lab listens on loopback only, but {key} is {address}"
        for played, real in settings.lab.connect.items():
            if problem := _not_address(played) or _not_address(real):
                yield "lab.connect", problem
    yield from auth_config.mistakes(settings.auth)
    if settings.relay.workers > MAX_WORKERS:
        yield "relay.workers", f"is {settings.relay.workers}, expected 1 to {MAX_WORKERS}"
    for key, value, least in _bounds(settings):
        if value < least:
            yield key, f"is {value}, expected at least {least}"
    for name, text in settings.releases.keys.items():
        if not _is_key(text):
            yield f"releases.keys.{name}", "is not the base64 of a 32-byte ed25519 public key"


def _listeners(settings: Settings) -> Iterator[tuple[str, str]]:
    relay = settings.relay
    for name, addresses in (("mx", relay.mx), ("submission", relay.submission), ("submissions", relay.submissions)):
        for index, address in enumerate(addresses):
            yield f"relay.{name}[{index}]", address
    yield "relay.control", relay.control
    yield "intake.listen", settings.intake.listen
    yield "console.listen", settings.console.listen


def _bounds(settings: Settings) -> Iterator[tuple[str, float, float]]:
    yield "relay.workers", settings.relay.workers, 1
    yield "budget.window", settings.budget.window, 1
    for name, section in msgspec.structs.asdict(settings).items():
        if isinstance(section, Section):
            for field in section.__struct_fields__:
                value = getattr(section, field)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    yield f"{name}.{field}", value, 0


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _not_address(text: str) -> str:
    try:
        split_address(text)
    except ValueError as error:
        return str(error)
    return ""


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except binascii.Error:
        return False
