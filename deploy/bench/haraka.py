"""Haraka as a peer: two cluster nodes, its durable outbound queue, DKIM signatures by its plugin."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from deploy.bench.lab import free_port
from deploy.bench.system import Peer, Place, answering, child, found

NODES = 2


def package() -> Path | None:
    """Where Haraka is installed: the folder of its package; None where it is not, or has no DKIM plugin."""
    command = found("haraka")
    if command is None or found("node") is None:
        return None
    home = Path(command).resolve().parents[1]
    return home if (home.parent / "haraka-plugin-dkim").is_dir() or (home / "node_modules").is_dir() else None


@contextlib.asynccontextmanager
async def haraka(place: Place) -> AsyncIterator[Peer]:
    """Haraka with signatures and our sink as its next hop."""
    folder, home, port = place.folder, package(), free_port()
    assert home is not None
    key = folder / "config" / "dkim" / place.domain
    for path in (key, folder / "plugins", folder / "queue", folder / "spool"):
        path.mkdir(parents=True)
    shutil.copy(place.key, key / "private")
    (key / "selector").write_text(place.selector)
    shutil.copy(home / "config" / "connection.ini", folder / "config" / "connection.ini")
    hop = f"{{priority: 0, exchange: '127.0.0.1', port: {place.sink}}}"
    (folder / "plugins" / "nexthop.js").write_text(
        f"exports.register = function () {{}}; exports.hook_get_mx = function (next) {{ next(OK, {hop}) }}\n"
    )
    for name, text in {
        "smtp.ini": f"listen=127.0.0.1:{port}\nnodes={NODES}\nspool_dir=spool",
        "plugins": "relay\ndkim\nnexthop",
        "relay.ini": "[relay]\nacl=true",
        "relay_acl_allow": "127.0.0.0/8",
        "dkim.ini": f"[sign]\nenabled=true\nselector={place.selector}\ndomain={place.domain}\n[verify]\nenabled=false",
        "outbound.ini": "enable_tls=false\nlocal_mx_ok=true\nconcurrency_max=100",
        "log.ini": "level=notice",
        "loglevel": "LOGNOTICE",
        "databytes": "40000000",
        "me": "relay.bench.local",
    }.items():
        (folder / "config" / name).write_text(text + "\n")
    log = folder / "log"
    async with child(log, found("node") or "node", str(home / "bin" / "haraka"), "-c", str(folder)) as pid:
        await answering(port, log)
        yield Peer(port, (pid,))
