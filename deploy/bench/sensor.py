"""Measures the sensor on a mixed capture: packets per CPU second of the whole process, memory, beside known tools.

Every system reads the same file on one pinned core, in turn, round after round. CPU is what the kernel says of the
process and its children when they end, start-up included.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.bench import traffic
from deploy.bench.environment import Others
from deploy.bench.system import found
from hudhud.cli import Exit, Problem, err, out, progress, table

SLICE = 20_000  # packets for what is slow
NFSTREAM = "import sys, nfstream\nfor _ in nfstream.NFStreamer(source=sys.argv[1], n_dissections=0, n_meters=1): pass"
TSHARK_FIELDS = ("dns.qry.name", "tls.handshake.extensions_server_name", "http.host", "smtp.req.parameter")
SURICATA_OFF = (
    *("ftp", "ssh", "imap", "smb", "nfs", "tftp", "krb5", "snmp", "sip", "rdp", "rfb", "mqtt", "dcerpc", "dhcp", "ntp"),
    *("ike", "modbus", "dnp3", "enip", "quic", "http2", "pgsql", "telnet", "bittorrent-dht"),
)


@dataclass(frozen=True, slots=True)
class Reader:
    """A program that reads a capture: its words, the file and how many packets are in it."""

    name: str
    words: tuple[str, ...]
    packets: int


@dataclass(frozen=True, slots=True)
class Run:
    """One reading: CPU and wall seconds, peak memory in octets of the largest process, others' share."""

    reader: str
    packets: int
    cpu_s: float
    wall_s: float
    rss: int
    others: float

    @property
    def rate(self) -> float:
        """Packets per CPU second."""
        return self.packets / self.cpu_s


def timed(reader: Reader, *, pinned: bool = True) -> Run:
    """Run it once; Problem where it fails."""
    others, begun = Others(), time.monotonic()
    core = {min(os.sched_getaffinity(0))}
    started = subprocess.Popen(
        reader.words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=(lambda: os.sched_setaffinity(0, core)) if pinned else None,  # noqa: PLW1509 - no threads here
    )
    _, status, usage = os.wait4(started.pid, 0)
    started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode not in (0, Exit.NO):  # NO: the capture holds something damaged, and was read
        raise Problem(f"{reader.name} ended with {started.returncode}", Exit.NO)
    cpu = usage.ru_utime + usage.ru_stime
    wall = time.monotonic() - begun
    return Run(reader.name, reader.packets, cpu, wall, usage.ru_maxrss * 1024, others.share())


def ours(capture: Path, packets: int, *more: str) -> Reader:
    """`hudhud sensor read`."""
    words = (sys.executable, "-m", "deploy.main", "sensor", "read", str(capture), "--ndjson", os.devnull, *more)
    return Reader("hudhud", words, packets)


def knows_jobs() -> bool:
    """Whether `sensor read` can share its work among processes."""
    words = (sys.executable, "-m", "deploy.main", "sensor", "read", "--help")
    return "--jobs" in subprocess.run(words, capture_output=True, text=True, check=False).stdout


def peers_of(capture: Path, part: Path, packets: int, folder: Path) -> tuple[list[Reader], list[str]]:
    """What is installed of the tools people know; (readers, names of those that are not)."""
    slice_packets = traffic.head(capture, part, SLICE)
    fields = [word for field in TSHARK_FIELDS for word in ("-e", field)]
    off = [word for name in SURICATA_OFF for word in ("--set", f"app-layer.protocols.{name}.enabled=no")]
    nfstream = _with_nfstream()
    wanted: tuple[tuple[str, str | None, tuple[str, ...], int], ...] = (
        ("tcpdump", found("tcpdump"), ("-nr", str(capture), "-w", os.devnull), packets),
        ("tshark", found("tshark"), ("-nr", str(part), "-T", "fields", *fields), slice_packets),
        ("nfstream", nfstream, ("-c", NFSTREAM, str(capture)), packets),
        ("suricata", found("suricata"), ("-r", str(capture), "-l", str(folder), "-S", os.devnull, *off), packets),
    )
    readers = [Reader(name, (program, *words), n) for name, program, words, n in wanted if program is not None]
    return readers, [name for name, program, _, _ in wanted if program is None]


