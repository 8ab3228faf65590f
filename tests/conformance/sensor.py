"""Compares what the sensor reads with what public test sets expect: recall and precision per field, each difference
listed.

    python -m tests.conformance.sensor PATH [--list] [--json]

PATH is a folder that holds, at any depth, one of these layouts: `expected.json` beside `pcap/` (suricata-verify's
checks), `index.json` beside `traces/` and `baseline-logs/` (Zeek's), or `*.pcap.json`/`*.pcapng.json` of JA4 beside
captures of the same names.
Recall: of the distinct values that are expected of a capture, how many the sensor told. Precision: of those that it
told, how many are expected, only where the expectation is complete (Zeek's logs, JA4). Values of checks that need
Suricata to fail are left out.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from hudhud.event import Value
from sensors.engine import Engine
from sensors.observation import Observation
from sensors.wire import Capture

# Of each field: the dataset(s) that tell it, and the ECS names whose values count.
OURS: Mapping[str, tuple[str, ...]] = {
    "dns name": ("dns.question.name",),
    "dns type": ("dns.question.type",),
    "dns rcode": ("dns.response_code",),
    "dns answer": ("dns.answers.data",),
    "tls sni": ("tls.client.server_name",),
    "tls ja3": ("tls.client.ja3",),
    "tls ja3s": ("tls.server.ja3s",),
    "tls ja4": ("tls.client.ja4",),
    "tls version": ("tls.version",),
    "tls subject": ("tls.server.subject",),
    "http host": ("url.domain",),
    "http method": ("http.request.method",),
    "http uri": ("url.path",),
    "http agent": ("user_agent.original",),
    "http status": ("http.response.status_code",),
    "smtp helo": ("hudhud.smtp.helo",),
    "smtp from": ("email.from.address",),
    "smtp to": ("email.to.address",),
    "ssh software": ("hudhud.ssh.client.software", "hudhud.ssh.server.software"),
    "flow": ("flow",),
}
# What a field of Suricata's EVE is called here. [n] stands for any index.
EVE = {
    "dns.rrname": "dns name", "dns.queries[n].rrname": "dns name", "dns.rrtype": "dns type",
    "dns.queries[n].rrtype": "dns type",
    "dns.rcode": "dns rcode", "dns.answers[n].rdata": "dns answer", "tls.sni": "tls sni", "tls.ja3.hash": "tls ja3",
    "tls.ja3s.hash": "tls ja3s", "tls.version": "tls version", "tls.subject": "tls subject",
    "http.hostname": "http host",
    "http.http_method": "http method", "http.url": "http uri", "http.http_user_agent": "http agent",
    "http.status": "http status",
    "smtp.helo": "smtp helo", "smtp.mail_from": "smtp from", "smtp.rcpt_to[n]": "smtp to",
    "ssh.client.software_version": "ssh software", "ssh.server.software_version": "ssh software",
}  # fmt: skip
ZEEK = {
    "dns.log": {"query": "dns name", "qtype_name": "dns type", "rcode_name": "dns rcode"},
    "ssl.log": {"server_name": "tls sni", "version": "tls version"},
    "quic.log": {"server_name": "tls sni"},
    "http.log": {"host": "http host", "method": "http method", "uri": "http uri", "user_agent": "http agent",
    "status_code": "http status"},
    "smtp.log": {"helo": "smtp helo", "mailfrom": "smtp from", "rcptto": "smtp to"},
    "ssh.log": {"client": "ssh software", "server": "ssh software"},
    "conn.log": {"": "flow"},
}  # fmt: skip
COMPLETE = {"dns.log": "dns", "smtp.log": "smtp", "http.log": "http", "conn.log": "flow", "ssh.log": "ssh"}
# Suricata is told to fail, to drop or to ignore: what it then does not see is no measure.
SIMULATED = re.compile(
    r"simulate|memcap|midstream-policy|hash-size|reassembly\.depth|async-oneside=false|error-policy|max-tx"
)


@dataclass
class Score:
    expected: int = 0
    found: int = 0
    told: int = 0
    right: int = 0
    missed: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)


class Reader:
    """Reads each capture once; gives the values of each field."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, Counter[str]]] = {}

    def values(self, path: Path) -> dict[str, Counter[str]]:
        if path not in self._known:
            self._known[path] = self._read(path)
        return self._known[path]

    def _read(self, path: Path) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = defaultdict(Counter)

        def tell(observation: Observation) -> None:
            fields = observation.fields
            for name, keys in OURS.items():
                for key in keys:
                    for value in _listed(fields.get(key)):
                        found[name][clean(name, value)] += 1
            if observation.dataset == "http" and "url.query" in fields:
                found["http uri"][clean("http uri", f"{fields.get('url.path', '')}?{fields['url.query']}")] += 1
            if fields.get("http.request.method") == "CONNECT" and "url.port" in fields:
                found["http uri"][f"{fields['url.domain']}:{fields['url.port']}"] += 1
            if observation.dataset == "flow" and observation.flow is not None:
                base = observation.flow.base()
                found["flow"][
                    _pair(
                        base["source.ip"], base.get("source.port"), base["destination.ip"], base.get("destination.port")
                    )
                ] += 1

        engine = Engine(tell)
        with path.open("rb") as stream:
            for block in Capture(stream).blocks():
                engine.take(block)
        engine.finish()
        return found


