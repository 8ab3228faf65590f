"""Fetches and unpacks Elastic's own server distribution from Maven Central, once per machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.elasticsearch import java
from hudhud.cli import Exit, Problem

VERSION = "9.5.3"  # pinned: Maven's metadata stops at 8.19.21 though this one resolves
NEEDS_JAVA = 21
REDUCED_VERSION = "8.19.21"  # the newest that starts on Java 17
REDUCED_NEEDS_JAVA = 17
FETCH_S = 900  # seconds for 132 MB over a slow line

POM = Path(__file__).with_name("pom.xml")


@dataclass(frozen=True, slots=True)
class Distribution:
    """An unpacked server and the JDK it runs on. `reduced` says in words why it is not the wanted version."""

    version: str
    home: Path
    java: java.Jdk
    reduced: str = ""


def get() -> Distribution:
    """The server, unpacked into a cache folder. Problem says what is missing (Java, Maven, the line) and what to do."""
    version, jdk, reduced = choose(java.found())
    cache = _cache()
    with _locked(cache / ".lock"):
        home = cache / f"elasticsearch-{version}"
        if not (home / "bin" / "elasticsearch").exists():
            _unpack(version, cache)
    return Distribution(version, home, jdk, reduced)


def choose(found: tuple[java.Jdk, ...]) -> tuple[str, java.Jdk, str]:
    """Which version to run on which JDK, and in words why it is a reduced one ("" where it is not). Pure."""
    for jdk in found:
        if jdk.version >= NEEDS_JAVA:
            return VERSION, jdk, ""
    for jdk in found:
        if jdk.version >= REDUCED_NEEDS_JAVA:
            why = f"only Java {jdk.version} was found: Elasticsearch {REDUCED_VERSION} instead of {VERSION}"
            return REDUCED_VERSION, jdk, why
    raise Problem(
        f"Elasticsearch {VERSION} needs a JDK {NEEDS_JAVA} or newer, and none was found: "
        "install one (apt install openjdk-21-jdk-headless, or Temurin) or set ES_JAVA_HOME",
        Exit.UNAVAILABLE,
    )


def reachable(folder: Path) -> bool:
    """Whether any user of the machine may pass through to `folder`."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents) if path.exists())


def _cache() -> Path:
    """The project's var/, else the machine's or the user's cache: writable, and as root readable for others."""
    root = os.geteuid() == 0
    project = Path(__file__).parents[2] / "var" / "elasticsearch"
    home = Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache") / "hudhud"
    for folder in (project, Path("/var/cache/hudhud") if root else home):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and (not root or reachable(folder)):
            return folder
    raise Problem(f"no folder to unpack Elasticsearch into: {project} and {home} cannot be written", Exit.UNAVAILABLE)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack(version: str, cache: Path) -> None:
    """By Maven, into a folder beside, then renamed: a half unpacked one is never used."""
    maven = shutil.which("mvn")
    if maven is None:
        raise Problem("Maven is missing, it fetches Elasticsearch: apt install maven", Exit.UNAVAILABLE)
    fresh = cache / f".fresh-{version}"
    shutil.rmtree(fresh, ignore_errors=True)
    words = [maven, "-q", "-B", "-f", str(POM), f"-Dserver.version={version}", f"-Dinto={fresh}", "generate-resources"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=FETCH_S, check=False)
    except subprocess.TimeoutExpired:
        raise Problem(f"Maven did not fetch Elasticsearch {version} within {FETCH_S} s", Exit.UNAVAILABLE) from None
    if done.returncode:
        end = " ".join((done.stdout + done.stderr).split())[-600:]
        raise Problem(f"Maven could not fetch Elasticsearch {version}: {end}", Exit.UNAVAILABLE)
    _open_for_all(fresh)
    shutil.rmtree(cache / f"elasticsearch-{version}", ignore_errors=True)
    (fresh / f"elasticsearch-{version}").rename(cache / f"elasticsearch-{version}")
    shutil.rmtree(fresh, ignore_errors=True)


def _open_for_all(folder: Path) -> None:
    """The server runs as another user: whatever the umask was, it must read what was unpacked."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | 0o444 | (0o111 if path.is_dir() or mode & 0o100 else 0))
