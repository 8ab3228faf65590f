"""Bearer tokens: each known attack on a JWT, keys that change, an introspection endpoint, and the two framings."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from hudhud.clock import SYSTEM
from hudhud.settings import Issuer as Settings
from mail.proof import token as tokens
from mail.proof.issuer import Issuer
from mail.proof.known import BackendDown, Known
from mail.proof.token import Bearer

AMAL, ISSUER = "amal@finance.saba.example", "https://id.saba.example"
RSA = RSAKey.generate_key(2048, {"kid": "r1", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "e1", "use": "sig"})
OTHER = RSAKey.generate_key(2048, {"kid": "r1", "use": "sig"})


def issuer(tmp_path: Path, *keys: Any, **more: Any) -> Issuer:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KeySet(list(keys or (RSA, EC))).as_dict(private=False)))
    settings = Settings(domains=("*",), issuer=ISSUER, audience="mail", jwks="keys.json", **more)
    return Issuer("id", settings, file, "", SYSTEM)


def token(key: Any = RSA, header: dict[str, Any] | None = None, **claims: Any) -> str:
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": "mail", "exp": now + 600, "email": AMAL, "scope": "openid mail.send"} | claims
    kept = {name: value for name, value in whole.items() if value is not None}
    whole = {"alg": "ES256" if key is EC else "RS256", "kid": key.kid} | (header or {})
    header = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(header, kept, key, algorithms=[header["alg"]])


def coded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def by_hmac(secret: bytes) -> str:
    """The confusion of algorithms: the public key taken as the secret of HS256."""
    signed = f"{coded({'alg': 'HS256', 'kid': 'r1'})}.{token().split('.')[1]}"
    digest = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


async def test_a_token_of_the_issuer_holds_until_it_expires(tmp_path: Path) -> None:
    id_ = issuer(tmp_path, scope="mail.send")
    ends = int(time.time()) + 600
    for one in (
        token(exp=ends),
        token(EC, exp=ends),
        token(aud=["x", "mail"], exp=ends),
        token(header={"typ": "at+jwt"}),
    ):
        found = await id_.verify(one)
        assert found is not None
        assert found.address == AMAL
        assert found.until is not None
        assert abs(found.until.timestamp() - ends) < 5
    assert await id_.verify(token(exp=int(time.time()) - 30)) is not None  # clocks differ


@pytest.mark.parametrize(
    "make",
    [
        lambda: token(exp=int(time.time()) - 120), lambda: token(exp=None), lambda: token(exp="tomorrow"),
        lambda: token(nbf=int(time.time()) + 3600), lambda: token(aud="other"), lambda: token(aud=None),
        lambda: token(aud=[]), lambda: token(iss=ISSUER + "/"), lambda: token(iss=None), lambda: token(scope="openid"),
        lambda: token(email=None), lambda: token(email="amal"), lambda: token(email=["x"]),
        lambda: token(email_verified=False), lambda: token(OTHER), lambda: token(header={"typ": "logout+jwt"}),
        lambda: f"{coded({'alg': 'none'})}.{token().split('.')[1]}.",
        lambda: f"{coded({'alg': 'None', 'kid': 'r1'})}.{token().split('.')[1]}.",
        lambda: by_hmac(RSA.as_pem(private=False)), lambda: by_hmac(b""),
        lambda: token(header={"alg": "RS384"}), lambda: token(header={"kid": None}),
        lambda: token(header={"kid": "zz"}),
        lambda: token()[:-4] + "AAAA", lambda: token() + "=", lambda: "", lambda: "x.y", lambda: "a.b.c.d.e",
        lambda: token(header={"jwk": OTHER.as_dict(private=False)}, key=OTHER),
    ],
)  # fmt: skip
async def test_a_token_that_is_forged_expired_or_for_others_never_holds(
    make: Callable[[], str], tmp_path: Path
) -> None:
    assert await issuer(tmp_path, scope="mail.send").verify(make()) is None


async def test_keys_that_change_are_read_again_and_broken_ones_are_not_taken(tmp_path: Path) -> None:
    id_ = issuer(tmp_path, EC)
    assert await id_.verify(token()) is None
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KeySet([RSA]).as_dict(private=False)))
    assert await id_.verify(token()) is not None
    file.write_text("{")
    assert await id_.verify(token()) is not None  # the last good ones
    with pytest.raises(BackendDown):
        await Issuer("id", id_.settings, tmp_path / "nothing", "", SYSTEM).verify(token())


@asynccontextmanager
async def https(authority: trustme.CA, answers: dict[str, Any], asked: list[str]) -> AsyncIterator[str]:
    """A small HTTPS server that gives the answers by path."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")
            path = lines[0].split(" ")[1]
            size = next((int(one[15:]) for one in lines if one.lower().startswith("content-length:")), 0)
            form = (await reader.readexactly(size)).decode()
            asked.append(f"{path} {form} {next((one for one in lines if one.lower().startswith('authorization')), '')}")
            body = json.dumps(answers[path]).encode() if path in answers else b"no"
            status = "200 OK" if path in answers else "503 Not now"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(serving, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_keys_come_over_https_are_kept_and_looked_for_once_when_they_change(
    authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    answers: dict[str, Any] = {"/keys": KeySet([RSA]).as_dict(private=False)}
    asked: list[str] = []
    async with https(authority, answers, asked) as url:
        more = {"domains": ("*",), "issuer": ISSUER, "audience": "mail"}
        ca = str(tmp_path / "ca.pem")
        one = Issuer("id", Settings(**more, jwks=f"{url}/keys", ca=ca), None, "", SYSTEM)  # type: ignore[arg-type] # settings
        for _ in range(3):
            assert await one.verify(token()) is not None
        for _ in range(3):
            assert await one.verify(token(header={"kid": "new"})) is None
        assert len(asked) == 1  # an unknown key does not make everybody ask at once
        down = Issuer("id", Settings(**more, jwks=f"{url}/nothing", ca=ca), None, "", SYSTEM)  # type: ignore[arg-type] # settings
        with pytest.raises(BackendDown, match="503"):
            await down.verify(token())
        stranger = Issuer("id", Settings(**more, jwks=f"{url}/keys"), None, "", SYSTEM)  # type: ignore[arg-type] # settings
        with pytest.raises(BackendDown):
            await stranger.verify(token())  # not a certificate that we trust
        for issuer_ in (one, down, stranger):
            await issuer_.close()


async def test_an_introspection_endpoint_is_asked_and_believed_only_whole(
    authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    asked: list[str] = []
    good = {"active": True, "aud": "mail", "email": AMAL, "exp": time.time() + 60}
    answers: dict[str, Any] = {"/ask": good}
    async with https(authority, answers, asked) as url:
        settings = Settings(
            domains=("*",), issuer=ISSUER, audience="mail", introspection=f"{url}/ask", client_id="relay",
            secret_file="x", ca=str(tmp_path / "ca.pem"),
        )  # fmt: skip
        one = Issuer("id", settings, None, "hush", SYSTEM)
        found = await one.verify("opaque-token")
        assert isinstance(found, Known)
        basic = base64.b64encode(b"relay:hush").decode()
        assert asked == [f"/ask token=opaque-token Authorization: Basic {basic}"]
        for wrong in ({"active": False}, good | {"active": "true"}, good | {"active": 1}, good | {"aud": "other"}, [],
                      {"active": True, "email": AMAL}, good | {"iss": "https://else"}, good | {"exp": 1}):  # fmt: skip
            answers["/ask"] = wrong
            assert await one.verify("opaque-token") is None, wrong
        del answers["/ask"]
        with pytest.raises(BackendDown):
            await one.verify("opaque-token")
        await one.close()


def test_the_two_framings_are_read() -> None:
    oauth = b"n,a=amal@finance.saba.example,\x01host=mx\x01port=587\x01auth=Bearer abc.def\x01\x01"
    assert tokens.read_oauthbearer(oauth) == Bearer(AMAL, "abc.def")
    assert tokens.read_oauthbearer(b"n,,\x01auth=bearer abc\x01\x01") == Bearer("", "abc")
    assert tokens.read_xoauth2(b"user=amal@finance.saba.example\x01auth=Bearer abc\x01\x01") == Bearer(AMAL, "abc")
    for wrong in (b"", b"n,,\x01\x01", b"n,,\x01auth=Basic abc\x01\x01", b"n,,\x01auth=Bearer a b\x01\x01", b"\xff",
                  b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01", b"n,,\x01auth=Bearer abc\x01"):  # fmt: skip
        with pytest.raises(ValueError):  # noqa: PT011 - each is another one
            tokens.read_oauthbearer(wrong)
    with pytest.raises(ValueError, match="XOAUTH2"):
        tokens.read_xoauth2(b"auth=Bearer abc\x01\x01")
