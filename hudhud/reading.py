"""One pass over a file of the registry: every step knows the lines, so every error names one."""

from __future__ import annotations

import ipaddress

from hudhud import toml
from hudhud.entity import a_label
from hudhud.prefix import Prefix


class Reader:
    """One file: `document` is what it says, `where` the line of each key."""

    def __init__(self, file: str, data: bytes) -> None:
        self.file = file
        self.document, self.where = toml.read(file, data)

    def error(self, key: str, problem: str) -> toml.PlaceError:
        return toml.PlaceError(self.file, toml.line_of(key, self.where), key, problem)

    def domain(self, key: str, text: str) -> str:
        try:
            return a_label(text)
        except ValueError as error:
            raise self.error(key, str(error)) from None

    def domains(self, key: str, texts: list[str]) -> frozenset[str]:
        return frozenset(self.domain(key, text) for text in texts)

    def prefix(self, key: str, text: str) -> Prefix:
        try:
            return ipaddress.ip_network(text)
        except ValueError as error:
            raise self.error(key, f"{error}; write a prefix such as 192.0.2.0/24") from None
