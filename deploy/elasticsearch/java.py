"""Finds a JDK that Elasticsearch can run on, wherever one stands on this machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_VERSION = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)
_MODULES = re.compile(r'^MODULES="([^"]*)"', re.MULTILINE)

FOLDERS = ("/usr/lib/jvm", "/usr/java", "/opt", "/opt/java", "~/.sdkman/candidates/java", "~/.jdks")


@dataclass(frozen=True, slots=True)
class Jdk:
    """A Java home and its major version."""

    home: Path
    version: int


def found() -> tuple[Jdk, ...]:
    """All usable ones, newest first; what ES_JAVA_HOME names stands before all others."""
    wanted = os.environ.get("ES_JAVA_HOME", "")
    named = _read(Path(wanted)) if wanted else None
    others = {one.home: one for home in _homes() if (one := _read(home)) is not None}
    newest = tuple(sorted(others.values(), key=lambda jdk: (-jdk.version, str(jdk.home))))
    return (named, *newest) if named else newest


def _homes() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME", ""):
        yield Path(home).resolve()
    if command := shutil.which("java"):
        yield Path(command).resolve().parents[1]
    for folder in FOLDERS:
        for installed in sorted(Path(folder).expanduser().glob("*")):
            yield installed.resolve()


def _read(home: Path) -> Jdk | None:
    """The JDK at `home`; None where there is none, or one that lacks jdk.jlink, which the launcher needs."""
    try:
        release = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    version, modules = _VERSION.search(release), _MODULES.search(release)
    if version is None or not os.access(home / "bin" / "java", os.X_OK):
        return None
    if modules is not None and "jdk.jlink" not in modules[1].split():
        return None
    return Jdk(home, int(version[1]))
