"""Log-ins through a live worker, each mechanism and back end by mail programs of others: msmtp, curl, swaks."""

from __future__ import annotations

import asyncio
import base64
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from hudhud.clock import SYSTEM
from hudhud.people import hash_password
from hudhud.settings import Auth, Directory, Dovecot, Issuer
from mail import accounts
from mail.proof import apps, scram
from tests.mail.proof.conftest import BASE, PASSWORD, SEARCH_PASSWORD, SEARCHER, Slapd, needs
from tests.mail.proof.test_token import ISSUER, RSA, token
from tests.mail.session.conftest import start

__all__ = ["start"]
pytestmark = pytest.mark.system
AMAL, SALIM = "amal@finance.saba.example", "salim@interior.saba.example"
HUDA, LINA, KARIM = "huda@health.saba.example", "lina@health.saba.example", "karim@education.saba.example"
LOCAL = "a password of the lab"


async def run(*words: str, stdin: bytes = b"") -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(child.communicate(stdin), 60)
    return child.returncode or 0, output.decode("utf-8", "replace")


@pytest.fixture
def auth(slapd: Slapd, dovecot: Path, tmp_path: Path) -> Auth:
    """Finance asks its directory, health its Dovecot, education its issuer of tokens, interior accounts.toml."""
    from joserfc.jwk import KeySet

    (tmp_path / "var").mkdir()
    for name, content in (("ldap.secret", SEARCH_PASSWORD), ("keys.json", codec(KeySet([RSA])))):
        (tmp_path / "var" / name).write_text(content)
        (tmp_path / "var" / name).chmod(0o600)
    directory = Directory(
        domains=("finance.saba.example",), urls=(f"ldap://127.0.0.1:{slapd.plain}",), ca=slapd.ca, base=BASE,
        bind_dn=SEARCHER, password_file="ldap.secret",
    )  # fmt: skip
    issuer = Issuer(domains=("education.saba.example",), issuer=ISSUER, audience="mail", jwks="keys.json")
    return Auth(
        failure_s=0, ldap={"fin": directory}, oauth={"edu": issuer},
        dovecot={"health": Dovecot(domains=("health.saba.example",), socket=str(dovecot))},
    )  # fmt: skip


def codec(keys: Any) -> str:
    import json

    return json.dumps(keys.as_dict(private=False))


def with_scram(running: Any, tmp_path: Path) -> str:
    """Salim gets SCRAM keys and an app password; which is that."""
    row = accounts.row(SALIM, "INT", "Salim", hash_password(LOCAL))
    row = msgspec.structs.replace(row, scram=str(scram.Keys.make(LOCAL, scram.salt_of(bytes(32), SALIM))))
    app, shown = apps.make(row, "telephone", SYSTEM.now(), 30, bytes(32))
    accounts.write(tmp_path / "accounts.toml", [msgspec.structs.replace(row, app=(app,))])
    assert running.house.login._live.refresh()
    return shown


def msmtprc(folder: Path, running: Any, how: str, who: str, password: str, authority: trustme.CA) -> list[str]:
    (folder / "password").write_text(password)
    (folder / "password").chmod(0o600)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "msmtprc").write_text(
        f"account default\nhost localhost\nport {running.ports['submission']}\ntls on\ntls_starttls on\n"
        f"tls_trust_file {folder}/ca.pem\nauth {how}\nuser {who}\npasswordeval cat {folder}/password\n"
        f"from {who}\ndomain pc.example\n"
    )
    (folder / "msmtprc").chmod(0o600)
    return ["msmtp", "-C", str(folder / "msmtprc"), SALIM]


LETTER = b"From: <%s>\r\nTo: <%s>\r\nSubject: x\r\n\r\nhello\r\n"


