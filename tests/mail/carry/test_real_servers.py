"""Real Postfix (SMTP) and real Dovecot (LMTP) as next hops: they take every byte that we send, and refuse in words."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from hudhud.settings import Delivery as Limits
from mail.carry.parcel import Addressee, Parcel
from mail.delivery import Delivery
from mail.route import Hop, Target

pytestmark = pytest.mark.system
HEAD = (
    b"From: a@finance.saba.example\r\nTo: b@health.saba.example\r\nSubject: x\r\n"
    b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@f.example>\r\n\r\n"
)
BODY = b".dots\r\n..\r\n.\r\n\xd9\x85\xd8\xb1 8-bit\r\ntrailing \t \r\n\r\n\r\n" + b"0123456789" * 90 + b"\r\n"


def needs(command: str, package: str) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not there: apt install {package}")
    if os.getuid() != 0:
        pytest.skip(f"{command} starts only as root")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def postfix(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[tuple[int, Path]]:
    """A Postfix of its own that delivers health.saba.example into maildirs; its port and the folder of them."""
    needs("postfix", "postfix")
    folder, port = tmp_path_factory.mktemp("postfix"), free_port()
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)  # other bits stay: one may be the machine's own
    etc, mailboxes = folder / "etc", folder / "mail"
    for name in ("etc", "queue", "data", "mail"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    shutil.chown(mailboxes, "postfix", "postfix")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(etc / "tls.pem"))
    uid = mailboxes.stat().st_uid
    (etc / "virtual").write_text("b@health.saba.example b/\nأمل@health.saba.example amal/\n")
    (etc / "main.cf").write_text(
        f"""compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = localhost
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = health.saba.example
virtual_mailbox_base = {mailboxes}
virtual_mailbox_maps = texthash:{etc}/virtual
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_chain_files = {etc}/tls.pem
smtputf8_enable = yes
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
message_size_limit = 1000000
"""
    )
    services = [f"127.0.0.1:{port} inet n - n - - smtpd", "smtp unix - - n - - smtp"]
    for line in Path("/etc/postfix/master.cf.proto").read_text().splitlines():
        parts = line.split()
        if line[:1].islower() and parts[1].startswith("unix") and parts[7] != "pipe" and parts[0] != "smtp":
            services.append(" ".join((*parts[:4], "n", *parts[5:])))  # no chroot
    (etc / "master.cf").write_text("\n".join(services) + "\n")
    subprocess.run(["postfix", "-c", str(etc), "start"], check=True, capture_output=True)
    yield port, mailboxes
    subprocess.run(["postfix", "-c", str(etc), "stop"], check=False, capture_output=True)


def hop(port: int, tls: str = "none", protocol: str = "smtp") -> Hop:
    target = Target("localhost", "127.0.0.1", port)
    return Hop(f"{protocol}:{port}:{tls}", "localhost", protocol, tls, (target,))  # type: ignore[arg-type]


async def arrived(folder: Path, count: int = 1) -> list[bytes]:
    async with asyncio.timeout(20):
        while len(found := sorted((folder / "new").glob("*"))) < count:
            await asyncio.sleep(0.05)
    return [path.read_bytes() for path in found]


def parcel(content: bytes = HEAD + BODY, *to: str, utf8: bool = False) -> Parcel:
    recipients = tuple(Addressee(one.encode(), "FAILURE", None) for one in to or ("b@health.saba.example",))
    return Parcel(b"a@finance.saba.example", recipients, content, utf8=utf8, ret="HDRS", envid="x1")


async def test_postfix_takes_every_byte_over_tls_with_dsn_parameters(postfix, authority) -> None:
    import ssl

    port, mailboxes = postfix
    context = ssl.create_default_context()
    authority.configure_trust(context)
    delivery = Delivery(Limits(), "mx.relay.saba.example", tls={"verify": context})
    (attempt,) = await delivery.deliver(parcel(), hop(port, "verify"))
    assert attempt.delivered, attempt
    assert attempt.tls == "TLSv1.3"
    assert attempt.handed
    (stored,) = await arrived(mailboxes / "b")
    assert stored.endswith((HEAD + BODY).replace(b"\r\n", b"\n"))
    features = delivery.features(hop(port, "verify"))
    assert features is not None
    assert features.size == 1_000_000
    await delivery.close()


async def test_postfix_takes_arabic_addresses_and_refuses_in_words(postfix) -> None:
    port, mailboxes = postfix
    delivery = Delivery(Limits(), "mx.relay.saba.example")
    known, unknown = await delivery.deliver(
        parcel(HEAD + BODY, "أمل@health.saba.example", "nobody@health.saba.example", utf8=True), hop(port)
    )
    assert known.delivered, known
    assert (unknown.delivered, unknown.permanent, unknown.status) == (False, True, "5.1.1")
    await arrived(mailboxes / "amal")
    (big,) = await delivery.deliver(parcel(HEAD + b"x" * 900 + b"\r\n" * 600_000), hop(port))
    assert (big.permanent, big.status) == (True, "5.3.4")
    await delivery.close()


@pytest.fixture(scope="module")
def dovecot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A Dovecot of its own that takes LMTP for b@health.saba.example alone; its port and the maildir."""
    needs("dovecot", "dovecot-lmtpd")
    folder, port = tmp_path_factory.mktemp("dovecot"), free_port()
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)  # other bits stay: one may be the machine's own
    mailboxes = folder / "mail"
    mailboxes.mkdir()
    shutil.chown(mailboxes, "mail", "mail")
    (folder / "users").write_text("b@health.saba.example:{PLAIN}x:8:8::/nonexistent::\n")
    (folder / "dovecot.conf").write_text(
        f"""protocols = lmtp
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
ssl = no
listen = 127.0.0.1
mail_location = maildir:{mailboxes}/%u
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
"""
    )
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["dovecot", "-c", str(folder / "dovecot.conf")], check=True, **quiet)
    yield port, mailboxes / "b@health.saba.example"
    subprocess.run(["doveadm", "-c", str(folder / "dovecot.conf"), "stop"], check=False, **quiet)


async def test_dovecot_answers_for_each_recipient_and_keeps_every_byte(dovecot) -> None:
    port, mailbox = dovecot
    delivery = Delivery(Limits(), "mx.relay.saba.example")
    unknown, known = await delivery.deliver(
        parcel(HEAD + BODY, "nobody@health.saba.example", "b@health.saba.example"), hop(port, protocol="lmtp")
    )
    assert known.delivered, known
    assert known.final
    assert (unknown.delivered, unknown.permanent) == (False, True)
    (stored,) = await arrived(mailbox)
    assert stored.endswith((HEAD + BODY).replace(b"\r\n", b"\n"))
    await delivery.close()
