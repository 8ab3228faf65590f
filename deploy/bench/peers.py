"""The mail systems that people know, set up for the same work and load: Postfix, Postfix with Rspamd, Haraka.

Each takes the mail in clear from this machine, signs with the same DKIM key (Postfix alone does not sign), stores
durably and delivers to the same sink. None knows a policy, none runs YARA rules: favours to them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy.bench import bodies, lab
from deploy.bench.haraka import haraka, package
from deploy.bench.postfix import postfix, postfix_rspamd
from deploy.bench.system import Peer, Place, System, found

Start = Callable[[Place], contextlib.AbstractAsyncContextManager[Peer]]


def _roots(*commands: str) -> bool:
    return os.geteuid() == 0 and all(map(found, commands))


PEERS: tuple[tuple[str, Callable[[], bool], Start], ...] = (
    ("postfix", lambda: _roots("postfix"), postfix),
    ("postfix+rspamd", lambda: _roots("postfix", "rspamd", "redis-server"), postfix_rspamd),
    ("haraka", lambda: package() is not None, haraka),
)
"""Name, whether it can run here, how it is started."""


async def peers_of(
    stack: contextlib.AsyncExitStack, running: lab.RelayLab, folder: Path
) -> tuple[list[System], tuple[str, ...]]:
    """Starts every peer that can run here; the systems, and the names of those that cannot."""
    systems: list[System] = []
    absent: list[str] = []
    for name, there, start in PEERS:
        if not there():
            absent.append(name)
            continue
        peer = await stack.enter_async_context(start(_place(running, folder / name)))
        order = msgspec.structs.replace(running.handing_in(), port=peer.port)
        systems.append(System(name, order, running.counters, _always(peer.pids), signs=name != "postfix"))
    return systems, tuple(absent)


def _always(pids: tuple[int, ...]) -> Callable[[], tuple[int, ...]]:
    return lambda: pids


def _place(running: lab.RelayLab, folder: Path) -> Place:
    folder.mkdir(parents=True)
    above = folder.parent.parent
    above.chmod(above.stat().st_mode | 0o055)  # Postfix and Rspamd give up root and must still reach their folders
    return Place(
        folder,
        running.data / "keys" / f"dkim-{bodies.DOMAIN}.pem",
        bodies.DOMAIN,
        "hudhud",
        running.sink_port,
        running.settings.dns.nameservers[0],
    )