@pytest.mark.parametrize(
    ("how", "who", "password"),
    [("plain", SALIM, LOCAL), ("login", SALIM, LOCAL), ("scram-sha-256", SALIM, LOCAL), ("scram-sha-256", SALIM, "app"),
     ("plain", SALIM, "app"), ("plain", AMAL, PASSWORD), ("login", AMAL, PASSWORD), ("plain", HUDA, PASSWORD),
     ("scram-sha-256", LINA, "pencil, sharpened"), ("xoauth2", KARIM, "token"), ("oauthbearer", KARIM, "token")],
)  # fmt: skip
async def test_msmtp_logs_in_and_sends_by(
    how: str, who: str, password: str, start: Any, auth: Auth, authority: trustme.CA, tmp_path: Path
) -> None:
    needs("msmtp", "msmtp")
    async with start(auth=auth) as running:
        app = with_scram(running, tmp_path)
        right = {"app": app, "token": token(email=KARIM)}.get(password, password)
        wrong = token(email=KARIM, aud="other") if password == "token" else "not " + right
        letter = LETTER % (who.encode(), SALIM.encode())
        code, output = await run(*msmtprc(tmp_path, running, how, who, wrong, authority), stdin=letter)
        assert "535 5.7.8" in output or "authentication failed" in output, output
        assert code != 0
        code, output = await run(*msmtprc(tmp_path, running, how, who, right, authority), stdin=letter)
        assert code == 0, output
        assert [one["sender"] for one in running.mail()] == [who]


@pytest.mark.parametrize("how", ["XOAUTH2", "OAUTHBEARER"])
async def test_curl_brings_a_token(how: str, start: Any, auth: Auth, authority: trustme.CA, tmp_path: Path) -> None:
    needs("curl", "curl")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with start(auth=auth) as running:
        where = [f"smtps://localhost:{running.ports['submissions']}/pc.example", "--cacert", str(tmp_path / "ca.pem")]
        login = ["--login-options", f"AUTH={how}", "--user", KARIM, "--oauth2-bearer", token(email=KARIM)]
        envelope = ["--mail-from", KARIM, "--mail-rcpt", SALIM, "--upload-file", "-"]
        letter = LETTER % (KARIM.encode(), SALIM.encode())
        code, output = await run("curl", "-sv", *where, *login, *envelope, stdin=letter)
        assert code == 0, output
        assert [one["sender"] for one in running.mail()] == [KARIM]


async def test_swaks_logs_in_with_an_app_password(start: Any, auth: Auth, tmp_path: Path) -> None:
    needs("swaks", "swaks")
    async with start(auth=auth) as running:
        app = with_scram(running, tmp_path)
        for mechanism in ("PLAIN", "LOGIN"):
            code, output = await run(
                "swaks", "--server", "127.0.0.1", "--port", str(running.ports["submission"]), "--tls", "--helo", "pc.x",
                "--auth", mechanism, "--auth-user", SALIM, "--auth-password", app, "--from", SALIM, "--to", SALIM,
            )  # fmt: skip
            assert code == 0, output


async def secured(running: Any) -> Any:
    talk = await running.hello("submission")
    await talk.say("STARTTLS")
    await talk.start_tls(running.context)
    return talk


def coded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


