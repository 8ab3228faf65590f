"""Serves the set-up of mail programs over HTTPS, to anybody: GET only, names of the registry only, nothing reflected.

autoconfig.DOMAIN/mail/config-v1.1.xml, DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml (Thunderbird and its kin),
autoconfig.DOMAIN/apple/mail.mobileconfig?emailaddress=… (Apple). It tells of a body what its DNS records tell, and of
an address nothing: whether an account exists makes no difference.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from hudhud import log, tls
from hudhud.entity import Registry, a_label
from hudhud.live import Live
from hudhud.registry import parse_registry
from hudhud.settings import Settings, split_address
from mail.envelope import PathError, parse_path
from mail.live import trust_of
from mail.setup import documents
from mail.setup.ways import PREFIX, Ways, ways

MAX_CONNECTIONS: Final = 100  # at once; the next is answered 503
MAX_QUERY: Final = 1024  # octets
LIFE_S: Final = 10.0  # seconds of one connection, whatever it sends or reads
WELL_KNOWN: Final = "/.well-known/autoconfig/mail/config-v1.1.xml"
THUNDERBIRD: Final = "/mail/config-v1.1.xml"
APPLE: Final = "/apple/mail.mobileconfig"
_HEADERS: Final = {
    "Cache-Control": "max-age=3600",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Strict-Transport-Security": "max-age=31536000",
    "Connection": "close",
}

_log = log.get(__name__)


class _No(Exception):  # noqa: N818 - an answer
    """Answered with this status and not a word more."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Signing:
    """What profiles are signed with, as PEM."""

    certificate: bytes
    key: bytes


class Setup:
    """`registry` gives the live one. `counts` counts answers by document, and refusals by status."""

    def __init__(self, registry: Callable[[], Registry], settings: Settings) -> None:
        self._registry, self._settings = registry, settings
        self.counts: Counter[str] = Counter()
        self.app = Starlette(
            routes=[
                Route(WELL_KNOWN, self._answering("thunderbird", self._thunderbird)),
                Route(THUNDERBIRD, self._answering("thunderbird", self._thunderbird)),
                Route(APPLE, self._answering("apple", self._apple)),
            ]
        )
        self.app.router.redirect_slashes = False  # it would say the Host header again

    def config(self) -> uvicorn.Config:
        """How uvicorn serves it: tls/setup.pem where there is one (its names are the bodies'), else the relay's own."""
        host, port = split_address(self._settings.relay.setup)

        def context(_config: object, _default: object) -> Any:
            return tls.server_context(*_certificate(self._settings))

        return uvicorn.Config(
            self.app,
            host=host,
            port=port,
            ssl_context_factory=context,
            http=Brief,
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=8192,
            timeout_keep_alive=1,
            timeout_graceful_shutdown=2,
        )

    def _answering(self, name: str, answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def route(request: Request) -> Response:
            try:
                response = await asyncio.to_thread(answer, request)
                self.counts[name] += 1
            except _No as no:
                self.counts[str(no.status)] += 1
                response = Response(status_code=no.status)
            response.headers.update(_HEADERS)
            return response

        return route

    def _thunderbird(self, request: Request) -> Response:
        of, _ = self._asked(request)
        content = documents.thunderbird(of)
        if content is None:
            raise _No(404)
        return Response(content, media_type="application/xml")

    def _apple(self, request: Request) -> Response:
        of, address = self._asked(request)
        if not address:
            raise _No(400)
        content = documents.apple(of, address)
        if content is None:
            raise _No(404)
        certificate, key = _certificate(self._settings)
        content = documents.signed(content, certificate.read_bytes(), key.read_bytes())
        headers = {"Content-Disposition": f'attachment; filename="{of.domain}.mobileconfig"'}
        return Response(content, media_type="application/x-apple-aspen-config", headers=headers)

    def _asked(self, request: Request) -> tuple[Ways, str]:
        """The domain that is asked about, by the Host header, and the address, "" for none; both of the registry."""
        host, address = _host(request), _address(request)
        mine = address.rpartition("@")[2]
        if host == self._settings.relay.hostname and mine:
            domain = mine
        elif host.startswith(f"{PREFIX}."):
            domain = host.removeprefix(f"{PREFIX}.")
        else:
            domain = host if request.url.path == WELL_KNOWN else ""
        registry = self._registry()
        entity = registry.by_domain(domain) if domain else None
        if entity is None or domain not in entity.domains:
            raise _No(421)  # RFC 9110 section 15.5.20: misdirected
        if mine and mine != domain:
            raise _No(400)
        return ways(entity, domain, self._settings.relay), address


def _host(request: Request) -> str:
    """The Host header without its port, in lower case; exactly one."""
    given = request.headers.getlist("host")
    if len(given) != 1 or len(given[0]) > 260:
        raise _No(400)
    name, _, port = given[0].partition(":")
    if port and not port.isdecimal():
        raise _No(400)
    try:
        return a_label(name)
    except ValueError:
        raise _No(400) from None


def _address(request: Request) -> str:
    """The query's e-mail address in our form; "" where there is none."""
    query = request.scope["query_string"]
    if len(query) > MAX_QUERY:
        raise _No(414)
    try:
        asked = dict(parse_qsl(query.decode("ascii"), strict_parsing=False, errors="strict", max_num_fields=10))
        given = parse_path(asked.get("emailaddress", "").encode(), smtputf8=True)
    except (ValueError, PathError):
        raise _No(400) from None
    if given and (not given.local.isprintable() or '"' in given.text):
        raise _No(400)
    return f"{given.local}@{given.domain}" if given else ""


def _certificate(settings: Settings) -> tuple[Path, Path]:
    own = settings.path("tls", "setup.pem"), settings.path("tls", "setup.key")
    return own if own[0].exists() else (settings.path("tls", "relay.pem"), settings.path("tls", "relay.key"))


class Brief(H11Protocol):
    """A connection that lives LIFE_S at most, so that a slow one keeps nobody else out for long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._end_of_life = self.loop.call_later(LIFE_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_of_life.cancel()
        super().connection_lost(exc)


def live_registry(settings: Settings) -> Callable[[], Registry]:
    """The registry that is live, looked at when it is asked for. ReleaseError where none ever was good."""
    folder = settings.path(settings.releases.folder)
    live = Live(
        folder, "registry", trust_of(settings), lambda release: parse_registry(release.files, version=release.digest)
    )

    def now() -> Registry:
        live.refresh()
        return live.value

    return now
