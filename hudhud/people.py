"""The people of the console and of two-person acts: officers, analysts, administrators, auditors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hudhud import toml
from hudhud.i18n import Language

Role = Literal["analyst", "officer", "administrator", "auditor"]

# OWASP's argon2id parameters of 2025: 19 MiB, 2 passes, 1 lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = _HASHER.hash("a password that nobody has, so that an unknown login costs as much as a wrong password")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts; an officer belongs to an entity and sees only that one (design: lawful and proportionate)."""

    login: str
    name_ar: str
    name_en: str
    roles: frozenset[Role]
    entity: str | None
    language: Language
    email: str = ""  # where reminders of exemptions go; "" for nobody

    def name(self, language: Language) -> str:
        return self.name_ar if language == "ar" else self.name_en


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    name_ar: str
    name_en: str
    roles: list[Role]
    password: str  # argon2id, PHC string format
    entity: str | None = None
    language: Language = "ar"
    email: str = ""


def hash_password(password: str) -> str:
    """The argon2id hash of a password in PHC string format, about 30 ms."""
    return _HASHER.hash(password)


def verify_password(hashed: str | None, password: str) -> bool:
    """Whether the password fits; None (an unknown login) costs as much as a wrong one."""
    try:
        return _HASHER.verify(hashed or _NOBODY, password) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False


class People:
    """The people of one file, people.toml: `[person.LOGIN]` tables."""

    def __init__(self, rows: Mapping[str, tuple[Person, str]]) -> None:
        self._rows = rows

    @classmethod
    def load(cls, path: Path) -> People:
        """Read people.toml; PlaceError names file, line and key."""
        document, where = toml.read(path.name, path.read_bytes())
        tables = toml.convert(document.get("person", {}), dict[str, object], file=path.name, where=where)
        rows = {}
        for login, value in tables.items():
            row = toml.convert(value, _Row, file=path.name, where=where, prefix=f"person.{login}")
            person = Person(login, row.name_ar, row.name_en, frozenset(row.roles), row.entity, row.language, row.email)
            rows[login] = (person, row.password)
        return cls(rows)

    def get(self, login: str) -> Person | None:
        """The person with that login, else None."""
        return self._rows[login][0] if login in self._rows else None

    def verify(self, login: str, password: str) -> Person | None:
        """The person if login and password fit; blocks for about 30 ms either way, so call it in a thread."""
        person, hashed = self._rows.get(login, (None, None))
        return person if verify_password(hashed, password) else None

    def __iter__(self) -> Iterator[Person]:
        return iter(person for person, _ in self._rows.values())


def write_people(path: Path, people: Mapping[str, tuple[Person, str]]) -> None:
    """Write people.toml with hashed passwords ((person, hash) by login), readable by its owner only."""
    text = ["# People of the console. Passwords are argon2id hashes."]
    for login, (person, hashed) in people.items():
        text += [
            "",
            f"[person.{login}]",
            f'name_ar = "{person.name_ar}"',
            f'name_en = "{person.name_en}"',
            _roles(person),
            f'password = "{hashed}"',
            f'language = "{person.language}"',
        ]
        if person.entity:
            text.append(f'entity = "{person.entity}"')
        if person.email:
            text.append(f'email = "{person.email}"')
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
    fresh.replace(path)


def _roles(person: Person) -> str:
    return "roles = [" + ", ".join('"' + role + '"' for role in sorted(person.roles)) + "]"