async def test_ehlo_offers_what_some_back_end_can_do_and_a_token_that_fails_is_told_why(
    start: Any, auth: Auth, tmp_path: Path
) -> None:
    import json

    async with start(auth=auth) as running:
        talk = await secured(running)
        assert "AUTH PLAIN LOGIN SCRAM-SHA-256 XOAUTH2 OAUTHBEARER" in await talk.say("EHLO x.example")
        first = coded(f"n,,n={AMAL},r=abcdef")
        assert (await talk.say(f"AUTH SCRAM-SHA-256 {first}")).startswith("504 5.5.4")  # a directory cannot
        challenge = await talk.say(
            f"AUTH OAUTHBEARER {coded(f'n,a={KARIM},' + chr(1) + 'auth=Bearer x.y.z' + chr(1) * 2)}"
        )
        said = json.loads(base64.b64decode(challenge[4:]))
        assert challenge.startswith("334 ")
        assert said == {
            "status": "invalid_token", "openid-configuration": f"{ISSUER}/.well-known/openid-configuration"
        }  # fmt: skip
        assert (await talk.say("AQ==")).startswith("535 5.7.8")
        challenge = await talk.say(f"AUTH XOAUTH2 {coded(f'user={KARIM}' + chr(1) + 'auth=Bearer x.y.z' + chr(1) * 2)}")
        assert json.loads(base64.b64decode(challenge[4:]))["status"] == "401"
        assert (await talk.say("")).startswith("535 5.7.8")
    async with start(auth=msgspec.structs.replace(auth, mechanisms=("LOGIN", "SCRAM-SHA-256"))) as running:
        talk = await secured(running)
        assert (await talk.say("EHLO x.example")).endswith("AUTH LOGIN SCRAM-SHA-256")
        assert (await talk.say(f"AUTH PLAIN {coded('a')}")).startswith("504 5.5.4 Known mechanisms: LOGIN SCRAM")


async def test_a_token_of_somebody_else_logs_nobody_in(start: Any, auth: Auth, tmp_path: Path) -> None:
    async with start(auth=auth) as running:
        for user, of in ((KARIM, "sami@education.saba.example"), (SALIM, KARIM), (AMAL, AMAL), ("", SALIM)):
            talk = await secured(running)
            await talk.say("EHLO x.example")
            message = f"n,{f'a={user}' if user else ''},\x01auth=Bearer {token(email=of)}\x01\x01"
            assert (await talk.say(f"AUTH OAUTHBEARER {coded(message)}")).startswith("334 ")
            assert (await talk.say("AQ==")).startswith("535")
            talk.close()


async def test_what_is_down_is_told_as_our_fault_and_nobody_is_locked_out(
    start: Any, auth: Auth, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        fin = msgspec.structs.replace(auth.ldap["fin"], urls=(f"ldap://127.0.0.1:{closed.getsockname()[1]}",))
        health = msgspec.structs.replace(auth.dovecot["health"], socket=str(tmp_path / "nobody"))
        edu = msgspec.structs.replace(auth.oauth["edu"], jwks="nothing.json")
        down = msgspec.structs.replace(auth, ldap={"fin": fin}, dovecot={"health": health}, oauth={"edu": edu})
        async with start(auth=down, auth_failures_per_hour=1) as running:
            found = await running.house.login.look()
            assert [name for name, problem in found.items() if problem] == ["ldap.fin", "dovecot.health", "oauth.edu"]
            bearer = coded(f"user={KARIM}\x01auth=Bearer {token(email=KARIM)}\x01\x01")
            for command in (
                *(f"AUTH PLAIN {coded(chr(0) + who + chr(0) + 'x')}" for who in (AMAL, HUDA)),
                f"AUTH XOAUTH2 {bearer}",
            ):
                for _ in range(2):
                    talk = await secured(running)
                    await talk.say("EHLO x.example")
                    assert (await talk.say(command)).startswith("454 4.7.0 Passwords cannot be checked just now")
                    talk.close()


async def test_an_open_session_ends_when_its_app_password_is_revoked(start: Any, auth: Auth, tmp_path: Path) -> None:
    async with start(auth=auth) as running:
        app = with_scram(running, tmp_path)
        talk = await secured(running)
        await talk.say("EHLO x.example")
        assert (await talk.say(f"AUTH PLAIN {coded(chr(0) + SALIM + chr(0) + app)}")).startswith("235")
        assert (await talk.envelope(SALIM, SALIM))[1].startswith("250")
        await talk.say("RSET")
        row = running.house.login._live.value.rows[SALIM]
        accounts.write(tmp_path / "accounts.toml", [accounts.without_apps(row)])
        assert running.house.login._live.refresh()  # each worker looks every second
        assert (await talk.say(f"MAIL FROM:<{SALIM}>")).startswith("421 4.7.0")
        assert await talk.ended()