def _listed(value: Value) -> list[str]:
    return [] if value is None else [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _pair(source: object, source_port: object, target: object, target_port: object) -> str:
    ends = sorted(
        f"{address} {port if port is not None else ''}".strip()
        for address, port in ((source, source_port), (target, target_port))
    )
    return " - ".join(ends)


def clean(name: str, value: str) -> str:
    """One spelling for what tools write differently."""
    if name in ("smtp from", "smtp to"):
        return value.strip("<> ").lower()
    if name == "tls version":
        return {"TLSv10": "1.0", "TLSv11": "1.1", "TLSv12": "1.2", "TLSv13": "1.3", "SSLv3": "3.0"}.get(
            value, re.sub(r"^TLS ", "", value).replace(" draft", "-draft").split("-draft")[0]
        )
    if name == "tls subject":
        return ",".join(
            sorted(
                part.strip()
                for part in re.split(
                    r",(?=\s*[A-Za-z0-9.]+=)", value.replace("\\,", "，").replace(", Inc", "，Inc").replace("， ", "，")
                )
            )
        )
    if name == "http host":
        host = value.lower()
        return host.strip("[]") if host.count(":") > 1 else re.sub(r":\d+$", "", host)
    if name == "ssh software":
        return (
            value.split("-", 2)[-1].split(" ", maxsplit=1)[0]
            if value.startswith("SSH-")
            else value.split(" ", maxsplit=1)[0]
        )
    if name in ("dns name", "tls sni"):
        return value.lower().rstrip(".")
    if name == "dns type" or name == "dns rcode":
        return "ANY" if value == "*" else value.upper()
    if name == "http uri":
        return unquote(value)
    return value


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield re.sub(r"\[\d+\]", "[n]", f"{prefix}{key}"), value


def suricata(folder: Path) -> Iterator[tuple[str, Path, str, set[str], bool]]:
    """(set, capture, field, expected values, complete) of suricata-verify's checks."""
    wanted: dict[tuple[Path, str], set[str]] = defaultdict(set)
    for test in json.loads((folder / "expected.json").read_text()):
        if SIMULATED.search(" ".join(test["args"] or ())):
            continue
        for check in test["checks"]:
            if not check["count"]:
                continue
            for key, value in flat(check["match"]):
                if key in EVE and not key.endswith("__len") and not isinstance(value, list):
                    wanted[folder / "pcap" / test["pcap"], EVE[key]].add(clean(EVE[key], str(value)))
    for (path, name), values in wanted.items():
        yield "suricata", path, name, values, False


def zeek(folder: Path) -> Iterator[tuple[str, Path, str, set[str], bool]]:
    """The same of Zeek's baseline logs."""
    wanted: dict[tuple[Path, str], set[str]] = defaultdict(set)
    complete: set[tuple[Path, str]] = set()
    for test in json.loads((folder / "index.json").read_text()).values():
        path = folder / "traces" / test["trace"]
        if not path.exists():
            path = path.with_name(path.name + ".gz")
        for log in test["logs"]:
            names = ZEEK.get(log.rsplit("/", 1)[1])
            if names is None:
                continue
            rows = list(_zeek_rows((folder / "baseline-logs" / log).read_text(errors="replace")))
            for row in rows:
                if "" in names and "id.orig_h" in row:
                    if row["proto"] == "unknown_transport":
                        continue  # Zeek tells no ports of SCTP
                    icmp = row["proto"] not in ("tcp", "udp", "sctp")
                    pair = _pair(
                        row["id.orig_h"],
                        None if icmp else row["id.orig_p"],
                        row["id.resp_h"],
                        None if icmp else row["id.resp_p"],
                    )
                    wanted[path, "flow"].add(pair)
                for column, name in names.items():
                    for value in (row.get(column) or "-").split("," if column == "rcptto" else "\0"):
                        if value not in ("-", "(empty)", "", "<unknown request>"):
                            wanted[path, name].add(clean(name, _unescape(value)))
            kind = COMPLETE.get(log.rsplit("/", 1)[1])
            complete.update((path, name) for name in names.values() if kind and rows)
    for (path, name), values in wanted.items():
        yield "zeek", path, name, values, (path, name) in complete


def _unescape(value: str) -> str:
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), value)


