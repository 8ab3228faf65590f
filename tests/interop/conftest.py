"""A country with real servers: the relay in the middle; Postfix, Exim and Dovecot keep three ministries' mailboxes."""

from __future__ import annotations

import imaplib
import json
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy import demo
from deploy.authority import make_certificate
from deploy.bench import lab
from hudhud import config, release, tls
from hudhud.clock import SYSTEM
from hudhud.settings import Settings, split_address
from tests.interop.peers import ABROAD, HOME, Peer, Place, dovecot, exim, postfix, tail
from tests.mail.session.test_process import LAB, start_relay, until

ARRIVES_S = 40.0
STARTS = {"postfix": postfix, "exim": exim, "dovecot": dovecot}
PLAYED = {"postfix": "192.0.2.33:25", "exim": "192.0.2.65:25", "dovecot": "192.0.2.97:24"}
HOSTS = {
    "postfix": "mail.finance.saba.example", "exim": "mail.interior.saba.example", "dovecot": "mail.health.saba.example",
}  # fmt: skip
_running: list[Country] = []


@dataclass(frozen=True, slots=True)
class Country:
    """The relay's data folder and settings, and the ministries' servers."""

    data: Path
    settings: Settings
    postfix: Peer
    exim: Peer
    dovecot: Peer

    @property
    def password(self) -> str:
        return demo.password(self.data)

    @property
    def ca(self) -> Path:
        return self.data / "tls" / "ca.pem"

    def port(self, listener: str) -> int:
        return split_address(getattr(self.settings.relay, listener)[0])[1]

    def submission(self, who: str) -> smtplib.SMTP:
        """A session behind STARTTLS and AUTH."""
        client = smtplib.SMTP("localhost", self.port("submission"), timeout=60)
        client.starttls(context=tls.client_context(self.ca))
        client.login(who, self.password)
        return client

    def inject(self, peer: Peer, sender: str, recipient: str, data: bytes, *options: str) -> None:
        """A person at the peer sends: it takes the message at its own port, and sends it on."""
        with smtplib.SMTP("127.0.0.1", peer.port, timeout=60) as client:
            client.ehlo()
            code, reply = client.mail(sender, options)
            assert code == 250, reply
            code, reply = client.rcpt(recipient)
            assert code == 250, reply
            code, reply = client.data(data)
            assert code == 250, reply

    def imap(self, token: str) -> bytes | None:
        """The message with the token in its subject, as Dovecot shows it."""
        with imaplib.IMAP4_SSL("localhost", self.dovecot.imap, ssl_context=tls.client_context(self.ca)) as client:
            client.login("huda@health.saba.example", "x")
            client.select("INBOX")
            _, [found] = client.search(None, "SUBJECT", token)
            if not found:
                return None
            _, parts = client.fetch(found.split()[0].decode(), "(BODY.PEEK[])")
            part = parts[0]
            assert isinstance(part, tuple)
            return part[1]


def arrived(box: Callable[[], list[bytes]], *words: str) -> bytes:
    """The message that has these words, once it is there; its line ends are CRLF."""
    wanted = [word.encode() for word in words]
    found: bytes = until(lambda: next((one for one in box() if all(w in one for w in wanted)), None), ARRIVES_S)
    return re.sub(rb"\r?\n", b"\r\n", found)


@pytest.fixture(scope="session")
def country() -> Iterator[Country]:
    """Everything, once for all tests."""
    folder = Path(tempfile.mkdtemp(prefix="hudhud-interop-"))
    folder.chmod(0o755)  # the servers give up root and must still reach their folders
    try:
        yield from _country(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _country(folder: Path) -> Iterator[Country]:
    data, ports = folder / "lab", lab.free_ports()
    path = demo.make_lab(data, ports, SYSTEM.now())
    with ExitStack() as stack:
        peers = {name: stack.enter_context(STARTS[name](_place(folder, data, name, ports.mx))) for name in STARTS}
        text = path.read_text()
        for name, peer in peers.items():
            text = re.sub(f'"{re.escape(PLAYED[name])}" = .*', f'"{PLAYED[name]}" = "127.0.0.1:{peer.port}"', text)
        path.write_text(lab.changed(text, {"delivery": {"first_retry_s": 2.0}, "spool": {"min_free_bytes": 0}}))
        _publish(data)
        _zone(data / "zone.json")
        words = [sys.executable, "-c", LAB, str(data)]
        names = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE))
        assert names.stdout is not None
        assert names.stdout.readline() == b"ready\n"
        stack.callback(names.kill)
        relay = start_relay(data)
        try:
            state = data / "run" / "relay.json"
            until(lambda: state.is_file() and json.loads(state.read_text()).get("ready"), 60)
            _running.append(Country(data, config.load(path).settings, **peers))
            yield _running[0]
        finally:
            _running.clear()
            relay.send_signal(signal.SIGTERM)
            relay.wait(30)


def _place(folder: Path, data: Path, name: str, relay: int) -> Place:
    host = HOSTS[name]
    make_certificate(data / "tls", host, (host, "localhost"), SYSTEM.now())
    copies = folder / "tls"
    copies.mkdir(exist_ok=True)
    for file in ("ca.pem", f"{host}.pem", f"{host}.key"):
        (copies / file).write_bytes((data / "tls" / file).read_bytes())
    (copies / f"{host}.key").chmod(0o600)
    return Place(folder / name, copies / "ca.pem", copies / f"{host}.pem", copies / f"{host}.key", relay)


def _publish(data: Path) -> None:
    """A registry in which finance and interior are reached by a verified name, and finance calls from an address."""
    text = demo.DEMO.joinpath("registry.toml").read_text(encoding="utf-8")
    for address, host in (("192.0.2.33", HOSTS["postfix"]), ("192.0.2.65", HOSTS["exim"])):
        old = f'next_hop = {{ host = "{address}", port = 25, protocol = "smtp", tls = "may" }}'
        assert old in text
        text = text.replace(old, f'next_hop = {{ host = "{host}", port = 25, protocol = "smtp", tls = "verify" }}')
    assert 'addresses = ["192.0.2.45"]' in text
    text = text.replace('addresses = ["192.0.2.45"]', f'addresses = ["192.0.2.45", "{HOME}"]')
    key, now, folder = release.SigningKey.load(data / "keys" / "desk.key"), SYSTEM.now(), data / "releases"
    files = {"registry.toml": text.encode()}
    digest = release.write(folder, "registry", files, author="test", note="real servers", now=now, keys=[key])
    release.publish(folder, "registry", digest, now=now, keys=[key])


def _zone(path: Path) -> None:
    zone = json.loads(path.read_text(encoding="utf-8"))
    for name, address in PLAYED.items():
        zone[HOSTS[name]] = {"A": [address.partition(":")[0]]}
    zone["freemail.example"]["TXT"] = [f"v=spf1 ip4:{ABROAD} -all"]
    path.write_text(json.dumps(zone, ensure_ascii=False), encoding="utf-8")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """What the servers logged stands beside a failure."""
    report = yield
    if report.failed and _running:
        country = _running[0]
        for peer in (country.postfix, country.exim, country.dovecot):
            report.sections.append((f"{peer.name}'s log", tail(peer.log)))
        report.sections.append(("the relay's log", tail(country.data / "relay.log")))
    return report
