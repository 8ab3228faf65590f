"""The command `hudhud console`: serves the application over HTTPS until it is told to stop. The one door to uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from console.app import build
from console.opening import opened
from hudhud import codec, durable, log, tls
from hudhud import config as configuration
from hudhud.cli import Exit, Problem
from hudhud.keys import KeyProblem
from hudhud.release import ReleaseError
from hudhud.settings import Settings, split_address

MAX_HEADERS = 32 * 1024  # octets of a request line with its headers
MAX_CONNECTIONS = 500
GRACE_S = 5  # seconds that requests have to end when the console stops

_log = log.get(__name__)


def console(*, config: Path = Path(configuration.DEFAULT)) -> int:
    """Run the web application for staff, analysts and administrators.

    Parameters
    ----------
    config
        The hudhud.toml to read.
    """
    settings = configuration.load(config).settings
    log.configure(settings.node.log_level, program="console")
    try:
        asyncio.run(_serve(settings))
    except (OSError, KeyProblem, ReleaseError) as error:
        raise Problem(f"the console cannot start: {error}", Exit.UNAVAILABLE) from None
    return Exit.DONE


class _Server(uvicorn.Server):
    """uvicorn's server; signals are ours, because it would raise them again after a clean stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(settings: Settings) -> None:
    host, port = split_address(settings.console.listen)
    async with opened(settings) as house:
        server = _Server(server_config(build(house), settings, host, port))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
        told = asyncio.create_task(_tell_ready(server, settings))
        try:
            await server.serve()
        finally:
            told.cancel()
            settings.path("run", "console.json").unlink(missing_ok=True)


def server_config(app: object, settings: Settings, host: str, port: int) -> uvicorn.Config:
    """How uvicorn serves us: TLS of the house, no proxy headers, capped headers and connections."""
    folder = settings.path("tls")
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=host,
        port=port,
        ssl_context_factory=lambda _config, _default: tls.server_context(
            folder / "console.pem", folder / "console.key"
        ),
        http="h11",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        h11_max_incomplete_event_size=MAX_HEADERS,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )


async def _tell_ready(server: uvicorn.Server, settings: Settings) -> None:
    while not server.started:
        await asyncio.sleep(0.02)
    folder = settings.path("run")
    folder.mkdir(parents=True, exist_ok=True)
    durable.replace(folder / "console.json", codec.encode({"pid": os.getpid(), "workers": [], "ready": True}))
    _log.info("console ready", url=settings.console.url)
