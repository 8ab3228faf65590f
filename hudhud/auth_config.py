"""What can be wrong with [auth] in hudhud.toml that a type cannot say; each with the key that is to blame."""

from __future__ import annotations

import ipaddress
import re
import stat
from collections.abc import Iterator
from urllib.parse import urlsplit

from hudhud.entity import a_label, suffixes
from hudhud.settings import Auth, Directory, Issuer, Settings

ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER")
PLACES = ("address", "local", "domain")

Mistake = tuple[str, str]  # key, what is wrong


def mistakes(auth: Auth) -> Iterator[Mistake]:
    """Pure. What stands in the file and cannot work."""
    for index, name in enumerate(auth.mechanisms):
        if name not in MECHANISMS:
            yield f"auth.mechanisms[{index}]", f"is {name!r}, expected one of {', '.join(MECHANISMS)}"
    if not auth.mechanisms:
        yield "auth.mechanisms", "is empty: nobody could log in"
    if auth.max_waiting < 1:
        yield "auth.max_waiting", f"is {auth.max_waiting}, expected at least 1"
    if auth.session_s < 1:
        yield "auth.session_s", f"is {auth.session_s:g}, expected at least 1 (second)"
    passwords = {f"auth.ldap.{name}": one.domains for name, one in auth.ldap.items()}
    passwords |= {f"auth.dovecot.{name}": one.domains for name, one in auth.dovecot.items()}
    yield from _domains(passwords)
    yield from _domains({f"auth.oauth.{name}": one.domains for name, one in auth.oauth.items()})
    for name, directory in auth.ldap.items():
        yield from _directory(f"auth.ldap.{name}", directory)
    for name, dovecot in auth.dovecot.items():
        if not dovecot.socket:
            yield f"auth.dovecot.{name}.socket", "is empty; write the path of Dovecot's auth-client socket"
        yield from _amounts(f"auth.dovecot.{name}", timeout_s=dovecot.timeout_s, max_pending=dovecot.max_pending)
    for name, issuer in auth.oauth.items():
        yield from _issuer(f"auth.oauth.{name}", issuer)


def file_mistakes(settings: Settings) -> Iterator[Mistake]:
    """What the files that [auth] names lack, on this machine. Never shows what is in them."""
    auth = settings.auth
    secrets = [(f"auth.ldap.{name}.password_file", one.password_file) for name, one in auth.ldap.items()]
    secrets += [(f"auth.oauth.{name}.secret_file", one.secret_file) for name, one in auth.oauth.items()]
    others = [(f"auth.ldap.{name}.ca", one.ca) for name, one in auth.ldap.items()]
    others += [(f"auth.oauth.{name}.ca", one.ca) for name, one in auth.oauth.items()]
    others += [(f"auth.oauth.{name}.jwks", one.jwks) for name, one in auth.oauth.items() if "://" not in one.jwks]
    for key, name in (*secrets, *others):
        if not name:
            continue
        path = settings.path(name)
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError as error:
            yield key, f"{path} cannot be read: {error.strerror}"
            continue
        if (key, name) in secrets and mode & 0o077:
            yield key, f"{path} is open to others (mode {mode:04o}); chmod 600"


def _domains(tables: dict[str, tuple[str, ...]]) -> Iterator[Mistake]:
    taken: dict[str, str] = {}
    for key, domains in tables.items():
        if not domains:
            yield f"{key}.domains", 'is empty; name the domains that it serves, or "*" for all others'
        for text in domains:
            try:
                domain = text if text == "*" else a_label(text)
            except ValueError as error:
                yield f"{key}.domains", str(error)
                continue
            if domain in taken:
                yield f"{key}.domains", f"{text} is served by {taken[domain]} already"
            taken[domain] = key


