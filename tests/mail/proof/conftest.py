"""Real servers that know passwords: Debian's slapd and Dovecot, each with its own folder and ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from mail.accounts import normal
from mail.proof.known import Asked

BASE = "dc=finance,dc=saba"
SEARCHER, SEARCH_PASSWORD = f"cn=relay,{BASE}", "may only search"
QUIET: dict[str, int] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PASSWORD = "كلمة سر de l'annuaire"


def asked(address: str) -> Asked:
    return Asked(normal(address), None, "192.0.2.33")


def needs(command: str, package: str) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not there: apt install {package}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and child.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens on {port}; it ended with {child.poll()}")


@dataclass
class Slapd:
    """A running slapd: its two ports, the CA of its certificate, and the process."""

    plain: int
    implicit: int
    ca: str
    child: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Slapd]:
    needs("slapd", "slapd")
    folder = tmp_path_factory.mktemp("slapd")
    (folder / "db").mkdir()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "slapd.conf").write_text(
        f"""include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
security simple_bind=128
database mdb
suffix "{BASE}"
directory {folder}/db
maxsize 16777216
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{SEARCHER}" read by self read by * none
"""
    )
    people = {"amal": PASSWORD, "yusuf": "another one", "star*(amal)": PASSWORD, "o'neil, jr": "comma"}
    ldif = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: finance\no: Finance\n"]
    ldif.append(f"dn: {SEARCHER}\nobjectClass: person\ncn: relay\nsn: relay\nuserPassword: {SEARCH_PASSWORD}\n")
    ldif.append(f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n")
    for name, password in people.items():
        dn = f"uid={name.replace(',', chr(92) + ',')},ou=people,{BASE}"
        local = name.replace(" ", "")
        ldif.append(
            f"dn: {dn}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
            f"mail: {local}@finance.saba.example\nmail: {local}.2@finance.saba.example\n"
            f"userPassword:: {_b64(password)}\n"
        )
    for number in (1, 2):
        ldif.append(
            f"dn: uid=twin{number},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: twin{number}\ncn: t\nsn: t\n"
            f"mail: twin@finance.saba.example\nuserPassword: same\n"
        )
    subprocess.run(
        ["slapadd", "-f", folder / "slapd.conf"], input="\n".join(ldif).encode(), check=True, capture_output=True
    )
    plain, implicit = free_port(), free_port()
    where = f"ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{implicit}"
    child = subprocess.Popen(
        ["slapd", "-f", folder / "slapd.conf", "-h", where, "-d", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    listens(plain, child)
    yield Slapd(plain, implicit, str(folder / "ca.pem"), child)
    child.terminate()
    child.wait(10)


def _b64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="session")
def dovecot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Dovecot that only answers for passwords: its auth socket."""
    needs("dovecot", "dovecot-core")
    if os.getuid() != 0:
        pytest.skip("dovecot starts only as root")
    folder = tmp_path_factory.mktemp("d")
    passwords = {"huda": PASSWORD, "lina": "pencil, sharpened"}
    rows = [f"{name}@health.saba.example:{{PLAIN}}{password}::::::\n" for name, password in passwords.items()]
    (folder / "users").write_text("".join(rows))
    (folder / "dovecot.conf").write_text(
        f"""protocols =
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
ssl = no
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  user = root
  unix_listener {folder}/auth {{
    mode = 0600
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0600
  }}
}}
"""
    )
    conf = str(folder / "dovecot.conf")
    subprocess.run(["dovecot", "-c", conf], check=True, **QUIET)
    yield folder / "auth"
    subprocess.run(["doveadm", "-c", conf, "stop"], check=False, **QUIET)
