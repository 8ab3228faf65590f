"""TLS contexts for every listener and client of the house, and the name on a peer's certificate."""

from __future__ import annotations

import ssl
from pathlib import Path


def server_context(cert: Path, key: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """For a listener: TLS 1.2 or newer; with `client_ca`, clients must show a certificate signed by it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: Path, *, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """For a client inside the house: only `ca` is trusted, names are checked; with `cert`, it shows its own."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


def peer_name(ssl_object: ssl.SSLObject | ssl.SSLSocket) -> str:
    """The common name of the client's verified certificate; "" where it showed none."""
    certificate = ssl_object.getpeercert() or {}
    for relative in certificate.get("subject", ()):
        for pair in relative:
            if isinstance(pair, tuple) and pair[0] == "commonName":
                return str(pair[1])
    return ""
