"""Calls a mail host as a stranger from abroad would: TLS, its certificate, and whether it relays for anybody."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from mail.posture.facts import Spoken

SECONDS: Final = 20.0  # for one host
LINE: Final = 4096  # octets
LINES: Final = 100  # of one reply

Dial = Callable[[str, int], tuple[str, int]]


class SmtpCaller:
    """Speaks just enough SMTP (RFC 5321, 3207). `dial` maps an address to where its socket opens (the lab's).

    It never sends a message: the transaction ends after RCPT.
    """

    def __init__(self, helo: str, dial: Dial, *, authorities: str | None = None) -> None:
        self._helo, self._dial, self._authorities = helo, dial, authorities

    async def call(self, host: str, address: str) -> Spoken:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._call(host, *self._dial(address, 25))
        except (OSError, EOFError, ValueError, asyncio.IncompleteReadError) as error:  # TimeoutError is an OSError
            return Spoken(problem=type(error).__name__)

    async def _call(self, host: str, address: str, port: int) -> Spoken:
        reader, writer = await asyncio.open_connection(address, port, limit=LINE)
        try:
            await _reply(reader)
            offers = await _ask(reader, writer, f"EHLO {self._helo}")
            spoken = Spoken(open=None)
            if any(line.upper() == "STARTTLS" for line in offers[1]):
                spoken = await self._secured(host, reader, writer)
            taken = await self._relays(reader, writer)
            return Spoken(spoken.tls, spoken.named, spoken.days, taken)
        finally:
            writer.close()

    async def _secured(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Spoken:
        if (await _ask(reader, writer, "STARTTLS"))[0] != 220:
            return Spoken()
        loose = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        loose.check_hostname, loose.verify_mode = False, ssl.CERT_NONE
        await writer.start_tls(loose, server_hostname=host)
        shown = writer.get_extra_info("ssl_object")
        data = shown.getpeercert(binary_form=True) if shown is not None else None
        version = (shown.version() or "") if shown is not None else ""
        await _ask(reader, writer, f"EHLO {self._helo}")
        if not data:
            return Spoken(version)
        certificate = x509.load_der_x509_certificate(data)
        days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
        return Spoken(version, _names(certificate, host), days)

    async def _relays(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
        """Documentation names (RFC 2606) on both sides, so that nobody could be meant."""
        if (await _ask(reader, writer, "MAIL FROM:<probe@relay-test.example>"))[0] != 250:
            return None
        code, _ = await _ask(reader, writer, "RCPT TO:<probe@elsewhere.example.net>")
        await _ask(reader, writer, "RSET")
        return code in (250, 251)


def _names(certificate: x509.Certificate, host: str) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    return host in known or f"*.{host.partition('.')[2]}" in known


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str) -> tuple[int, list[str]]:
    writer.write(command.encode("ascii") + b"\r\n")
    await writer.drain()
    return await _reply(reader)


async def _reply(reader: asyncio.StreamReader) -> tuple[int, list[str]]:
    lines: list[str] = []
    while len(lines) < LINES:
        line = (await reader.readuntil(b"\n")).decode("ascii", "replace").rstrip("\r\n")
        lines.append(line[4:])
        if line[3:4] != "-":
            return int(line[:3]), lines
    raise ValueError("the reply does not end")
