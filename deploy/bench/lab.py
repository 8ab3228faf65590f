"""A throw-away lab for measuring: the relay alone, our sink as every ministry's server, our load as its clients."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy import demo, zone
from deploy.bench import bodies, collector, load, profile, sink
from deploy.ports import Ports
from deploy.programs import Program, state
from hudhud import config, release
from hudhud.cli import Exit, Problem, err
from hudhud.clock import SYSTEM
from hudhud.settings import Settings, split_address

SENDER = "amal@finance.saba.example"
RECIPIENT = "salim@interior.saba.example"
LOG_SHOWN = 3000  # characters of the relay's log when something went wrong
STOP_S = 20.0  # seconds a helper has to end
SINK = 11  # the mailbox port behind which the bench's own destination lies

# A lab has one client: the limits per account and per address would measure themselves.
NO_LIMITS: Mapping[str, int] = {
    "messages_per_minute_per_account": 1_000_000_000,
    "messages_per_minute_per_address": 1_000_000_000,
    "messages_per_minute_per_network": 1_000_000_000,
    "messages_per_minute_per_recipient": 1_000_000_000,
    "connections_per_minute_per_address": 1_000_000_000,
    "connections_per_minute_per_network": 1_000_000_000,
    "recipients_per_minute_per_account": 1_000_000_000,
    "messages_per_minute_per_server": 1_000_000_000,
    "recipients_per_minute_per_server": 1_000_000_000,
    "max_sessions": 5_000,
    "max_sessions_per_address": 5_000,
    "max_sessions_per_network": 5_000,
}


_RESERVED: list[socket.socket] = []  # by this process, as long as it lives


def free_ports() -> Ports:
    """A base from which all ports of a lab are free on loopback now, and which no other process gets from here."""
    bases = list(range(10_000, 32_000, 200))  # below those that the kernel gives to outgoing connections
    random.shuffle(bases)
    for base in bases:
        ports = Ports(base)
        numbers = [ports.mx, ports.submission, ports.submissions, ports.control, ports.intake, ports.console]
        numbers += [ports.dns, ports.elastic, *(ports.mailbox(n) for n in range(12))]
        if all(map(is_free, numbers)) and _reserved(base):
            return ports
    raise Problem("no free ports on loopback", Exit.UNAVAILABLE)


def _reserved(base: int) -> bool:
    """Whether the base is ours now: an abstract socket's name is taken once, and is free when its process has ended."""
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0hudhud-ports-{base}")
    except OSError:
        holder.close()
        return False
    _RESERVED.append(holder)
    return True


def free_port() -> int:
    """Any loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nobody listens on that loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def make(
    data: Path,
    *,
    rules: Mapping[str, bytes] | None = None,
    changes: Mapping[str, Mapping[str, object]] | None = None,
    next_hop: int = 0,
) -> Settings:
    """A lab's folder on free ports. `rules`: files of the release, else our library; `changes`: settings by section.

    `next_hop` is the loopback port behind dest.example, 0 for the lab's own sink.
    """
    ports = free_ports()
    path = demo.make_lab(data, ports, SYSTEM.now())
    bodies.join(data, next_hop or ports.mailbox(SINK))
    wanted = {section: dict(values) for section, values in (changes or {}).items()}
    wanted["relay"] = {**NO_LIMITS, **wanted.get("relay", {})}
    path.write_text(changed(path.read_text(encoding="utf-8"), wanted), encoding="utf-8")
    if rules is not None:
        keys = [release.SigningKey.load(data / "keys" / f"{name}.key") for name in demo.SIGNERS]
        now, folder = SYSTEM.now(), data / "releases"
        digest = release.write(folder, "rules", rules, author="bench", note="for measuring", now=now, keys=keys)
        release.publish(folder, "rules", digest, now=now, keys=keys)
    for name in ("run", "log", "sensor/captures"):
        (data / name).mkdir(parents=True, exist_ok=True)
    return config.load(path).settings


def changed(text: str, sections: Mapping[str, Mapping[str, object]]) -> str:
    """hudhud.toml with these settings in place of its own, each at the head of its section."""
    lines = text.splitlines()
    for section, values in sections.items():
        head = f"[{section}]"
        if head not in lines:
            lines += ["", head]
        begin = lines.index(head) + 1
        end = next((n for n in range(begin, len(lines)) if lines[n].startswith("[")), len(lines))
        kept = [line for line in lines[begin:end] if line.partition("=")[0].strip() not in values]
        lines[begin:end] = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in values.items()] + kept
    return "\n".join(lines) + "\n"


@dataclass(slots=True)
class Helper:
    """A process of ours beside the system under test: it is handed one line of JSON and says when it is ready."""

    child: asyncio.subprocess.Process

    @classmethod
    async def start(cls, module: str, order: msgspec.Struct) -> Helper:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
        )
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(order) + b"\n")
        await child.stdin.drain()
        return cls(child)

    async def line(self) -> bytes:
        """What it says next; Problem where it ended instead."""
        assert self.child.stdout is not None
        said = await self.child.stdout.readline()
        if not said:
            raise Problem("a helper process ended before its time", Exit.UNAVAILABLE)
        return said

    async def stop(self) -> None:
        if self.child.returncode is None:
            self.child.terminate()
        await asyncio.wait_for(self.child.wait(), STOP_S)


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink that runs: the file with its counters, and whether somebody answers there."""

    counters: Path
    helper: Helper

    def away(self) -> None:
        """From now on nobody answers; what is under way breaks."""
        self.helper.child.send_signal(signal.SIGUSR1)

    def back(self) -> None:
        self.helper.child.send_signal(signal.SIGUSR2)


