"""SCRAM-SHA-256 against RFC 7677's own example and a client that nobody here wrote; app passwords answer too."""

from __future__ import annotations

import base64

import msgspec
import pytest
from scramp import ScramClient, ScramException

from hudhud.clock import SYSTEM
from hudhud.people import hash_password
from mail import accounts
from mail.accounts import Row
from mail.proof import apps, scram
from mail.proof.known import Asked, Known
from mail.proof.local import Local, Scram
from mail.proof.prepare import prepared
from mail.proof.scram import Conversation, First, Keys, ScramError
from tests.mail.proof.conftest import asked
from tests.mail.proof.test_dovecot import by_scram

AMAL = "amal@finance.saba.example"
SECRET = bytes(range(32))


def amal(password: str = "كلمة سر") -> Row:
    salt = scram.salt_of(SECRET, AMAL)
    row = accounts.row(AMAL, "FIN", "Amal", hash_password(prepared(password)))
    return msgspec.structs.replace(row, scram=str(Keys.make(password, salt)))


async def log_in(row: Row | None, who: str, password: str, *, main: bool = True) -> Known | None:
    return await by_scram(Scram(Asked(who, row, ""), SECRET, SYSTEM.now(), main=main), who, password)


def test_the_example_of_rfc_7677_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    keys = Keys.make("pencil", salt, 4096)
    first = First.parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert (first.name, first.gs2) == ("user", "n,,")
    talk = Conversation(first, salt, 4096, [("user", keys)])
    talk._nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    talk.challenge = f"r={talk._nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    final = f"c=biws,r={talk._nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
    assert talk.finish(final) == ("user", b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert Keys.parse(str(keys)) == keys


async def test_a_client_of_others_logs_in_with_the_main_and_with_each_app_password() -> None:
    row = amal()
    made = [apps.make(row, label, SYSTEM.now(), 30, SECRET) for label in ("telephone", "printer")]
    row = msgspec.structs.replace(row, app=tuple(app for app, _ in made))
    assert await log_in(row, AMAL, "كلمة سر") == Known(AMAL, stamp=row.password)
    assert await log_in(row, AMAL, "كلمة\u00a0سر") == Known(AMAL, stamp=row.password)  # RFC 4013: a blank is a blank
    for app, shown in made:
        assert await log_in(row, AMAL, shown) == Known(AMAL, stamp=app.hash)
        assert await log_in(row, AMAL, shown, main=False) == Known(AMAL, stamp=app.hash)
    assert await log_in(row, AMAL, "wrong") is None
    assert await log_in(row, AMAL, "كلمة سر", main=False) is None
    assert await log_in(None, "nobody@finance.saba.example", "كلمة سر") is None


async def test_the_server_proves_itself_too() -> None:
    row = msgspec.structs.replace(amal(), scram=amal().scram[:-10] + "AAAAAAAAA=")  # not the server key of the password
    with pytest.raises(ScramException):
        await log_in(row, AMAL, "كلمة سر")


async def test_a_password_is_the_same_on_every_keyboard() -> None:
    local = Local(SECRET, SYSTEM.now)
    row = amal("الإدارة 1")
    for typed in ("الإدارة 1", "الإدارة\u00a01", "الا\u0655دارة 1"):  # as RFC 8265 has it: RFC 4013 forbids it
        assert await local.verify(Asked(AMAL, row, ""), typed.encode()) is not None, typed
    assert await local.verify(Asked(AMAL, row, ""), b"\xff\xfe") is None
    assert await local.verify(asked("nobody@finance.saba.example"), b"x") is None
    await local.close()


@pytest.mark.parametrize(
    "message",
    [b"", b"n", b"n,,", b"n,,n=,r=x", b"n,,n=a,r=", b"n,,r=x,n=a", b"p=tls-unique,,n=a,r=x", b"z,,n=a,r=x",
     b"n,,m=ext,n=a,r=x", b"n,,n=a=b,r=x", b"n,,n=\xff,r=x", b"n,a=other,n=a,r=x", b"n,,n=a,r=x y",
     b"n,,n=a\0b,r=x", b"n,,n=a,r=" + b"x" * 600],
)  # fmt: skip
def test_a_first_message_outside_the_grammar_is_refused(message: bytes) -> None:
    with pytest.raises(ScramError):
        First.parse(message)


def test_names_are_read_with_their_escapes() -> None:
    assert First.parse(b"y,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=x,k=v").name == "a,b=c"


@pytest.mark.parametrize(
    "change",
    [lambda m: m.replace(b"c=biws", b"c=eSws"), lambda m: m.replace(b"r=", b"r=x"), lambda m: b"",
     lambda m: m.split(b",p=")[0], lambda m: m.split(b",p=")[0] + b",p=AAAA", lambda m: m + b",x=y",
     lambda m: m.replace(b"c=biws", b"c=!")],
)  # fmt: skip
def test_a_final_message_that_was_tampered_with_is_refused(change) -> None:  # type: ignore[no-untyped-def] # a function
    keys = Keys.make("pencil", bytes(16), 4096)
    client = ScramClient(["SCRAM-SHA-256"], "user", "pencil")
    talk = Conversation(First.parse(client.get_client_first().encode()), bytes(16), 4096, [("user", keys)])
    client.set_server_first(talk.challenge)
    final = client.get_client_final().encode()
    with pytest.raises(ScramError):
        talk.finish(change(final))
    assert talk.finish(final) is not None


def test_stored_keys_that_are_none_are_not_used() -> None:
    for text in ("", "SCRAM-SHA-1$4096:AAAA$AAAA:AAAA", "SCRAM-SHA-256$x:AAAA$AAAA:AAAA", str(amal().scram) + "x"):
        assert Keys.parse(text) is None


def test_the_secret_of_salts_is_made_once_and_closed_to_others(tmp_path) -> None:  # type: ignore[no-untyped-def] # a path
    from hudhud.keys import KeyProblem

    secret = apps.login_secret(tmp_path)
    assert apps.login_secret(tmp_path) == secret
    path = tmp_path / apps.SECRET_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyProblem, match="chmod 600"):
        apps.login_secret(tmp_path)
