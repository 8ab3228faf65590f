"""The server's X.509 certificate as ECS fields (RFC 5280). Loads `cryptography` when the first one comes."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from hudhud.event import Value

MAX_NAMES = 50  # alternative names shown


def fields(chain: list[bytes]) -> dict[str, Value]:
    """The fields of the first certificate of a chain; hashes even where it cannot be read."""
    if not chain or not chain[0]:
        return {}
    return dict(_fields(chain[0]))


@lru_cache(maxsize=512)
def _fields(der: bytes) -> tuple[tuple[str, Value], ...]:
    found: dict[str, Value] = {
        "tls.server.hash.sha256": hashlib.sha256(der).hexdigest().upper(),
        "tls.server.hash.sha1": hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
    }
    try:
        found.update(_read(der))
    except Exception:
        found["hudhud.tls.certificate_damaged"] = True
    return tuple(found.items())


def _read(der: bytes) -> dict[str, Value]:
    import warnings

    from cryptography import x509

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        certificate = x509.load_der_x509_certificate(der)
        found: dict[str, Value] = {
            "tls.server.subject": certificate.subject.rfc4514_string(),
            "tls.server.issuer": certificate.issuer.rfc4514_string(),
            "tls.server.not_before": certificate.not_valid_before_utc.isoformat().replace("+00:00", "Z"),
            "tls.server.not_after": certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
            "tls.server.x509.serial_number": f"{certificate.serial_number:X}",
        }
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found["tls.server.x509.alternative_names"] = names.get_values_for_type(x509.DNSName)[:MAX_NAMES]
        except (x509.ExtensionNotFound, ValueError):
            pass
    return found
