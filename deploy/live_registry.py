"""The registry and policy that are live on this node, and how the desk makes new ones live."""

from __future__ import annotations

from collections.abc import Mapping

from hudhud import release
from hudhud.clock import SYSTEM
from hudhud.entity import Registry
from hudhud.registry import FILE, parse_registry
from hudhud.settings import Settings


def live_files(settings: Settings, kind: str) -> Mapping[str, bytes]:
    """The files of the live release of `kind`; ReleaseError where it is not signed as it must be."""
    return release.load(settings.path(settings.releases.folder), kind, release.Trust.of(settings.releases)).files


def publish_files(settings: Settings, kind: str, files: Mapping[str, bytes], note: str) -> None:
    """Sign `files` with the desk's key and make them live."""
    folder, now = settings.path(settings.releases.folder), SYSTEM.now()
    key = release.SigningKey.load(settings.path("keys", "desk.key"))
    digest = release.write(folder, kind, files, author="desk", note=note, now=now, keys=[key])
    release.publish(folder, kind, digest, now=now, keys=[key])


def live_registry(settings: Settings) -> tuple[bytes, Registry]:
    """registry.toml of the live release, and the registry that it makes."""
    found = release.load(settings.path(settings.releases.folder), "registry", release.Trust.of(settings.releases))
    return found.files[FILE], parse_registry(found.files, version=found.digest[:12])
