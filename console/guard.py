"""What every answer carries and every form must be: security headers, a capped body, our own origin and paths."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024  # a form of the console; nothing is uploaded

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "strict-transport-security": "max-age=63072000",
    # "no-referrer" would make browsers send "Origin: null" with our own forms (Fetch), and the origin is checked.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "x-robots-tag": "noindex",
}


class Guard:
    """ASGI middleware: sets HEADERS on each answer; pages are never stored unless they say so themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, guarded)


def origin_of(url: str) -> str:
    """The origin (scheme, host, port) of a URL, as browsers write it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def is_ours(headers: Headers) -> bool:
    """Whether a form was sent from a page of the console: what the browser says of its origin, where it says it.

    Sec-Fetch-Site is what the browser itself judged; Origin must name the host that was asked. A client that sends
    neither is no browser, and the form token is what protects then.
    """
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    return origin is None or origin.lower() == f"https://{headers.get('host', '')}".lower()


def safe_path(path: str) -> str:
    """`path` when it is a plain path of this console (query included), else "/": nobody is sent elsewhere."""
    plain = path.isascii() and path.isprintable() and not any(c in path for c in " \\<>\"'@")
    parts = urlsplit(path) if plain else None
    inside = parts is not None and not parts.scheme and not parts.netloc
    return path if inside and path.startswith("/") and not path.startswith("//") and len(path) <= 2000 else "/"
