"""LDAP: binds as the person who logs in, after a search or by a template. The one door to ldap3, in threads.

RFC 4511, 4513, 4515. What the person typed goes into a filter or DN escaped; an empty password never comes here (it
would be an "unauthenticated" bind, which succeeds).
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal
from urllib.parse import urlsplit

import ldap3
from ldap3.core.exceptions import LDAPException

from hudhud import log
from hudhud.settings import Directory as Settings
from mail.accounts import normal
from mail.proof.known import Asked, BackendDown, Exchange, Known, NotOffered

# RFC 4511 section 4.1.9: constraintViolation (locked), noSuchObject, invalidDNSyntax, inappropriateAuthentication,
# invalidCredentials, insufficientAccessRights, unwillingToPerform (disabled): the answer to this person is no.
NO: Final = frozenset({19, 32, 34, 48, 49, 50, 53})
MAX_ADDRESSES: Final = 100  # of one entry

_PLACE = re.compile(r"\{(address|local|domain)\}")
Scope = Literal["BASE", "SUBTREE"]
_log = log.get(__name__)


class Directory:
    """One or more equal servers; which of them answered last is asked first."""

    mechanisms: frozenset[str] = frozenset()

    def __init__(self, name: str, settings: Settings, password: bytes | None) -> None:
        self.name, self._settings, self._password = f"ldap.{name}", settings, password
        self._threads = ThreadPoolExecutor(settings.max_connections, "ldap")
        self._servers = [self._server(url) for url in settings.urls]
        template = settings.dn or settings.filter  # by {local} alone, amal@a would be amal@b
        self._pinned = "{address}" in template or ("{local}" in template and "{domain}" in template)

    async def verify(self, asked: Asked, password: bytes) -> Known | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await loop.run_in_executor(self._threads, self._any, asked.address, password)
        except TimeoutError:
            raise BackendDown(self.name, f"no answer within {self._settings.timeout_s:g} s") from None

    async def exchange(self, mechanism: str, asked: Asked, *, main: bool = True) -> Exchange:
        raise NotOffered

    async def look(self) -> None:
        """Whether a server answers and lets us search; BackendDown."""
        await self.verify(Asked(f"nobody-{secrets.token_hex(8)}@invalid", None, ""), secrets.token_hex(16).encode())

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    # in a thread

    def _any(self, address: str, password: bytes) -> Known | None:
        problems = []
        for server in tuple(self._servers):
            try:
                answer = self._ask(server, address, password)
            except Exception as error:  # whatever a library that speaks to a stranger raises is no answer
                problems.append(f"{server.host}: {str(error) or type(error).__name__}")
            else:
                if server is not self._servers[0]:
                    self._servers = [server, *(one for one in self._servers if one is not server)]
                return answer
        raise BackendDown(self.name, "; ".join(problems))

    def _ask(self, server: ldap3.Server, address: str, password: bytes) -> Known | None:
        settings = self._settings
        connection = ldap3.Connection(
            server, client_strategy=ldap3.SYNC, read_only=True, check_names=False, auto_referrals=False,
            receive_timeout=math.ceil(settings.timeout_s), raise_exceptions=False,
        )  # fmt: skip
        try:
            connection.open(read_server_info=False)
            if not server.ssl and settings.starttls and not connection.start_tls(read_server_info=False):
                raise LDAPException(f"no StartTLS: {_said(connection)}")
            dn, found = self._look_up(connection, address)
            if not _bind(connection, dn or f"cn=nobody-{secrets.token_hex(4)},{settings.base}", password) or not dn:
                return None
            if settings.dn:
                found = next(iter(self._read(connection, dn, "BASE", "(objectClass=*)").values()), frozenset())
            if not self._pinned and address not in found:
                _log.error("an entry does not say that the address is its own", backend=self.name, address=address)
                return None
            return Known(address, found)
        finally:
            connection.unbind()

    def _look_up(self, connection: ldap3.Connection, address: str) -> tuple[str, frozenset[str]]:
        """The DN to bind as ("" where nobody has that address), and the addresses of its entry."""
        settings = self._settings
        if settings.dn:
            return _filled(settings.dn, address), frozenset()
        if settings.bind_dn and not _bind(connection, settings.bind_dn, self._password or b""):
            raise LDAPException(f"{settings.bind_dn} may not bind: {_said(connection)}")
        asked = _filled(settings.filter, address)
        entries = self._read(connection, settings.base, "SUBTREE", asked)
        if len(entries) > 1:
            _log.error("several entries have one address", backend=self.name, filter=settings.filter)
            return "", frozenset()
        return next(iter(entries.items()), ("", frozenset()))

    def _read(self, connection: ldap3.Connection, base: str, scope: Scope, asked: str) -> dict[str, frozenset[str]]:
        settings = self._settings
        seconds = max(1, int(settings.timeout_s))
        connection.search(
            base, asked, scope, attributes=list(settings.addresses), size_limit=2, time_limit=seconds
        )  # fmt: skip
        if connection.result["result"] not in (0, 4, 32):  # done, more than size_limit, no such base
            raise LDAPException(f"no search: {_said(connection)}")
        entries = [one for one in connection.response or () if one["type"] == "searchResEntry"]
        return {one["dn"]: _addresses(one["raw_attributes"]) for one in entries}

    def _server(self, url: str) -> ldap3.Server:
        parts = urlsplit(url)
        host = parts.hostname or ""
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=self._settings.ca or None, sni=host)
        implicit = parts.scheme == "ldaps"
        return ldap3.Server(
            host, port=parts.port or (636 if implicit else 389), use_ssl=implicit, tls=tls, get_info=ldap3.NONE,
            connect_timeout=self._settings.timeout_s,
        )  # fmt: skip


def _bind(connection: ldap3.Connection, dn: str, password: bytes) -> bool:
    if connection.rebind(user=dn, password=password, authentication=ldap3.SIMPLE, read_server_info=False):
        return True
    if connection.result["result"] in NO:
        return False
    raise LDAPException(f"no bind: {_said(connection)}")


def _said(connection: ldap3.Connection) -> str:
    result = connection.result or {}
    return f"{result.get('description', '')} {result.get('message', '')}".strip()


def _filled(template: str, address: str) -> str:
    """The template with what was typed in it, escaped as both a DN (RFC 4514) and a filter (RFC 4515) read it."""
    local, _, domain = address.rpartition("@")
    values = {"address": address, "local": local, "domain": domain}
    return _PLACE.sub(lambda found: _escaped(values[found[1]]), template)


def _escaped(text: str) -> str:
    """Every octet but a few harmless ones by its number."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@.-_"
    return "".join(chr(octet) if octet in plain else f"\\{octet:02x}" for octet in text.encode())


def _addresses(attributes: dict[str, list[bytes]]) -> frozenset[str]:
    """What is an address among the values; Active Directory's proxyAddresses begin with "smtp:"."""
    found = set()
    for value in [one for values in attributes.values() for one in values][:MAX_ADDRESSES]:
        text = value.decode("utf-8", "replace")
        try:
            found.add(normal(text[5:] if text[:5].lower() == "smtp:" else text))
        except ValueError:
            continue
    return frozenset(found)
