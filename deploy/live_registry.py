"""The registry that is live on this node."""

from __future__ import annotations

from hudhud import release
from hudhud.entity import Registry
from hudhud.registry import FILE, parse_registry
from hudhud.settings import Settings


def live_registry(settings: Settings) -> tuple[bytes, Registry]:
    """registry.toml of the live release, and the registry that it makes."""
    found = release.load(settings.path(settings.releases.folder), "registry", release.Trust.of(settings.releases))
    return found.files[FILE], parse_registry(found.files, version=found.digest[:12])