def _directory(key: str, one: Directory) -> Iterator[Mistake]:
    if not one.urls:
        yield f"{key}.urls", "is empty; write for example ldaps://dc1.finance.saba.example"
    for url in one.urls:
        parts = _parts(url)
        if parts is None or parts[0] not in ("ldap", "ldaps") or not parts[1]:
            yield f"{key}.urls", f"{url!r} is no ldap:// or ldaps:// address"
        elif parts[0] == "ldap" and not one.starttls and not _loopback(parts[1]):
            yield f"{key}.starttls", f"is false, but {url} is no loopback address: passwords would pass in clear"
    if bool(one.dn) == bool(one.base):
        yield f"{key}.dn", "write either dn (whom to bind as) or base (where to search), not both"
    for name, template in (("dn", one.dn), ("filter", one.filter if one.base else "")):
        yield from _template(f"{key}.{name}", template)
    if one.base and not _balanced(one.filter):
        yield f"{key}.filter", f"{one.filter!r} is no filter (RFC 4515): its brackets do not match"
    if bool(one.bind_dn) != bool(one.password_file):
        yield f"{key}.bind_dn", "needs password_file, and the other way round; without both the search is anonymous"
    yield from _amounts(key, timeout_s=one.timeout_s, max_connections=one.max_connections)


def _template(key: str, template: str) -> Iterator[Mistake]:
    places = re.findall(r"\{([^{}]*)\}", template)
    if unknown := [place for place in places if place not in PLACES]:
        yield key, f"{{{unknown[0]}}} is not known; known: {', '.join(f'{{{place}}}' for place in PLACES)}"
    elif template and not {"address", "local"} & set(places):
        yield key, "lacks {address} or {local}: everybody would be the same person"


def _issuer(key: str, one: Issuer) -> Iterator[Mistake]:
    for name in ("issuer", "audience", "claim"):
        if not getattr(one, name):
            yield f"{key}.{name}", "is empty"
    if bool(one.jwks) == bool(one.introspection):
        yield (
            f"{key}.jwks",
            "write either jwks (a token is checked here) or introspection (it is asked about), not both",
        )
    if one.introspection and not (one.client_id and one.secret_file):
        yield f"{key}.introspection", "needs client_id and secret_file"
    for name, url in (("jwks", one.jwks if "://" in one.jwks else ""), ("introspection", one.introspection)):
        if url and not _private(url):
            yield f"{key}.{name}", f"{url!r} is no https address"
    for name in one.algorithms:
        if name not in ASYMMETRIC:
            yield f"{key}.algorithms", f"{name!r} is none that an issuer alone can sign with: {', '.join(ASYMMETRIC)}"
    if not one.algorithms:
        yield f"{key}.algorithms", "is empty: no token could hold"
    if not 0 <= one.leeway_s <= 600:
        yield f"{key}.leeway_s", f"is {one.leeway_s:g}, expected 0 to 600 (seconds)"
    yield from _amounts(key, timeout_s=one.timeout_s, refresh_s=one.refresh_s)


def _amounts(key: str, **amounts: float) -> Iterator[Mistake]:
    for name, value in amounts.items():
        if value <= 0:
            yield f"{key}.{name}", f"is {value:g}, expected more than 0"


def _private(url: str) -> bool:
    """Whether nobody on the way can read what is sent there."""
    parts = _parts(url)
    return parts is not None and (parts[0] == "https" or (parts[0] == "http" and _loopback(parts[1])))


def _parts(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or ""
    except ValueError:
        return None


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0 and text.startswith("(") and text.endswith(")")


def served_by(auth: Auth, domain: str) -> str:
    """The table that says who knows the passwords of a domain (A-label), as "ldap.fin"; "" is accounts.toml. Pure."""
    named = {f"ldap.{name}": one.domains for name, one in auth.ldap.items()}
    named |= {f"dovecot.{name}": one.domains for name, one in auth.dovecot.items()}
    tables = {text if text == "*" else a_label(text): name for name, domains in named.items() for text in domains}
    return next((tables[above] for above in (*suffixes(domain), "*") if above in tables), "")
