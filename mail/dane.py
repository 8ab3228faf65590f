"""DANE for SMTP: which TLSA records count for a mail host, and whether a certificate chain fits them.

RFC 6698, 7671, 7672. Usages 2 (DANE-TA) and 3 (DANE-EE) count; 0 and 1 do not in SMTP (RFC 7672 section 3.1.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from mail.dns import Resolver, canonical, failed

MAX_CHAIN = 10  # certificates that are looked at
_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}


class NotKnown(Exception):  # noqa: N818 - a state of the world
    """The DNS does not say whether there are records: the host counts as unreachable (RFC 7672 section 2.1.1)."""


@dataclass(frozen=True, slots=True)
class Tlsa:
    """A usable record: `usage` 2 or 3, `selector` 0 (certificate) or 1 (key), `matching` 0 (whole), 1 or 2 (hash)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def matches(self, certificate: x509.Certificate) -> bool:
        """RFC 6698 section 2.1."""
        if self.selector == 0:
            seen = certificate.public_bytes(Encoding.DER)
        else:
            seen = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        digest = _DIGESTS.get(self.matching)
        return self.data == (digest(seen).digest() if digest else seen)


async def records(names: Resolver, host: str, port: int) -> tuple[Tlsa, ...] | None:
    """The usable records of a mail host, () where it has only others; None without validated ones; NotKnown.

    Only where the host's own address was validated (RFC 7672 section 2.2.2), at the end of its aliases first.
    """
    four, six = await names.proven(host, "A"), await names.proven(host, "AAAA")
    proof = four if four.secure else six
    if not proof.secure:
        return None
    for base in dict.fromkeys((proof.name or canonical(host), canonical(host))):
        found = await names.proven(f"_{port}._tcp.{base}", "TLSA")
        if failed(found.answer):
            raise NotKnown(f"the DNS does not answer for the TLSA records of {base}")
        if found.secure and found.answer and not isinstance(found.answer, str):
            return usable(found.answer)
    return None


def usable(texts: Iterable[str]) -> tuple[Tlsa, ...]:
    """Records as "3 1 1 0123ab…" that a client can use."""
    return tuple(record for text in texts if (record := _read(text)) is not None)


def _read(text: str) -> Tlsa | None:
    words = text.split()
    try:
        usage, selector, matching = map(int, words[:3])
        data = bytes.fromhex("".join(words[3:]))
    except ValueError:
        return None
    length = {0: len(data), 1: 32, 2: 64}.get(matching)
    if usage not in (2, 3) or selector not in (0, 1) or not data or len(data) != length:
        return None
    return Tlsa(usage, selector, matching, data)


def mismatch(chain: Sequence[bytes], records: Sequence[Tlsa], names: Sequence[str], now: datetime) -> str:
    """Why the chain (DER, the server's own first) does not fit; "" where it does.

    `names`: one of them must be on the certificate where an authority vouches for it (RFC 7672 section 3.2.2); with
    DANE-EE neither names nor dates count (section 3.1.1).
    """
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in chain[:MAX_CHAIN]]
    except ValueError as error:
        return f"its certificate cannot be read: {error}"
    if not certificates:
        return "it showed no certificate"
    if any(one.usage == 3 and one.matches(certificates[0]) for one in records):
        return ""
    anchors = [c for c in certificates[1:] for one in records if one.usage == 2 and one.matches(c)]
    anchors += [given for one in records if (given := _given(one)) is not None]
    if not anchors:
        return "its certificate fits none of its TLSA records"
    problem = ""
    for name in names:
        problem = _verify(certificates, anchors, name, now)
        if not problem:
            return ""
    return problem or "no name to look for"


def _given(record: Tlsa) -> x509.Certificate | None:
    """The authority that the record itself holds (2 0 0)."""
    if (record.usage, record.selector, record.matching) != (2, 0, 0):
        return None
    try:
        return x509.load_der_x509_certificate(record.data)
    except ValueError:
        return None


def _verify(chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], name: str, now: datetime) -> str:
    free = ExtensionPolicy.permit_all()  # authorities of this kind are their owners' own: no more than a chain needs
    ours = free.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    theirs = free.require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    try:
        builder = PolicyBuilder().store(Store(list(anchors))).time(now.replace(tzinfo=None))
        verifier = builder.extension_policies(ca_policy=ours, ee_policy=theirs).build_server_verifier(
            x509.DNSName(name)
        )
        verifier.verify(chain[0], list(chain[1:]))
    except (VerificationError, ValueError) as error:
        return f"its certificate is not what its TLSA records' authority vouches for: {error}"[:300]
    return ""
