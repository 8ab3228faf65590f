"""What we sign verifies with dkimpy, whatever the bytes; and costs what the budget allows."""

from __future__ import annotations

import base64
import hashlib
import time
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mail.sign import OVERSIGNED, Signer, SignError, fields, from_domain, generate, record, relaxed_body, relaxed_field

HEAD = (
    b"Received: from a by b; now\r\nFrom: Amal Haddad <amal@finance.saba.example>\r\n"
    b"To: salim@interior.saba.example,\r\n\t huda@health.saba.example\r\nSubject: =?utf-8?q?x?=  two   blanks \r\n"
    b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@finance.saba.example>\r\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    generate(made, "finance.saba.example")
    return made


@pytest.fixture(scope="module")
def signer(folder: Path) -> Signer:
    return Signer(folder, "hudhud")


def verified(signer: Signer, message: bytes, index: int = 0) -> bool:
    zone = dict(record(key) for key in signer.keys("finance.saba.example"))

    def txt(name: bytes, timeout: int = 5) -> bytes | None:
        found = zone.get(name.decode().rstrip("."))
        return found.encode() if found else None

    try:
        return bool(dkim.DKIM(message, minkey=1024).verify(idx=index, dnsfunc=txt))
    except dkim.ValidationError:
        return False


BODIES = {
    "plain": b"hello\r\n",
    "empty": b"",
    "only line ends": b"\r\n\r\n\r\n",
    "blanks only": b"  \t \r\n \r\n",
    "runs and trailing blanks": b"a \t  b   \r\n\t c\t\t\r\n\r\n \r\n\r\n",
    "8-bit": b"\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7 \xff\xfe\r\n",
    "dots": b".\r\n..\r\n.x\r\n",
    "long line": b"x" * 5000 + b"\r\n",
    "no last line end": b"abc",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_dkimpy_verifies_what_we_sign(signer: Signer, body: bytes) -> None:
    message = signer.sign(HEAD, body) + HEAD + b"\r\n" + body
    assert verified(signer, message)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b".", b"\xc3\xa9", b"  "]), max_size=60).map(b"".join),
    st.lists(
        st.sampled_from([b"Subject: again\r\n", b"X-A: b \r\n", b"Cc:\r\n x@y\r\n", b"To:\t \r\n\t z@z\r\n"]),
        max_size=5,
    ).map(b"".join),
)
def test_dkimpy_verifies_any_blanks_and_repeated_fields(signer: Signer, body: bytes, more: bytes) -> None:
    head, body = HEAD + more, body + b"\r\n"
    assert verified(signer, signer.sign(head, body) + head + b"\r\n" + body)


def test_an_added_or_changed_field_or_byte_breaks_the_signature(signer: Signer) -> None:
    field = signer.sign(HEAD, b"hello\r\n")
    for added in (b"From: x@y.example\r\n", b"Subject: z\r\n", b"Reply-To: x@y.example\r\n", b"Cc: x@y\r\n"):
        assert not verified(signer, field + added + HEAD + b"\r\nhello\r\n")
    assert not verified(signer, field + HEAD + b"\r\nhellO\r\n")
    assert not verified(signer, field + HEAD.replace(b"amal", b"anal") + b"\r\nhello\r\n")


def test_an_ed25519_key_beside_it_gives_a_second_signature(tmp_path: Path) -> None:
    generate(tmp_path, "finance.saba.example")
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "dkim-finance.saba.example.ed25519.pem").write_bytes(pem)
    both = Signer(tmp_path, "hudhud")
    message = both.sign(HEAD, b"hello\r\n") + HEAD + b"\r\nhello\r\n"
    assert message.count(b"DKIM-Signature:") == 2
    assert verified(both, message, 0)
    second = message.split(b"DKIM-Signature:")[2].split(b"\r\nReceived")[0]  # dkimpy needs PyNaCl for this one
    unsigned, _, text = (b"DKIM-Signature:" + second).rpartition(b"b=")
    rows = [
        relaxed_field(f) + b"\r\n" for name in OVERSIGNED for f in fields(HEAD) if f.lower().startswith(name.encode())
    ]
    digest = hashlib.sha256(b"".join(rows) + relaxed_field(unsigned + b"b=")).digest()
    private.public_key().verify(base64.b64decode(text), digest)


def test_a_domain_below_is_signed_with_the_key_above_and_a_strange_one_not_at_all(signer: Signer) -> None:
    head = HEAD.replace(b"@finance.", b"@sub.finance.", 1)
    assert b"d=finance.saba.example;" in signer.sign(head, b"x\r\n")
    assert signer.sign(HEAD.replace(b"finance.saba", b"partner"), b"x\r\n") == b""
    assert signer.sign(b"Subject: no sender\r\n", b"x\r\n") == b""


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        (b"amal@finance.saba.example", "finance.saba.example"),
        (b'"Haddad, Amal" <amal@FINANCE.saba.example>', "finance.saba.example"),
        (b"=?utf-8?b?2KPZhdmE?= <amal@finance.saba.example>", "finance.saba.example"),
        ("أمل <أمل@مالية.saba.example>".encode(), "xn--mgbe4fc1a.saba.example"),
        (b"a@one.example, b@two.example", "one.example"),
        (b"nobody", ""),
        (b"\xff\xfe@\x00", ""),
    ],
)
def test_the_domain_of_from_is_read(value: bytes, domain: str) -> None:
    assert from_domain(b"X: y\r\nFrom: " + value + b"\r\n") == domain


def test_a_broken_key_file_names_itself(tmp_path: Path) -> None:
    (tmp_path / "dkim-a.example.pem").write_text("nonsense")
    with pytest.raises(SignError, match=r"dkim-a\.example\.pem"):
        Signer(tmp_path, "s").sign(b"From: x@a.example\r\n", b"")


def test_no_line_of_a_signature_is_longer_than_78_octets(signer: Signer) -> None:
    assert max(map(len, signer.sign(HEAD, b"x\r\n").split(b"\r\n"))) <= 78


def test_the_key_is_readable_only_by_its_owner(folder: Path) -> None:
    assert (folder / "dkim-finance.saba.example.pem").stat().st_mode & 0o777 == 0o600


def test_hostile_bodies_are_made_canonical_in_linear_time() -> None:
    started = time.process_time()
    assert relaxed_body(b" " * 8_000_000 + b"\r\n") == b""
    assert relaxed_body(b"\r\n" * 4_000_000) == b""
    assert relaxed_body(b"\t \r\n" * 2_000_000) == b""
    assert time.process_time() - started < 3.0


def test_what_a_bodys_own_server_hands_in_is_signed_in_the_name_of_that_body_only(folder: Path) -> None:
    signer = Signer(folder, "hudhud", body_of={"finance.saba.example": "FIN"}.get)  # type: ignore[arg-type]  # asked of known ones
    assert signer.sign(HEAD, b"hi\r\n", entity="FIN").startswith(b"DKIM-Signature:")
    assert signer.sign(HEAD, b"hi\r\n", entity="INT") == b""
    assert signer.sign(HEAD, b"hi\r\n").startswith(b"DKIM-Signature:")
