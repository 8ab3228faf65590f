"""DKIM and ARC: public signed messages verify, changed ones do not, and each reason has its word."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mail.auth import dkim
from mail.auth.gather import authenticate
from mail.auth.results import Arc, Dkim
from mail.dns import ZoneResolver
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.message import Message


def message(data: bytes, *, ip: str = "198.51.100.25", sender: bytes = b"a@abroad.example") -> Message:
    client = Client(ip, 25, "mx.abroad.example", None, "mx")
    recipient = Recipient(parse_path(b"amal@finance.saba.example", smtputf8=False))
    envelope = Envelope(
        parse_path(sender, smtputf8=False), (recipient,), client, None, datetime(2026, 11, 24, tzinfo=UTC)
    )
    return Message.read(envelope, "q", data)


async def results(data: bytes, zone: Mapping[str, str]) -> tuple[tuple[Dkim, ...], Arc]:
    resolver = ZoneResolver({name: {"TXT": [text]} for name, text in zone.items()})
    one = message(data)
    return await dkim.check(one, await dkim.keys(one, resolver))


def with_keys(path: Path) -> tuple[dict[str, str], bytes]:
    """The layout of the shared files: records, an empty line, the message."""
    records, _, data = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    zone = dict(line.split(" ", 1) for line in records.decode().splitlines() if " " in line)
    return zone, data.replace(b"\n", b"\r\n")


async def test_every_signature_of_the_public_messages_verifies(shared_data: Path) -> None:
    seen = 0
    for path in sorted((shared_data / "mail" / "auth" / "dkim-stalwart").glob("*.txt")):
        zone, data = with_keys(path)
        signatures, _ = await results(data, zone)
        assert signatures, path.name
        assert {one.result for one in signatures} == {"pass"}, (path.name, signatures)
        seen += len(signatures)
    assert seen >= 4


async def test_the_public_chains_verify_and_a_changed_one_fails(shared_data: Path) -> None:
    for path in sorted((shared_data / "mail" / "auth" / "arc-stalwart").glob("*.txt")):
        zone, data = with_keys(path)
        assert (await results(data, zone))[1] == Arc("pass"), path.name
        changed = data.replace(b"\r\nSubject:", b"\r\nSubject: X", 1)
        assert (await results(changed, zone))[1] == Arc("fail"), path.name


@pytest.fixture
def signed(shared_data: Path) -> tuple[dict[str, str], bytes]:
    return with_keys(sorted((shared_data / "mail" / "auth" / "dkim-stalwart").glob("*.txt"))[0])


async def test_a_changed_body_and_a_changed_header_fail(signed: tuple[dict[str, str], bytes]) -> None:
    zone, data = signed
    body, _ = await results(data + b"more\r\n", zone)
    assert {(one.result, one.reason) for one in body} == {("fail", "body")}
    header, _ = await results(data.replace(b"\r\nSubject: ", b"\r\nSubject: Re: ", 1), zone)
    assert {one.result for one in header} == {"fail"}


async def test_keys_that_are_missing_revoked_or_unreachable_have_their_words(
    signed: tuple[dict[str, str], bytes],
) -> None:
    zone, data = signed
    assert {one.reason for one in (await results(data, {}))[0]} == {"no-key"}
    assert {one.reason for one in (await results(data, dict.fromkeys(zone, "v=DKIM1; p=")))[0]} == {"revoked"}
    assert {one.result for one in (await results(data, dict.fromkeys(zone, "SERVFAIL")))[0]} == {"temperror"}
    other = {name: f"s=tlsrpt; {text}" for name, text in zone.items()}
    assert {one.reason for one in (await results(data, other))[0]} == {"other-service"}


async def test_what_is_appended_behind_a_signed_length_is_not_signed(shared_data: Path) -> None:
    import dkim as library  # the door is for what runs; here the library makes what the door must refuse

    folder = shared_data / "mail" / "auth" / "dkim-dkimpy"
    data = (folder / "test.message").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    private, public = _keys()
    field = library.sign(data, b"s", b"example.com", private, length=True)
    zone = {"s._domainkey.example.com": public}
    assert [one.result for one in (await results(field + data, zone))[0]] == ["pass"]
    appended = (await results(field + data + b"Pay here: http://evil.example\r\n", zone))[0]
    assert [(one.result, one.reason) for one in appended] == [("policy", "unsigned-end")]


def _keys() -> tuple[bytes, str]:
    import base64

    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    return private, f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


@pytest.mark.parametrize(
    "header",
    [
        b"DKIM-Signature: v=1\r\n",
        b"DKIM-Signature: \xff\xfe\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=x; s=y; b=!;\r\n",
        b"DKIM-Signature: " + b"a=b; " * 5000 + b"\r\n",
        b"ARC-Seal: i=1\r\n",
        b"ARC-Seal: i=99999999999999; cv=pass\r\n",
    ],
)
async def test_hostile_signatures_are_results_and_never_pass(header: bytes) -> None:
    data = header + b"From: a@abroad.example\r\n\r\nhello\r\n"
    auth = await authenticate(message(data), ZoneResolver({}))
    assert all(one.result != "pass" for one in auth.dkim)
    assert auth.arc.result in ("none", "fail")


async def test_at_most_ten_signatures_are_looked_at() -> None:
    data = b"DKIM-Signature: v=1; d=x.example; s=y\r\n" * 200 + b"From: a@abroad.example\r\n\r\nhello\r\n"
    assert len((await authenticate(message(data), ZoneResolver({}))).dkim) == 10