def _zeek_rows(text: str) -> Iterator[dict[str, str]]:
    names: list[str] = []
    for line in text.splitlines():
        if line.startswith("#fields"):
            names = line.split("\t")[1:]
        elif not line.startswith("#"):
            if not names:
                names = line.split("\t")  # some baselines keep chosen columns only, without the sharp
                continue
            yield dict(zip(names, line.split("\t"), strict=False))


def foxio(folder: Path) -> Iterator[tuple[str, Path, str, set[str], bool]]:
    """JA4's own test data: fingerprints of every hello in a capture."""
    captures = {path.name: path for path in folder.rglob("*") if path.suffix in (".pcap", ".pcapng", ".cap")}
    for expectation in sorted(folder.rglob("*.json")):
        path = captures.get(expectation.name.removesuffix(".json"))
        if path is None:
            continue
        rows = json.loads(expectation.read_text())
        values = {str(value) for row in rows for key, value in row.items() if re.fullmatch(r"JA4(\.1)?", key)}
        yield "ja4", path, "tls ja4", values, True


def score(root: Path) -> dict[tuple[str, str], Score]:
    reader = Reader()
    scores: dict[tuple[str, str], Score] = defaultdict(Score)
    for mark, read in (("expected.json", suricata), ("index.json", zeek), ("*.pcap.json", foxio)):
        folders = {path.parent for path in root.rglob(mark)}
        for folder in {root} if read is foxio and folders else folders:
            for source, path, name, values, complete in read(folder):
                ours = set(reader.values(path)[name]) if path.exists() else set()
                one = scores[source, name]
                one.expected += len(values)
                one.found += len(values & ours)
                one.missed += [
                    f"{path.relative_to(root)}: {value!r}, told: {sorted(ours)[:4]}" for value in sorted(values - ours)
                ]
                if complete:
                    one.told += len(ours)
                    one.right += len(values & ours)
                    one.surplus += [f"{path.relative_to(root)}: {value!r}" for value in sorted(ours - values)]
    return scores


def main(arguments: list[str]) -> int:
    paths = [one for one in arguments if not one.startswith("--")]
    if len(paths) != 1 or not Path(paths[0]).is_dir():
        print(__doc__)
        return 2
    scores = score(Path(paths[0]))
    if not scores:
        print(f"{paths[0]}: holds none of the layouts that are known; see --help")
        return 1
    if "--json" in arguments:
        print(
            json.dumps(
                {
                    f"{source} {name}": {"expected": s.expected, "found": s.found, "told": s.told, "right": s.right}
                    for (source, name), s in sorted(scores.items())
                }
            )
        )
        return 0
    print(f"{'set':10}{'field':14}{'expected':>9}{'found':>7}{'recall':>9}{'told':>7}{'precision':>11}")
    for (source, name), one in sorted(scores.items()):
        precision = f"{one.right / one.told:10.1%}" if one.told else "         –"
        print(
            f"{source:10}{name:14}{one.expected:9}{one.found:7}"
            f"{one.found / max(one.expected, 1):9.1%}{one.told:7} {precision}"
        )
    for (source, name), one in sorted(scores.items()):
        for line in one.missed:
            print(f"missed   {source} {name}: {line}")
        if "--list" in arguments:
            for line in one.surplus:
                print(f"surplus  {source} {name}: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
