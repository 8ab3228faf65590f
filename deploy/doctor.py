"""`hudhud doctor`: what this machine has, what is missing for which purpose, and how to mend it."""

from __future__ import annotations

import asyncio
import ctypes.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.bench import haraka
from deploy.bench.system import found as installed
from deploy.ports import Ports
from hudhud import config as configuration
from hudhud import log
from hudhud.cli import Exit, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.settings import Settings

GiB = 1024**3
FREE_BYTES = 2 * GiB  # a lab with Elasticsearch takes about one
NEEDED = "needed"
PEERS = "make bench ARGS='relay --peers'"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: for what it is needed, how it stands, and the remedy where it is missing."""

    what: str
    purpose: str
    state: Literal["ok", "missing", "warning"]
    found: str
    remedy: str = ""


def doctor(*, port_base: int = 2500, config: Path | None = None, json: bool = False) -> int:
    """Say what is missing on this machine and how to mend it; exit code 1 where something needed is missing.

    Parameters
    ----------
    port_base
        The loopback ports that `hudhud up` would use are counted from here.
    config
        A hudhud.toml: whether it is right, and whether each back end of log-ins in it answers.
    json
        One JSON object a line.
    """
    checks = [check for look in CHECKS for check in look()] + [_ports(port_base)]
    checks += _configuration(config) if config is not None else ()
    for check in checks if json else ():
        out_json(check)
    if not json:
        table("This machine", ("what", "for", "state", "found", "remedy"), [_row(check) for check in checks])
    lacking = [c for c in checks if c.state == "missing" and c.purpose == NEEDED]
    if not json:
        out(
            "Nothing that `hudhud up` needs is missing."
            if not lacking
            else f"{len(lacking)} needed things are missing."
        )
    return Exit.NO if lacking else Exit.DONE


def _row(check: Check) -> tuple[str, ...]:
    return check.what, check.purpose, check.state, check.found, check.remedy


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    enough = sys.version_info >= (3, 11)
    yield Check("Python", NEEDED, "ok" if enough else "missing", version, "" if enough else "apt install python3.11")


def _libraries() -> Iterator[Check]:
    found = ctypes.util.find_library("archive")
    state: Literal["ok", "missing"] = "ok" if found else "missing"
    yield Check("libarchive", "archives inside mail", state, found or "", "" if found else "apt install libarchive13")


def _machine() -> Iterator[Check]:
    free = shutil.disk_usage(Path.cwd()).free
    plenty = free > FREE_BYTES
    remedy = "" if plenty else "free some, or choose another --data"
    yield Check("free disk", NEEDED, "ok" if plenty else "warning", f"{free / GiB:.1f} GiB", remedy)
    cores = os.cpu_count() or 1
    yield Check("cores", NEEDED, "ok" if cores > 1 else "warning", str(cores), "" if cores > 1 else "two are better")
    yield _clock()


def _clock() -> Check:
    synchronised = Path("/run/systemd/timesync/synchronized").exists() or shutil.which("chronyd") is not None
    remedy = "" if synchronised else "run chrony or systemd-timesyncd: events are ordered by time"
    found = "synchronised" if synchronised else "no time service seen"
    return Check("clock", "production", "ok" if synchronised else "warning", found, remedy)


def _java() -> Iterator[Check]:
    best = 0
    for java in Path("/usr/lib/jvm").glob("*/bin/java"):
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=20)
        digits = answer.stderr.partition('version "')[2].partition(".")[0].partition('"')[0]
        best = max(best, int(digits) if digits.isdigit() else 0)
    remedy = (
        "" if best >= 21 else "install a JDK of version 21 or newer (openjdk-21-jdk-headless), or use --store sqlite"
    )
    yield Check("Java 21", "--store elastic", "ok" if best >= 21 else "missing", str(best or "none"), remedy)


def _tools() -> Iterator[Check]:
    for command, package, purpose in (
        ("mvn", "maven", "--store elastic"),
        ("swaks", "swaks", "make test"),
        ("msmtp", "msmtp", "make test"),
        ("slapd", "slapd", "make test"),
        ("postfix", "postfix", "make test, make bench"),
        ("dovecot", "dovecot-core", "make test"),
        ("chromium", "chromium", "make test"),
        ("ip", "iproute2", "make test"),
    ):
        path = shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")
        state: Literal["ok", "missing"] = "ok" if path else "missing"
        yield Check(command, purpose, state, path or "", "" if path else f"apt install {package}")


def _peers() -> Iterator[Check]:
    """What `hudhud bench relay --peers` compares with; each that is missing is left out of the comparison."""
    for command, how in (
        ("rspamd", "apt install rspamd"),
        ("redis-server", "apt install redis-server"),
        ("node", "apt install nodejs npm"),
        ("haraka", "npm install --global Haraka haraka-plugin-dkim"),
    ):
        path = installed(command)
        remedy = "" if path else f"{how} (all peers, as root: bash tests/install.sh peers)"
        yield Check(command, PEERS, "ok" if path else "missing", path or "", remedy)
    if installed("haraka") and haraka.package() is None:
        yield Check("haraka-plugin-dkim", PEERS, "missing", "", "npm install --global haraka-plugin-dkim")
    if os.geteuid() != 0:
        yield Check("root", PEERS, "missing", f"uid {os.geteuid()}", "Postfix and Rspamd start only as root")


def _capture() -> Iterator[Check]:
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)):
            pass
    except PermissionError:
        remedy = "give the sensor CAP_NET_RAW (deploy: a unit with AmbientCapabilities), or run it as root"
        yield Check("live capture", "hudhud sensor watch", "missing", "no permission", remedy)
    except OSError as error:
        yield Check("live capture", "hudhud sensor watch", "missing", str(error), "a Linux kernel with AF_PACKET")
    else:
        yield Check("live capture", "hudhud sensor watch", "ok", "AF_PACKET")


def _configuration(path: Path) -> Iterator[Check]:
    """The file, and who is asked about passwords and tokens."""
    try:
        settings = configuration.load(path, files=True).settings
    except configuration.ConfigError as error:
        yield Check("configuration", NEEDED, "missing", str(error), "mend that line")
        return
    yield Check("configuration", NEEDED, "ok", str(path))
    log.configure("error", program="doctor")  # what a back end lacks stands in the table
    for name, problem in asyncio.run(_back_ends(settings)).items():
        remedy = f"look at [auth.{name}]" if problem else ""
        yield Check(name, "log-ins", "missing" if problem else "ok", problem or "answers", remedy)


async def _back_ends(settings: Settings) -> dict[str, str]:
    from mail.proof import ways

    built = ways.build(settings, SYSTEM, salts=bytes(32))  # nothing is written here
    try:
        return await built.look()
    finally:
        await built.close()


def _ports(base: int) -> Check:
    ports = Ports(base)
    wanted = (ports.mx, ports.submission, ports.submissions, ports.control, ports.intake, ports.console, ports.dns)
    taken = [port for port in wanted if _taken(port)]
    found = f"taken: {', '.join(map(str, taken))}" if taken else f"{min(wanted)}-{max(wanted)} free"
    remedy = "a lab runs already, or choose --port-base" if taken else ""
    return Check("loopback ports", "hudhud up", "warning" if taken else "ok", found, remedy)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (_python, _libraries, _machine, _java, _tools, _peers, _capture)
