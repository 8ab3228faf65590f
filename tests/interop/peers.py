"""Mail servers that nobody here wrote, each in a folder and on loopback ports of its own: Postfix, Exim, Dovecot."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXIM = ROOT / ".packages" / "exim4" / "usr" / "sbin" / "exim4"  # tests/install.sh unpacks it: Postfix excludes it
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
HOME, ABROAD = "127.0.0.11", "127.0.0.13"  # where the ministries' own servers call from, and a stranger
READY_S = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """What a peer is given: a folder, the lab's authority, its own certificate, and where the relay takes mail."""

    folder: Path
    ca: Path
    certificate: Path
    key: Path
    relay: int  # the MX port


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that runs: its SMTP or LMTP port, the folder with a maildir for each local part, its log."""

    name: str
    port: int
    mail: Path
    log: Path
    imap: int = 0

    def box(self, local: str) -> list[bytes]:
        """What lies in a maildir, line ends as stored."""
        new = self.mail / local / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []


def needs(command: str, package: str) -> str:
    found = shutil.which(command, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{command} is not there: apt install {package}")
    if os.geteuid() != 0:
        pytest.skip(f"{command} starts only as root")
    return found


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"nobody listens on {port}:\n{tail(log)}"
        time.sleep(0.05)


def tail(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else "(no log)"


def run(words: Sequence[str], said: Path) -> None:
    """Start something that goes into the background: what it says goes into a file, for it keeps that open."""
    with said.open("wb") as file:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False)
    assert done.returncode == 0, f"{words}: {said.read_text()}"


MAIN = """compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.finance.saba.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = finance.saba.example, مالية.saba.example
virtual_mailbox_base = {mail}
virtual_mailbox_maps = texthash:{folder}/etc/virtual
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
relayhost = [127.0.0.1]:{relay}
smtp_bind_address = {home}
smtp_host_lookup = native
disable_dns_lookups = yes
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = mx.relay.saba.example
smtp_tls_CAfile = {ca}
smtp_tls_loglevel = 1
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_loglevel = 1
smtputf8_enable = yes
message_size_limit = 60000000
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
"""


@contextmanager
def postfix(place: Place) -> Iterator[Peer]:
    """The ministry of finance's: keeps its mailboxes, and hands its people's mail to the relay as its own server."""
    command = needs("postfix", "postfix")
    folder, [port] = place.folder, free_ports(1)
    etc, mail = folder / "etc", folder / "mail"
    for name in ("etc", "queue", "data", "mail"):
        (folder / name).mkdir(parents=True)
    shutil.chown(folder / "data", "postfix")
    shutil.chown(mail, "postfix", "postfix")
    (etc / "virtual").write_text("amal@finance.saba.example amal/\nأمل@مالية.saba.example أمل/\n")
    values = {"ca": place.ca, "certificate": place.certificate, "key": place.key, "relay": place.relay, "home": HOME}
    (etc / "main.cf").write_text(MAIN.format(folder=folder, mail=mail, uid=mail.stat().st_uid, **values))
    services = [f"127.0.0.1:{port} inet n - n - - smtpd", "smtp unix - - n - - smtp"]
    for line in Path("/etc/postfix/master.cf.proto").read_text().splitlines():
        parts = line.split()
        if line[:1].islower() and parts[1].startswith("unix") and parts[7] != "pipe" and parts[0] != "smtp":
            services.append(" ".join((*parts[:4], "n", *parts[5:])))  # no chroot
    (etc / "master.cf").write_text("\n".join(services) + "\n")
    run([command, "-c", str(etc), "start"], folder / "start.log")
    try:
        wait_for(port, folder / "log")
        yield Peer("postfix", port, mail, folder / "log")
    finally:
        subprocess.run([command, "-c", str(etc), "abort"], check=False, **QUIET)


EXIM_CONF = """exim_path = {exim}
keep_environment =
primary_hostname = mail.interior.saba.example
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/spool/pid
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
never_users =
host_lookup =
rfc1413_query_timeout = 0s
deliver_drop_privilege = true
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
message_size_limit = 60M
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
log_selector = +tls_cipher +smtp_protocol_error
acl_smtp_rcpt = rcpt
domainlist home = interior.saba.example
begin acl
rcpt:
  warn control = dkim_disable_verify
  accept domains = +home
         local_parts = salim : سالم
  deny domains = +home
       message = 5.1.1 Unknown user: nobody of that name works here
  accept hosts = 127.0.0.0/8