@contextlib.asynccontextmanager
async def sinking(ports: Sequence[sink.Port], folder: Path, *, arrivals: bool = False) -> AsyncIterator[Sink]:
    """A sink on these ports, until the end of the block (with `arrivals`: sink.arrivals beside its counters)."""
    counters = folder / "sink.counters"
    order = sink.Order(tuple(ports), str(counters), str(folder / "sink.arrivals") if arrivals else "")
    helper = await Helper.start("deploy.bench.sink", order)
    try:
        await helper.line()
        yield Sink(counters, helper)
    finally:
        await helper.stop()


async def sending(order: load.Order) -> load.Result:
    """Send a load; returns when every message has its answer."""
    helper = await Helper.start("deploy.bench.load", order)
    try:
        return msgspec.json.decode(await helper.line(), type=load.Result)
    finally:
        await helper.stop()


@contextlib.asynccontextmanager
async def collecting(data: Path, settings: Settings) -> AsyncIterator[None]:
    """In the place of the lab's intake one that only counts."""
    folder, (_, port) = data / "tls", split_address(settings.intake.listen)
    order = collector.Order(port, str(folder / "intake.pem"), str(folder / "intake.key"), str(folder / "ca.pem"))
    helper = await Helper.start("deploy.bench.collector", order)
    try:
        await helper.line()
        yield
    finally:
        await helper.stop()


@dataclass(slots=True)
class RelayLab:
    """A lab whose relay runs, with our sink behind it."""

    data: Path
    settings: Settings
    relay: Program
    sink: Sink
    names: zone.NameServer

    @property
    def counters(self) -> Path:
        return self.sink.counters

    @property
    def pids(self) -> list[int]:
        """The relay's supervisor; workers and what they start are below it."""
        found = state(self.relay.run_file).get("pid")
        return [found] if isinstance(found, int) else []

    @property
    def sink_port(self) -> int:
        """Where the mail of bodies.RECIPIENT goes."""
        return _base(self.settings).mailbox(SINK)

    @property
    def workers(self) -> list[int]:
        found = state(self.relay.run_file).get("workers")
        return [pid for pid in found if isinstance(pid, int)] if isinstance(found, list) else []

    def handing_in(self) -> load.Order:
        """How a body's registered server hands in mail: in clear, without a log-in. One message, to be changed."""
        _, port = split_address(self.settings.relay.mx[0])
        return load.Order(port=port, count=1, sender=bodies.SENDER, recipients=(bodies.RECIPIENT,))

    def submission(self) -> load.Order:
        """How a person's program hands in mail: implicit TLS and AUTH. One message, to be changed by the caller."""
        _, port = split_address(self.settings.relay.submissions[0])
        return load.Order(
            port=port,
            count=1,
            sender=SENDER,
            recipients=(RECIPIENT,),
            ca=str(self.data / "tls" / "ca.pem"),
            login=SENDER,
            password=demo.password(self.data),
        )


@contextlib.asynccontextmanager
async def relaying(
    data: Path,
    settings: Settings,
    *,
    arrivals: bool = False,
    starting: contextlib.AbstractContextManager[None] | None = None,
) -> AsyncIterator[RelayLab]:
    """The relay of a lab that was made, with name server and sink, until the end of the block.

    `starting`: what is done around its start, say to its environment.
    """
    base = _base(settings)
    played = [sink.Port(box.port, box.protocol) for _, box in demo.mailboxes(demo.demo_registry(), base)]
    played.append(sink.Port(base.mailbox(SINK)))
    names = zone.NameServer(data / "zone.json")
    answering = await zone.serve(data / "zone.json", *split_address(settings.dns.nameservers[0]), names)
    relay = Program("relay", ("relay", "--config", str(data / "hudhud.toml")), data)
    profile.prepare()
    async with sinking(played, data, arrivals=arrivals) as hop, collecting(data, settings):
        try:
            with starting or contextlib.nullcontext():
                await relay.start(asyncio.Event())
            yield RelayLab(data, settings, relay, hop, names)
        except Problem:
            err(f"the end of the relay's log:\n{relay.log_file.read_text(errors='replace')[-LOG_SHOWN:]}")
            raise
        finally:
            await relay.stop()
            answering.close()


def _base(settings: Settings) -> Ports:
    return Ports(split_address(settings.relay.submissions[0])[1] - Ports(0).submissions)


async def arrived(counters: Path, messages: int, within: float) -> float | None:
    """The monotonic moment at which the sink has that many messages in all; None where they do not come in time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while sink.read_counts(counters).messages < messages:
        if loop.time() > until:
            return None
        await asyncio.sleep(0.005)
    return loop.time()
