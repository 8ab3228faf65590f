"""Postfix as a peer, alone and with Rspamd as its filter, in folders of its own; needs root."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from deploy.bench.lab import free_port
from deploy.bench.system import Peer, Place, answering, child, found

MAIN = """compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.bench.local
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
smtp_host_lookup = native
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
message_size_limit = 40000000
{more}
"""
MASTER = """127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
OFF = (
    *("rbl", "surbl", "spf", "dkim", "dmarc", "arc", "asn", "mx_check", "fuzzy_check", "phishing", "url_redirector"),
    *("p0f", "dcc", "antivirus", "rspamd_update", "whitelist", "bimi"),
)
"""Rspamd's modules that ask others, or that check what submission has none of."""


@contextlib.asynccontextmanager
async def postfix(place: Place, more: str = "") -> AsyncIterator[Peer]:
    """Postfix with the settings that Debian gives it, and our sink as its relay host."""
    folder, port = place.folder, free_port()
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir(parents=True)
    shutil.chown(folder / "data", "postfix")
    (folder / "etc" / "main.cf").write_text(MAIN.format(folder=folder, sink=place.sink, more=more))
    (folder / "etc" / "master.cf").write_text(MASTER.format(port=port))
    log = folder / "start.log"
    async with child(log, found("postfix") or "postfix", "-c", str(folder / "etc"), "start-fg") as pid:
        await answering(port, log)
        yield Peer(port, (pid,))


@contextlib.asynccontextmanager
async def postfix_rspamd(place: Place) -> AsyncIterator[Peer]:
    """Postfix that asks Rspamd (two workers that scan themselves, Redis beside them), which signs with DKIM."""
    folder, scanner, control, redis = place.folder / "rspamd", free_port(), free_port(), free_port()
    for name in ("db", "run", "log"):
        (folder / name).mkdir(parents=True)
    shutil.copytree("/etc/rspamd", folder / "etc")
    shutil.copy(place.key, folder / "dkim.pem")
    _configure(folder / "etc" / "local.d", place, folder, (scanner, control, redis))
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "_rspamd", "_rspamd")
    words = ["--var=" + f"{name}={folder / where}" for name, where in _PLACES]
    async with (
        child(folder / "redis.log", *_redis(folder, redis)) as redis_pid,
        child(folder / "start.log", *_rspamd(folder), *words) as pid,
    ):
        await answering(scanner, folder / "start.log")
        more = f"smtpd_milters = inet:127.0.0.1:{scanner}\nmilter_default_action = tempfail"
        async with postfix(place, more) as peer:
            yield Peer(peer.port, (*peer.pids, pid, redis_pid))


_PLACES = (("CONFDIR", "etc"), ("LOCAL_CONFDIR", "etc"), ("DBDIR", "db"), ("RUNDIR", "run"), ("LOGDIR", "log"))


def _redis(folder: Path, port: int) -> tuple[str, ...]:
    server = found("redis-server") or "redis-server"
    return (server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))


def _rspamd(folder: Path) -> tuple[str, ...]:
    return (found("rspamd") or "rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", str(folder / "etc/rspamd.conf"))


def _configure(local: Path, place: Place, folder: Path, ports: tuple[int, int, int]) -> None:
    scanner, control, redis = ports
    local.mkdir(exist_ok=True)
    files = {f"{name}.conf": "enabled = false;" for name in OFF}
    files |= {
        "worker-proxy.inc": f'bind_socket = "127.0.0.1:{scanner}"; milter = yes; timeout = 120s; count = 2;\n'
        'upstream "local" { default = yes; self_scan = yes; }',
        "worker-normal.inc": "enabled = false; count = 0;",
        "worker-fuzzy.inc": "enabled = false;",
        "worker-controller.inc": f'bind_socket = "127.0.0.1:{control}";',
        "redis.conf": f'servers = "127.0.0.1:{redis}";',
        "options.inc": f'dns {{ nameserver = ["{place.nameserver}"]; timeout = 0.1s; retransmits = 1; }}\n'
        f'pidfile = "{folder}/run/rspamd.pid";\nfilters = "chartable,dkim,regexp";',
        "dkim_signing.conf": "enabled = true; sign_local = true; sign_authenticated = true; use_redis = false;\n"
        "allow_hdrfrom_mismatch = true; allow_username_mismatch = true; use_domain = \"header\"; use_esld = false;\n"
        "check_pubkey = false;\n"
        f'domain {{ {place.domain} {{ path = "{folder}/dkim.pem"; selector = "{place.selector}"; }} }}',
        "logging.inc": f'type = "file"; filename = "{folder}/log/rspamd.log"; level = "info";',
    }  # fmt: skip
    for name, text in files.items():
        (local / name).write_text(text + "\n")
