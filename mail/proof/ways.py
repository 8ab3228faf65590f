"""Which back end serves which domain, as [auth] says; built once a worker."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from hudhud import log
from hudhud.clock import Clock
from hudhud.entity import a_label, suffixes
from hudhud.settings import Directory as DirectorySettings
from hudhud.settings import Issuer as IssuerSettings
from hudhud.settings import Settings
from mail.proof import apps
from mail.proof.directory import Directory
from mail.proof.dovecot import Dovecot
from mail.proof.issuer import Issuer
from mail.proof.known import Backend, BackendDown
from mail.proof.local import Local

TOKENS: Final = frozenset({"XOAUTH2", "OAUTHBEARER"})
PASSWORDS: Final = frozenset({"PLAIN", "LOGIN"})

_T = TypeVar("_T")
_S = TypeVar("_S", DirectorySettings, IssuerSettings)
_log = log.get(__name__)


class SecretError(ValueError):
    """A file with a secret that is not there, or that others may read."""


class Ways:
    """The back ends of passwords and the issuers of tokens, by domain; "*" is any other."""

    def __init__(
        self, local: Local, backends: Mapping[str, Backend], issuers: Mapping[str, Issuer], offered: Iterable[str]
    ) -> None:
        self.local, self._backends, self._issuers = local, backends, issuers
        self._offered = tuple(offered)

    def of(self, domain: str) -> Backend:
        """Who knows the passwords of a domain (A-label): the longest that is named, else accounts.toml."""
        return _longest(self._backends, domain) or self.local

    def issuer_of(self, domain: str) -> Issuer | None:
        """Who issues tokens for it."""
        return _longest(self._issuers, domain)

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        return tuple(dict.fromkeys(self._issuers.values()))

    @property
    def all(self) -> tuple[Backend, ...]:
        """Every back end of passwords that serves some domain."""
        named = tuple(dict.fromkeys(self._backends.values()))
        return named if "*" in self._backends else (*named, self.local)

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What EHLO may offer now: what is allowed and some back end can do."""
        able = PASSWORDS.union(*(backend.mechanisms for backend in self.all), TOKENS if self._issuers else ())
        return tuple(name for name in self._offered if name in able)

    async def look(self) -> dict[str, str]:
        """What is wrong with each back end, "" where it answers."""
        found = {}
        everyone: tuple[Backend | Issuer, ...] = (*self.all, *self.issuers)
        for one in everyone:
            look = getattr(one, "look", None)
            try:
                if look is not None:
                    await look()
                found[one.name] = ""
            except BackendDown as error:
                _log.warning("a back end of log-ins does not answer", backend=one.name, problem=error.problem)
                found[one.name] = error.problem
        return found

    async def close(self) -> None:
        everyone: set[Backend | Issuer] = {self.local, *self._backends.values(), *self._issuers.values()}
        await asyncio.gather(*(one.close() for one in everyone))


def build(settings: Settings, clock: Clock, *, salts: bytes | None = None) -> Ways:
    """The ways of [auth]; `salts` instead of the node's secret, else made. SecretError, KeyProblem, OSError."""
    auth = settings.auth
    local = Local(salts or apps.login_secret(settings.path("keys")), clock.now)
    backends: dict[str, Backend] = {}
    for name, directory in auth.ldap.items():
        password = secret(settings, directory.password_file).encode() if directory.password_file else None
        one = Directory(name, _placed(settings, directory), password)
        backends |= dict.fromkeys(map(_domain, directory.domains), one)
    for name, dovecot in auth.dovecot.items():
        placed = msgspec.structs.replace(dovecot, socket=str(settings.path(dovecot.socket)))
        backends |= dict.fromkeys(map(_domain, dovecot.domains), Dovecot(name, placed))
    issuers: dict[str, Issuer] = {}
    for name, issuer in auth.oauth.items():
        remote = not issuer.jwks or "://" in issuer.jwks
        file = None if remote else settings.path(issuer.jwks)
        hidden = secret(settings, issuer.secret_file) if issuer.secret_file else ""
        found = Issuer(name, _placed(settings, issuer), file, hidden, clock)
        issuers |= dict.fromkeys(map(_domain, issuer.domains), found)
    return Ways(local, backends, issuers, auth.mechanisms)


def secret(settings: Settings, name: str) -> str:
    """The first line of a file below `node.data` that only its owner may read. SecretError, without the secret."""
    path = settings.path(name)
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise SecretError(f"{path} is open to others: chmod 600")
        return path.read_text(encoding="utf-8").partition("\n")[0].strip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"{path} cannot be read: {error}") from None


def _longest(found: Mapping[str, _T], domain: str) -> _T | None:
    return next((found[above] for above in (*suffixes(domain), "*") if above in found), None)


def _domain(text: str) -> str:
    return text if text == "*" else a_label(text)


def _placed(settings: Settings, section: _S) -> _S:
    """The section with the path of its CA, which may be relative to `node.data`."""
    return msgspec.structs.replace(section, ca=str(settings.path(section.ca)) if section.ca else "")
