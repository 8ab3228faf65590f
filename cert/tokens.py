"""The tokens of sources that have no certificate, as a file of their hashes: `source = "sha256 of the token, hex"`."""

from __future__ import annotations

from collections.abc import Mapping

from hudhud import toml
from hudhud.settings import Settings


def load(settings: Settings) -> Mapping[str, str]:
    """Source to hash; {} where no file is named. PlaceError names file and line."""
    if not settings.intake.tokens:
        return {}
    path = settings.path(settings.intake.tokens)
    document, where = toml.read(path.name, path.read_bytes())
    return toml.convert(document, dict[str, str], file=path.name, where=where)
