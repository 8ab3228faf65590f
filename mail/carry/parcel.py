"""A parcel: what is handed to a next hop, and for whom. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Addressee:
    """A recipient as it was accepted: the raw address, and NOTIFY and ORCPT as the client wrote them (RFC 3461)."""

    address: bytes
    notify: str | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """What goes over the wire: `content` is the whole message with CRLF line ends, not yet dot-stuffed."""

    sender: bytes
    recipients: tuple[Addressee, ...]
    content: bytes
    body: str = "7BIT"
    utf8: bool = False  # whether an address or the header needs SMTPUTF8 (RFC 6531)
    ret: str | None = None
    envid: str | None = None
    requiretls: bool = False  # only by verified TLS, to who offers REQUIRETLS (RFC 8689)
