"""The servers that a body's people use, and the DNS records by which mail programs find them. Pure.

RFC 6186 (SRV), RFC 8314 (TLS from the first octet, so IMAPS and submissions come first), RFC 2782 (a target of "."
says: not offered).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hudhud.entity import Entity
from hudhud.settings import Relay as Settings

PREFIX = "autoconfig"  # of the name that Thunderbird asks for: autoconfig.DOMAIN


@dataclass(frozen=True, slots=True)
class Ways:
    """What one of a body's domains (A-label) is told. `imap` is host and port, TLS from the first octet; or None."""

    domain: str
    name_ar: str
    name_en: str
    code: str
    host: str
    submission: int
    submissions: int
    imap: tuple[str, int] | None

    @property
    def shown(self) -> str:
        """The domain as people write it (U-label); as it is where it has no other form."""
        try:
            return self.domain.encode("ascii").decode("idna")
        except UnicodeError:
            return self.domain


def ways(entity: Entity, domain: str, settings: Settings) -> Ways:
    """Of one domain of the body."""
    imap = (entity.imap.host, entity.imap.port) if entity.imap is not None else None
    host = settings.submission_host or settings.hostname
    return Ways(
        domain,
        entity.name_ar,
        entity.name_en,
        entity.code,
        host,
        settings.submission_port,
        settings.submissions_port,
        imap,
    )


def records(of: Ways) -> Iterator[tuple[str, str, str]]:
    """(name, type, value) to publish, names without the last dot."""
    yield f"_submissions._tcp.{of.domain}", "SRV", f"0 1 {of.submissions} {of.host}."
    yield f"_submission._tcp.{of.domain}", "SRV", f"10 1 {of.submission} {of.host}."
    if of.imap is not None:
        yield f"_imaps._tcp.{of.domain}", "SRV", f"0 1 {of.imap[1]} {of.imap[0]}."
        for service in ("imap", "pop3", "pop3s"):  # RFC 6186 section 3.4: not offered, so do not try
            yield f"_{service}._tcp.{of.domain}", "SRV", "0 0 0 ."
    yield f"{PREFIX}.{of.domain}", "CNAME", f"{of.host}."