begin routers
home:
  driver = accept
  domains = +home
  local_parts = salim : سالم
  transport = box
relay:
  driver = manualroute
  domains = ! +home
  route_list = * 127.0.0.1
  self = send
  transport = relay
begin transports
box:
  driver = appendfile
  maildir_format
  directory = {folder}/mail/$local_part_data
  create_directory
  return_path_add
relay:
  driver = smtp
  port = {relay}
  interface = ${{if eq{{$sender_address_domain}}{{freemail.example}}{{{abroad}}}{{{home}}}}}
  hosts_require_tls = *
  tls_verify_certificates = {ca}
  tls_verify_cert_hostnames = :
  tls_verify_hosts = *
begin retry
* * F,1h,2s
"""


@contextmanager
def exim(place: Place) -> Iterator[Peer]:
    """The ministry of interior's: keeps its mailboxes; what freemail.example sends goes out as a stranger's."""
    if not EXIM.is_file():
        pytest.skip("Exim is not there: tests/install.sh unpacks it, as root")
    folder, [port] = place.folder, free_ports(1)
    for name in ("spool", "mail", "log"):
        (folder / name).mkdir(parents=True)
        shutil.chown(folder / name, "Debian-exim")
    command = shutil.copy(EXIM, folder / "exim")  # the project's folder may be closed to the user that it becomes
    shutil.copy(place.key, folder / "key.pem")
    shutil.chown(folder / "key.pem", "Debian-exim")
    values = {"ca": place.ca, "certificate": place.certificate, "key": folder / "key.pem", "relay": place.relay}
    text = EXIM_CONF.format(exim=command, folder=folder, port=port, home=HOME, abroad=ABROAD, **values)
    (folder / "exim.conf").write_text(text)
    words = [str(command), "-C", str(folder / "exim.conf"), "-bdf", "-q2s"]
    daemon = subprocess.Popen(words, **QUIET)
    try:
        wait_for(port, folder / "log" / "mainlog")
        yield Peer("exim", port, folder / "mail", folder / "log" / "mainlog")
    finally:
        daemon.terminate()
        daemon.wait(20)


DOVECOT_CONF = """protocols = lmtp imap
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
listen = 127.0.0.1
mail_location = maildir:{mail}/%n
first_valid_uid = 1
postmaster_address = postmaster@health.saba.example
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {imap}
    ssl = yes
  }}
}}
"""


@contextmanager
def dovecot(place: Place) -> Iterator[Peer]:
    """The ministry of health's: takes LMTP, and shows its mailboxes by IMAP over TLS (password: x)."""
    command = needs("dovecot", "dovecot-imapd")
    folder, [port, imap] = place.folder, free_ports(2)
    mail = folder / "mail"
    mail.mkdir(parents=True)
    shutil.chown(mail, "mail", "mail")
    (folder / "users").write_text("huda@health.saba.example:{PLAIN}x:8:8::/nonexistent::\n")
    values = {"certificate": place.certificate, "key": place.key, "mail": mail, "port": port, "imap": imap}
    (folder / "dovecot.conf").write_text(DOVECOT_CONF.format(folder=folder, **values))
    run([command, "-c", str(folder / "dovecot.conf")], folder / "start.log")
    try:
        wait_for(port, folder / "log")
        yield Peer("dovecot", port, mail, folder / "log", imap)
    finally:
        stop = ["doveadm", "-c", str(folder / "dovecot.conf"), "stop"]
        subprocess.run(stop, check=False, **QUIET)