def _with_nfstream() -> str | None:
    """A Python that has nfstream: the one named in NFSTREAM_PYTHON, or this one."""
    named = os.environ.get("NFSTREAM_PYTHON")
    if named:
        return named
    return sys.executable if importlib.util.find_spec("nfstream") else None


@dataclass(slots=True)
class Measured:
    """Every reading."""

    runs: list[Run]
    jobs2_speedup: float | None
    absent: list[str]

    def of(self, reader: str) -> list[Run]:
        return [one for one in self.runs if one.reader == reader]

    def median(self, reader: str, figure: Callable[[Run], float]) -> float | None:
        runs = self.of(reader)
        return statistics.median(map(figure, runs)) if runs else None

    def ratio(self, peer: str) -> float | None:
        """Our packets per CPU second by the peer's, median over the rounds."""
        pairs = zip(self.of("hudhud"), self.of(peer), strict=False)
        ratios = [mine.rate / theirs.rate for mine, theirs in pairs]
        return round(statistics.median(ratios), 2) if ratios else None


def measure(*, quick: bool, peers: bool) -> Measured:
    """Everything, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hudhud-bench-") as text:
        folder = Path(text)
        capture = folder / "mixed.pcap"
        out(f"Capture: {traffic.make(capture, 200_000 if quick else 600_000)}")
        packets = traffic.count(capture)
        readers, absent = [ours(capture, packets)], list[str]()
        if peers:
            others, absent = peers_of(capture, folder / "part.pcap", packets, folder)
            readers += others
        rounds = 3 if quick else 5
        found_ = Measured([], None, absent)
        with progress("sensor", rounds * len(readers)) as bar:
            for _ in range(rounds):
                for reader in readers:
                    found_.runs.append(timed(reader))
                    bar.advance(1, f"{reader.name} {found_.runs[-1].rate:,.0f}/s")
        if knows_jobs():
            speedups = [
                timed(ours(capture, packets), pinned=False).wall_s
                / timed(ours(capture, packets, "--jobs", "2"), pinned=False).wall_s
                for _ in range(rounds)
            ]
            found_.jobs2_speedup = round(statistics.median(speedups), 2)
    return found_


def run(*, quick: bool, peers: bool, full: bool) -> dict[str, object]:
    """Measure, show, and hand back the last line."""
    del full
    measured = measure(quick=quick, peers=peers)
    rows = []
    for name in dict.fromkeys(one.reader for one in measured.runs):
        mine = measured.of(name)
        ratio = measured.ratio(name) if name != "hudhud" else None
        rows.append((
            name, f"{mine[0].packets:,}", f"{statistics.median(one.rate for one in mine):,.0f}",
            f"{min(one.rate for one in mine):,.0f}-{max(one.rate for one in mine):,.0f}",
            f"{statistics.median(one.rss for one in mine) / 1e6:.0f}",
            f"{statistics.median(one.others for one in mine):.0%}", "" if ratio is None else f"{ratio:.2f}",
        ))  # fmt: skip
    columns = ("system", "packets", "packets/CPU s", "range", "RSS MB", "others' share", "ours by its")
    table("Sensor: medians; whole process on one core", columns, rows)
    for name in measured.absent:
        err(f"not measured: {name} is not installed")
    rate, rss = measured.median("hudhud", lambda one: one.rate), measured.median("hudhud", lambda one: one.rss)
    figures: dict[str, object] = {
        "packets_per_cpu_s": round(rate or 0),
        **{f"vs_{name}": measured.ratio(name) for name in ("nfstream", "tshark", "suricata", "tcpdump")},
        "rss_mb": round((rss or 0) / 1e6, 1),
        "jobs2_speedup": measured.jobs2_speedup,
    }
    return {"sensor": figures}
