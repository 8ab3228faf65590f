"""Runs one real Elasticsearch on loopback until told to stop; as a program: `python -m deploy.elasticsearch.server`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from deploy.elasticsearch import distribution
from hudhud import log
from hudhud.cli import Exit, Problem

READY_S = 300.0  # seconds; 12 to 40 s on an idle machine
STOP_S = 30.0
USER = "nobody"  # Elasticsearch refuses to run as root
HEAP_MB = 512

JVM = """-Xms{heap}m
-Xmx{heap}m
-XX:TieredStopAtLevel=1
-XX:-UseG1GC
-XX:+UseSerialGC
-Xlog:disable
-Xlog:all=warning:stderr
-XX:-HeapDumpOnOutOfMemoryError
"""
LOG4J = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""
YML = """cluster.name: hudhud
node.name: one
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport}
discovery.type: single-node
path.data: {data}/data
path.logs: {data}/logs
path.repo: {data}/repo
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
action.auto_create_index: true
"""

_log = log.get(__name__)


class Server:
    """One node with a data folder of its own. `data` is kept from run to run; delete it to begin anew."""

    def __init__(self, data: Path, port: int, *, transport: int = 0, heap_mb: int = HEAP_MB) -> None:
        self.dist = distribution.get()
        self.data = _home_for(data)
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self._transport, self._heap = transport or port + 100, heap_mb
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the launcher, 0 when it does not run."""
        return self._child.pid if self._child is not None and self._child.poll() is None else 0

    def start(self, progress: Callable[[float], None] = lambda _seconds: None) -> None:
        """Start and wait until it answers; `progress` is called each second. Problem with the end of its log."""
        config = self._configure()
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.data),
            "ES_JAVA_HOME": str(self.dist.java.home),
            "ES_PATH_CONF": str(config),
            "ES_TMPDIR": str(self.data / "tmp"),
        }
        words = [*_unprivileged(), str(self.dist.home / "bin" / "elasticsearch")]
        with self.log_file.open("ab") as output:
            self._child = subprocess.Popen(
                words,
                env=environment,
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait(progress)

    @property
    def log_file(self) -> Path:
        return self.data / "elasticsearch.log"

    def ready(self) -> bool:
        """Whether it answers and can take documents."""
        try:
            with urllib.request.urlopen(f"{self.url}/_cluster/health?timeout=1s", timeout=3) as answer:  # noqa: S310 - loopback
                return json.load(answer).get("status") in {"green", "yellow"}
        except (OSError, urllib.error.URLError, ValueError):
            return False

    def stop(self) -> None:
        """End it cleanly; after STOP_S it is killed."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._child = None

    def kill(self) -> None:
        """SIGKILL to launcher and server, as a power cut would; the tests of invariant 6 use it."""
        if self._child is not None and self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def ended(self) -> int | None:
        """Its exit code when it ended by itself, else None."""
        return self._child.poll() if self._child is not None else None

    def _configure(self) -> Path:
        config = self.data / "config"
        for folder in (config / "jvm.options.d", self.data / "tmp", self.data / "data", self.data / "repo"):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.dist.home / "config" / "jvm.options", config / "jvm.options")
        (config / "jvm.options.d" / "hudhud.options").write_text(JVM.format(heap=self._heap))
        (config / "log4j2.properties").write_text(LOG4J)
        yml = YML.format(port=self.port, transport=self._transport, data=self.data)
        (config / "elasticsearch.yml").write_text(yml)
        _give_away(self.data)
        return config

    def _wait(self, progress: Callable[[float], None]) -> None:
        begun, told = time.monotonic(), 0.0
        while not self.ready():
            waited = time.monotonic() - begun
            if self.ended() is not None or waited > READY_S:
                self.stop()
                end = self.log_file.read_text(errors="replace")[-1500:]
                raise Problem(f"Elasticsearch did not start; the end of {self.log_file}:\n{end}", Exit.UNAVAILABLE)
            if waited - told >= 1:
                told = waited
                progress(waited)
            time.sleep(0.2)


def _home_for(data: Path) -> Path:
    """`data` itself; as root, where no other user can reach it, a folder under /var/lib instead."""
    data = data.resolve()
    if os.geteuid() == 0 and not distribution.reachable(data.parent):
        data = Path("/var/lib/hudhud") / f"elastic-{hashlib.sha256(str(data).encode()).hexdigest()[:12]}"
    data.mkdir(parents=True, exist_ok=True)
    return data


def _unprivileged() -> list[str]:
    """Words before the command: another user when root, and an end when this process ends."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0:
        return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
    if setpriv is None:
        raise Problem("setpriv is missing, Elasticsearch refuses to run as root: apt install util-linux")
    user = pwd.getpwnam(USER)
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--inh-caps=-all"]
    return [setpriv, *ids, "--pdeathsig", "TERM", "--"]


def _give_away(folder: Path) -> None:
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(USER)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def main(words: list[str]) -> int:
    """Run until SIGTERM or SIGINT; DATA/../run/elastic.json says when it is ready."""
    parser = argparse.ArgumentParser(prog="python -m deploy.elasticsearch.server", description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--heap-mb", type=int, default=HEAP_MB)
    options = parser.parse_args(words)
    log.configure(program="elastic")
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda which, _frame: stopped.append(which))
    run_file = options.data.resolve().parent / "run" / "elastic.json"
    try:
        server = Server(options.data, options.port, heap_mb=options.heap_mb)
        if server.dist.reduced:
            _log.warning("reduced", why=server.dist.reduced)
        server.start(lambda seconds: _log.info("starting", version=server.dist.version, waited_s=round(seconds)))
        run_file.parent.mkdir(parents=True, exist_ok=True)
        run_file.write_text(json.dumps({"pid": os.getpid(), "workers": [server.pid], "ready": True}))
        while not stopped and server.ended() is None:
            time.sleep(0.1)
        died = server.ended() is not None
        server.stop()
    except Problem as problem:
        _log.error("elasticsearch", problem=str(problem))
        return problem.exit
    finally:
        run_file.unlink(missing_ok=True)
    return Exit.UNAVAILABLE if died else Exit.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
