"""Bearer tokens: their two framings in SASL (RFC 7628, XOAUTH2) and the check of a JWT. The one door to joserfc. Pure.

RFC 7519, 8725: only asymmetric algorithms that the settings list, the key is the issuer's own, and issuer, audience and
expiry must be there and right.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from hudhud.settings import Issuer as Settings

MAX_TOKEN: Final = 8192  # octets
TYPES: Final = frozenset({"", "jwt", "at+jwt", "application/at+jwt", "application/jwt"})  # RFC 9068; others mean others

_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")


class TokenError(ValueError):
    """A token that does not hold, and why: for our log."""


class UnknownKey(TokenError):  # noqa: N818 - a kind of TokenError
    """The issuer's keys as we have them lack the one that signed: they may have changed."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a client said: who it says it is ("" where it leaves that to the token), and the token."""

    user: str
    token: str


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token it is, and until when it holds."""

    address: str
    until: datetime


def read_oauthbearer(message: bytes) -> Bearer:
    """RFC 7628 section 3.1: gs2-header, then key=value pairs between octets 1. ValueError."""
    header, *pairs = message.decode("utf-8").split("\x01")
    found = re.fullmatch(r"(?:n|y),(?:a=([^,]*))?,", header)
    if found is None or pairs[-2:] != ["", ""]:
        raise ValueError("not an OAUTHBEARER message")
    return Bearer((found[1] or "").replace("=2C", ",").replace("=3D", "="), _token(pairs))


def read_xoauth2(message: bytes) -> Bearer:
    """Google's and Microsoft's XOAUTH2: user=, auth=, each ended by an octet 1, and one more. ValueError."""
    first, *pairs = message.decode("utf-8").split("\x01")
    if not first.startswith("user=") or pairs[-2:] != ["", ""]:
        raise ValueError("not an XOAUTH2 message")
    return Bearer(first[5:], _token(pairs))


def refusal(mechanism: str, settings: Settings | None) -> bytes:
    """The JSON that says to a mail program why: its next answer is empty, and then comes the 535."""
    scope = {"scope": settings.scope} if settings is not None and settings.scope else {}
    if mechanism == "XOAUTH2":
        return json.dumps({"status": "401", "schemes": "bearer", **scope}).encode()
    where = settings.issuer.rstrip("/") + "/.well-known/openid-configuration" if settings is not None else ""
    return json.dumps(
        {"status": "invalid_token", **scope, **({"openid-configuration": where} if where else {})}
    ).encode()


def read_keys(data: bytes) -> KeySet:
    """A JWK set (RFC 7517); ValueError. Symmetric keys in it are of no use here: no algorithm may take them."""
    try:
        return KeySet.import_key_set(json.loads(data))
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no JWK set: {error}") from None


def verify(token: str, keys: KeySet, settings: Settings, now: datetime) -> Holder:
    """Whose JWT it is; TokenError, and UnknownKey where newer keys may help."""
    registry = JWSRegistry(algorithms=settings.algorithms, strict_check_header=False)
    try:
        found = jwt.decode(token, keys, algorithms=list(settings.algorithms), registry=registry)
    except InvalidKeyIdError as error:
        raise UnknownKey(str(error)) from None
    except (JoseError, ValueError, TypeError) as error:
        raise TokenError(str(error)) from None
    if str(found.header.get("typ", "")).lower() not in TYPES:
        raise TokenError(f"a {found.header['typ']} is no access token")
    return check(found.claims, settings, now)


def check(claims: dict[str, object], settings: Settings, now: datetime) -> Holder:
    """Whose token has these claims, of a verified JWT or of an introspection; TokenError."""
    names = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=int(settings.leeway_s),
        iss={"essential": True, "value": settings.issuer},
        aud={"essential": True, "value": settings.audience},
        exp={"essential": True},
    )
    try:
        names.validate(claims)
    except JoseError as error:
        raise TokenError(str(error)) from None
    scopes = str(claims.get("scope") or claims.get("scp") or "").split()
    if settings.scope and settings.scope not in scopes:
        raise TokenError(f"lacks the scope {settings.scope}")
    address = claims.get(settings.claim)
    if not isinstance(address, str) or not address:
        raise TokenError(f"has no claim {settings.claim}")
    if settings.claim == "email" and claims.get("email_verified") in (False, "false"):
        raise TokenError("its e-mail address is not verified")
    ends = claims["exp"]
    assert isinstance(ends, int | float)
    return Holder(address, datetime.fromtimestamp(min(float(ends), 4e9), UTC))


def _token(pairs: list[str]) -> str:
    found = [_BEARER.fullmatch(pair[5:]) for pair in pairs if pair.startswith("auth=")]
    if len(found) != 1 or found[0] is None or len(found[0][1]) > MAX_TOKEN:
        raise ValueError("no bearer token")
    return found[0][1]
