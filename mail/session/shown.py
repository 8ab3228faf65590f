"""TLS for listeners that ask a client for its certificate, and take any or none. The one door to OpenSSL.

The standard library can ask only if it may hang up on what it cannot verify. Mail servers abroad show certificates of
authorities that we do not know, or made for another purpose; mail programs show whatever their system offers: none of
them may lose its mail by our asking. So here every certificate is taken, and what was shown is for others to judge.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL, crypto

CHUNK: Final = 64 * 1024  # octets moved at once between OpenSSL and the loop
RECORD_HEADER: Final = 5  # octets: type, version, length (RFC 8446 section 5.1)
CIPHERS: Final = b"DEFAULT:!aNULL:!eNULL:!MD5:!3DES:!RC4:!PSK:!SRP:!aDSS:@SECLEVEL=2"


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate that a client has shown, and the key of which it has: `fingerprint` is SHA-256 in hex digits.

    `names` are its host names and common name in lower case, none where it was not verified up to our authority.
    """

    fingerprint: str
    names: tuple[str, ...] = ()


class Asking(ssl.SSLContext):
    """A listener's context. While `ask` says so, clients are asked; else it is the standard library's own."""

    def __new__(cls, *_: object) -> Asking:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, cert: Path, key: Path, authority: Path | None, ask: Callable[[], bool]) -> None:
        """PEM files; `authority` signs the certificates whose names count."""
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        self.load_cert_chain(cert, key)
        self._ask = ask
        self._asking = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._asking.set_min_proto_version(SSL.TLS1_2_VERSION)
        self._asking.set_cipher_list(CIPHERS)
        self._asking.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
        self._asking.set_options(SSL.OP_NO_TICKET)  # what was verified is not kept in a ticket
        self._asking.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self._asking.use_certificate_chain_file(str(cert))
        self._asking.use_privatekey_file(str(key))
        if authority is not None:
            self._asking.load_verify_locations(str(authority))
            # who has none of these need not offer any: programs ask their user for it otherwise
            self._asking.load_client_ca(os.fsencode(authority))
        self._asking.set_verify(SSL.VERIFY_PEER, _take_any)

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool = False, *more: Any, **named: Any
    ) -> Any:
        """What asyncio and uvloop ask of a context; TLS itself is theirs."""
        if not server_side or not self._ask():
            return super().wrap_bio(incoming, outgoing, server_side, *more, **named)
        return _Session(SSL.Connection(self._asking, None), incoming, outgoing, self)


def _take_any(connection: SSL.Connection, _certificate: object, _error: int, _depth: int, ok: int) -> bool:
    """Note what could not be verified, and go on."""
    if not ok:
        connection.get_app_data().append(False)
    return True


class _Session:
    """An ssl.SSLObject in the eyes of asyncio and uvloop, between their two memory buffers and OpenSSL's."""

    def __init__(
        self, connection: SSL.Connection, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, context: Asking
    ) -> None:
        self._connection, self._incoming, self._outgoing = connection, incoming, outgoing
        self._doubts: list[bool] = []
        self._header, self._left = bytearray(), 0  # of the record that is being read
        self.context, self.server_side, self.server_hostname, self.session = context, True, None, None
        connection.set_app_data(self._doubts)
        connection.set_accept_state()

    @property
    def shown(self) -> Shown | None:
        """The certificate of the client; None where it has shown none."""
        found = self._connection.get_peer_certificate()
        if found is None:
            return None
        fingerprint = found.digest("sha256").decode().replace(":", "").lower()
        return Shown(fingerprint, () if self._doubts else _names(found))

    def do_handshake(self) -> None:
        self._do(self._connection.do_handshake)

    def read(self, length: int = 1024, buffer: Any = None) -> Any:
        """Octets, or how many went into `buffer`; none where the other side has closed."""
        try:
            if buffer is None:
                return self._do(lambda: self._connection.recv(length))
            return self._do(lambda: self._connection.recv_into(buffer, length or len(buffer)))
        except ssl.SSLZeroReturnError:
            return b"" if buffer is None else 0

    def write(self, data: Any) -> int:
        return int(self._do(lambda: self._connection.send(data)))

    def unwrap(self) -> None:
        """Say good-bye and wait for the other's."""
        if not self._do(self._connection.shutdown):
            self._do(self._connection.shutdown)

    def pending(self) -> int:
        return int(self._connection.pending())

    def version(self) -> str:
        return str(self._connection.get_protocol_version_name())

    def cipher(self) -> tuple[str | None, str | None, int | None]:
        connection = self._connection
        return connection.get_cipher_name(), connection.get_cipher_version(), connection.get_cipher_bits()

    def compression(self) -> None:
        return None

    def selected_alpn_protocol(self) -> None:
        return None

    def getpeercert(self, binary_form: bool = False) -> Any:
        """As for any certificate that the standard library did not verify: nothing; `shown` has it."""
        return None if binary_form else {}

    def _do(self, step: Callable[[], Any]) -> Any:
        """One step of OpenSSL, which gets what has come as it needs it; its errors as ssl has them."""
        try:
            while True:
                try:
                    return step()
                except (SSL.WantReadError, SSL.WantWriteError):
                    if not self._feed():
                        raise
        except (SSL.WantReadError, SSL.WantWriteError):
            if self._incoming.eof:
                raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the other side is gone") from None
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more is to come") from None
        except SSL.ZeroReturnError:
            raise ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "the other side has closed") from None
        except SSL.SysCallError as error:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, str(error)) from None
        except SSL.Error as error:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, _words(error)) from None
        finally:
            self._send()

    def _feed(self) -> bool:
        """One TLS record more for OpenSSL, or what has come of it; False where nothing has.

        No more than it needs: uvloop asks whether something waits by what is left in its buffer.
        """
        if not self._left:
            self._header += self._incoming.read(RECORD_HEADER - len(self._header))
            if len(self._header) < RECORD_HEADER:
                return False
            self._left = int.from_bytes(self._header[3:], "big")
            self._connection.bio_write(bytes(self._header))
            self._header.clear()
            return True
        data = self._incoming.read(self._left)
        self._left -= len(data)
        return bool(data) and self._connection.bio_write(data) > 0

    def _send(self) -> None:
        try:
            while data := self._connection.bio_read(CHUNK):
                self._outgoing.write(data)
        except SSL.WantReadError:
            pass


def _words(error: SSL.Error) -> str:
    found = error.args[0] if error.args else None
    return "; ".join(str(one[-1]) for one in found) if isinstance(found, list) and found else "TLS failed"


def _names(shown: crypto.X509) -> tuple[str, ...]:
    """None of a certificate that cannot be read to its end: nobody loses mail by an odd one."""
    found: list[str] = []
    try:
        certificate = shown.to_cryptography()
        found += [str(one.value) for one in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        other = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found += other.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        pass
    return tuple(dict.fromkeys(name.lower() for name in found))


def version_of(transport: asyncio.BaseTransport) -> str | None:
    """The version of TLS on a connection; None in clear."""
    secured = transport.get_extra_info("ssl_object")
    return secured.version() if secured is not None else None


def shown_by(transport: asyncio.BaseTransport) -> Shown | None:
    """The certificate that the client has shown, where the listener's context asked for one."""
    return getattr(transport.get_extra_info("ssl_object"), "shown", None)
