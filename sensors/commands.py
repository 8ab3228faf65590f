"""`hudhud sensor`: read captures, watch an interface, replay, run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import App, Parameter

from hudhud import cli
from hudhud.cli import Exit, Problem
from hudhud.entity import Registry

app = App(
    name="sensor",
    help="""Network sensor: what goes around the relay, and what attacks.

What may be told (the national policy's rules; sensors/privacy.py): with a registry, only networks of the registry are
told of; public networks are shown to security detectors only; staff hosts are not named, their use of foreign webmail
is counted per body and hour and not shown below five hosts; of peers outside the registry no user names, paths or
envelope addresses are kept. `read` without --registry is for a given capture that a forensic reader may see whole: it
tells everything and runs no detectors.""",
)

Registries = Annotated[
    Path | None, Parameter(name="--registry", help="A registry.toml: applies the privacy rules and runs the detectors.")
]
Output = Annotated[
    Path | None,
    Parameter(
        name="--ndjson",
        allow_leading_hyphen=True,
        help="Where events go, one ECS document a line; - is standard output.",
    ),
]


@app.command
def read(
    files: Annotated[
        list[Path], Parameter(allow_leading_hyphen=True, help="pcap, pcapng, gzip of both; - is standard input.")
    ],
    /,
    *,
    ndjson: Output = None,
    registry: Registries = None,
) -> int:
    """Read captures: flows, DNS, TLS, QUIC, HTTP, SMTP, IMAP, POP3, SSH, DHCP, ARP as ECS events.

    Without --registry every observation is told in full and no detector runs: for a capture that a forensic reader was
    given and may see whole. With it, the rules of live watching hold: only networks of the registry are told of; public
    networks are shown to security detectors only; staff hosts are not named, their use of foreign webmail is counted
    per body and hour and not shown below five hosts; of peers outside the registry no user names, paths or envelope
    addresses are kept; detectors run.

    A damaged capture is read as far as it goes and named. Exit: 0 read, 1 a capture was damaged, 2 usage.
    """
    from sensors.reading import read as read_captures

    for path in files:
        if str(path) != "-" and not path.is_file():
            raise Problem(f"{path}: there is no such file")
    total = sum(path.stat().st_size for path in files if str(path) != "-")
    with _output(ndjson) as out, cli.progress("reading", max(total, 1)) as bar:
        summary = read_captures(
            [(str(path), _opener(path)) for path in files], out, _registry(registry), advance=bar.advance
        )
    for name, problem in summary.problems:
        cli.err(f"{name}: {problem}")
    show = cli.err if ndjson is not None and str(ndjson) == "-" else cli.out
    rate = summary.packets / summary.cpu_s if summary.cpu_s else 0.0
    show(
        f"{summary.packets:,} packets of {len(files)} captures in {summary.wall_s:.2f} s, "
        f"{rate:,.0f} packets per CPU second; "
        f"{sum(summary.events.values()):,} events: "
        + (", ".join(f"{name} {count:,}" for name, count in sorted(summary.events.items())) or "none")
    )
    for name, count in sorted(summary.counters.items()):
        if count and name.endswith(
            ("evicted", "_cap", "over_cap", "refused", "parser_errors", "malformed", "too_deep")
        ):
            show(f"  {name}: {count:,}")
    return Exit.NO if summary.problems else Exit.DONE


@app.command
def watch(
    interface: str,
    /,
    *,
    registry: Registries = None,
    config: Path | None = None,
    ndjson: Output = Path("-"),
    seconds: float = 0.0,
) -> int:
    """Watch an interface and print what may be told. Needs CAP_NET_RAW, and a registry: --registry, or the live one
    of --config.

    Live traffic is other people's: without a registry there is no rule to cut it down by, so it is refused. Ends
    after --seconds (0: with Ctrl-C) and tells packets and drops.
    """
    import time

    from hudhud.event import Value
    from sensors.live import LiveCapture, LiveProblem
    from sensors.observation import document
    from sensors.watch import Watch

    known = _registry(registry)
    if known is None and config is not None:
        from hudhud.config import load
        from sensors.program import live_registry

        known = live_registry(load(config).settings).value
    if known is None:
        raise Problem(
            "watching needs a registry, which says whose networks may be watched: "
            "--registry registry.toml, or --config hudhud.toml"
        )
    try:
        capture = LiveCapture(interface)
    except LiveProblem as problem:
        raise Problem(str(problem), Exit.UNAVAILABLE) from None
    with _output(ndjson) as out:

        def leave(when: float, fields: dict[str, Value]) -> None:
            if out is not None:
                out.write(document(when, fields) + b"\n")

        watching = Watch(leave, known)
        end = time.monotonic() + seconds if seconds else float("inf")
        try:
            while time.monotonic() < end:
                quiet = True
                for block in capture.blocks(min(1.0, max(0.0, end - time.monotonic()))):
                    watching.take(block)
                    quiet = False
                if quiet:
                    watching.idle(time.time())
                if out is not None:
                    out.flush()
        except KeyboardInterrupt:
            cli.err("")
        watching.finish()
    capture.count()
    capture.close()
    cli.err(
        f"{interface}: {capture.packets:,} packets, {capture.drops:,} dropped; {sum(watching.counts.values()):,} events"
    )
    return Exit.DONE


@app.command
def replay(file: Path, /, *, config: Path = Path("hudhud.toml")) -> int:
    """Lay a capture before the running sensor of --config: times are shifted to now, events go the whole way."""
    import shutil

    from hudhud.config import load

    if not file.is_file():
        raise Problem(f"{file}: there is no such file")
    settings = load(config).settings
    folder = settings.path(settings.sensor.captures)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / (file.name + ".part")
    shutil.copyfile(file, part)
    part.rename(folder / file.name)
    then = f"keeps it in {folder / 'done'}" if settings.sensor.keep_captures else "deletes it there"
    cli.out(f"laid in {folder}; the sensor reads it within seconds, then {then}")
    return Exit.DONE


@app.command
def run(*, config: Path = Path("hudhud.toml")) -> int:
    """Run the sensor: the interface and the folder of captures of --config, until SIGTERM. `hudhud up` starts it."""
    import asyncio

    from hudhud import log
    from hudhud.config import load
    from hudhud.release import ReleaseError
    from sensors.live import LiveProblem
    from sensors.program import Program

    settings = load(config).settings
    log.configure(settings.node.log_level, program="sensor")

    async def main() -> None:
        await Program(settings).run()

    try:
        asyncio.run(main())
    except ReleaseError as error:
        raise Problem(f"no registry is live: {error}; `hudhud up` publishes the demo one", Exit.UNAVAILABLE) from None
    except LiveProblem as problem:
        raise Problem(str(problem), Exit.UNAVAILABLE) from None
    return Exit.DONE


def _registry(path: Path | None) -> Registry | None:
    if path is None:
        return None
    from hudhud.registry import parse_registry

    folder = path.parent
    try:
        files = {path.name: path.read_bytes()}
        files |= {
            one.name: one.read_bytes() for one in folder.iterdir() if one.suffix in (".cidr", ".txt") and one.is_file()
        }
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None
    return parse_registry({"registry.toml": files.pop(path.name), **files}, version=str(path))


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
    elif str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with path.open("wb") as out:
            yield out


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: sys.stdin.buffer if str(path) == "-" else path.open("rb")
