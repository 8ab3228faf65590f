"""`hudhud up`: the whole house on one machine, on loopback, with the demo country, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from deploy import demo, mailboxes, zone
from deploy.ports import Ports
from deploy.programs import Program, running
from hudhud import config, log, tls
from hudhud.cli import Exit, Problem, err, out, progress, table
from hudhud.clock import SYSTEM
from hudhud.settings import Settings

PROGRAMS = ("intake", "desk", "relay", "sensor", "console")  # in the order they start
COMMANDS = {"sensor": ("sensor", "run")}

_log = log.get(__name__)


def up(
    *,
    data: Path = Path("var"),
    store: Literal["sqlite", "elastic"] = "sqlite",
    port_base: int = 2500,
    tour: bool = False,
    break_: Literal["", "store"] = "",
) -> int:
    """Start everything on this machine, on loopback, with a demo country.

    Parameters
    ----------
    data
        Folder for everything that is written; a second run finds it again.
    store
        Where events and incidents are kept. Elasticsearch is fetched from Maven Central and needs Java 21.
    port_base
        The loopback ports are counted from here; change it where another lab runs beside this one.
    tour
        Drive a real morning through it, print what came of it, and stop; exit code 0 only if all came out.
    break_
        With --tour: what is taken away for the whole tour (store; with --store elastic).
    """
    log.configure("warning", program="up")
    try:
        return asyncio.run(_up(data.resolve(), store, port_base, tour, break_))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


async def _up(data: Path, store: Literal["sqlite", "elastic"], base: int, tour: bool, broken: str) -> int:
    other = running(data / "run" / "up.json")
    if other is not None:
        raise Problem(
            f"a lab runs already in {data} (process {other}); stop it, or choose another --data and --port-base"
        )
    path = _prepare(data, store, Ports(base))
    settings = config.load(path).settings
    _ports_are_free(settings)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _lab(data, settings), _house(path, settings, stop):
        if stop.is_set():
            return Exit.INTERRUPTED
        (data / "run" / "up.json").write_text(f'{{"pid": {os.getpid()}}}')
        try:
            if tour:
                return await _tour(data, stop, broken)
            _welcome(data, settings)
            await stop.wait()
            out("Stopping …")
        finally:
            (data / "run" / "up.json").unlink(missing_ok=True)
    return Exit.DONE


def _prepare(data: Path, store: Literal["sqlite", "elastic"], ports: Ports) -> Path:
    """The lab's hudhud.toml, made on the first run."""
    path = data / "hudhud.toml"
    if path.exists():
        kind = config.load(path).settings.store.kind
        if kind != store and store == "elastic":
            raise Problem(f"{path} keeps its events in {kind}; use another --data for a lab with --store {store}")
    else:
        out(f"Making the demo country in {data} …")
        demo.make_lab(data, ports, SYSTEM.now(), store=store)
    for name in ("run", "log", "sensor/captures"):
        (data / name).mkdir(parents=True, exist_ok=True)
    return path


def _ports_are_free(settings: Settings) -> None:
    played = settings.lab.connect.values() if settings.lab else ()
    relay = settings.relay
    listeners = (*relay.mx, *relay.submission, *relay.submissions, relay.control, *played)
    for address in (*listeners, settings.intake.listen, settings.console.listen):
        host, _, port = address.rpartition(":")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
                raise Problem(
                    f"{address} cannot be opened ({error.strerror}): another program or lab stands there; "
                    "try --port-base 12500 with another --data",
                    Exit.UNAVAILABLE,
                ) from None


@contextlib.asynccontextmanager
async def _lab(data: Path, settings: Settings) -> AsyncIterator[None]:
    """What the lab plays itself: the name server, the ministries' mailbox servers, the hosts abroad."""
    host, _, port = settings.dns.nameservers[0].rpartition(":")
    servers = [await zone.serve(data / "zone.json", host, int(port))]
    context = tls.server_context(data / "tls" / "mta.pem", data / "tls" / "mta.key")
    base = Ports(int(settings.relay.mx[0].rpartition(":")[2]) - Ports(0).mx)
    played = [mailbox for _, mailbox in demo.mailboxes(demo.demo_registry(), base)]
    servers += await mailboxes.serve(played, data / "mailboxes", context)
    try:
        yield
    finally:
        for server in servers:
            server.close()


@contextlib.asynccontextmanager
async def _house(path: Path, settings: Settings, stop: asyncio.Event) -> AsyncIterator[None]:
    """The programs, each a process of its own; one that dies is started again."""
    data = path.parent
    programs = [Program(name, (*COMMANDS.get(name, (name,)), "--config", str(path)), data) for name in PROGRAMS]
    if settings.store.kind == "elastic":
        port = settings.store.hosts[0].rpartition(":")[2]
        words = ("-m", "deploy.elasticsearch.server", "--data", str(data / "elastic"), "--port", port)
        programs.insert(0, Program("elastic", words, data, ready_s=300.0, module=True))
    keepers: list[asyncio.Task[None]] = []
    try:
        with progress("Starting", len(programs)) as bar:
            for program in programs:
                await program.start(stop)
                if stop.is_set():
                    break
                keepers.append(asyncio.create_task(program.keep()))
                bar.advance(1, program.name)
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for program in reversed(programs):
            await program.stop()


async def _tour(data: Path, stop: asyncio.Event, broken: str) -> int:
    """The tour as a process of its own, as `hudhud tour` beside a running lab would be."""
    words = [sys.executable, "-m", "deploy.main", "tour", "--data", str(data)]
    child = await asyncio.create_subprocess_exec(*words, *(("--break", broken) if broken else ()))
    ended, stopped = asyncio.create_task(child.wait()), asyncio.create_task(stop.wait())
    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ended.done():
        child.send_signal(signal.SIGINT)
    return await ended


def _welcome(data: Path, settings: Settings) -> None:
    secret = demo.password(data)
    relay = settings.relay
    table(
        "Hudhud is up",
        ("what", "where"),
        (
            ("console (HTTPS, certificate of the lab)", settings.console.url),
            ("mail from outside (SMTP)", relay.mx[0]),
            ("submission (STARTTLS, AUTH)", relay.submission[0]),
            ("submission (TLS, AUTH)", relay.submissions[0]),
            ("intake of events (HTTPS, mutual TLS)", settings.intake.url),
            ("mail programs find their servers (HTTPS)", relay.setup),
            ("health and metrics: /readyz /healthz /metrics", f"http://{relay.observe}"),
            ("mailboxes (maildirs)", data / "mailboxes"),
            ("certificate authority", data / "tls" / "ca.pem"),
            ("logs", data / "log"),
        ),
    )
    rows = [(f"{local}@{domain}", "mail", secret) for domain, people in demo.STAFF.items() for local, _ in people[:1]]
    rows += [(login, f"console: {role}", secret) for login, _, _, role, _ in demo.PEOPLE]
    table("Demo accounts", ("login", "for", "password"), rows)
    command = "hudhud" if shutil.which("hudhud") else Path(sys.argv[0]).absolute()
    out("Try, in another terminal:")
    out(f"  {command} tour --data {data}")
    out(f"  {command} mail held list --config {data / 'hudhud.toml'}")
    out(f"  {command} cert incidents list --config {data / 'hudhud.toml'}")
    out("Ctrl-C stops everything; what is accepted stays on disk.")
    if not sys.stdout.isatty():
        err("ready")
