"""One real Elasticsearch for the whole test run, started when the first test asks for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.elasticsearch.server import Server
from hudhud.cli import Problem


def _free_ports() -> tuple[int, int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return sockets[0].getsockname()[1], sockets[1].getsockname()[1]


@pytest.fixture(scope="session")
def elastic_server() -> Iterator[Server]:
    """The server itself, for tests that stop it; it runs again when they end."""
    data = Path(tempfile.mkdtemp(prefix="hudhud-elastic-"))
    data.chmod(0o755)
    http, transport = _free_ports()
    try:
        server = Server(data, http, transport=transport)
    except Problem as problem:
        pytest.skip(str(problem))
    if server.dist.reduced:
        sys.stderr.write(f"\nreduced: {server.dist.reduced}\n")
    shown = sys.stderr.isatty() or bool(os.environ.get("CI"))
    try:
        server.start(lambda s: sys.stderr.write(f"\rElasticsearch starts … {s:.0f} s") if shown and s % 5 < 1 else 0)
        yield server
    finally:
        server.stop()
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def elastic_url(elastic_server: Server) -> str:
    """Where it answers; it is started again if a test has stopped it."""
    if not elastic_server.pid:
        elastic_server.start()
    return elastic_server.url


@pytest.fixture
def prefix() -> str:
    """Index names of this test alone."""
    return f"t{secrets.token_hex(4)}"
