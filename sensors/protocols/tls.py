"""TLS: what both hellos tell, and the server's certificate where it is in clear (up to 1.2); one observation a
conversation.
"""

from __future__ import annotations

from hudhud.event import Value
from sensors.flow import Flow, Half
from sensors.observation import Observation, Tell
from sensors.protocols import certificate, hello

MAX_RECORD_BYTES = (1 << 14) + 2048  # RFC 5246 section 6.2.3
MAX_HANDSHAKE_BYTES = 64 * 1024  # kept of one direction
HANDSHAKE, CHANGE_CIPHER, ALERT, APPLICATION = 22, 20, 21, 23
VERSIONS = {0x0300: "3.0", 0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
CIPHERS = {
    0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA", 0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
    0x009C: "TLS_RSA_WITH_AES_128_GCM_SHA256",
    0x009D: "TLS_RSA_WITH_AES_256_GCM_SHA384", 0x0005: "TLS_RSA_WITH_RC4_128_SHA", 0x0004: "TLS_RSA_WITH_RC4_128_MD5",
    0x000A: "TLS_RSA_WITH_3DES_EDE_CBC_SHA", 0xC009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    0xC00A: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", 0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", 0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}  # fmt: skip


def begins(data: bytes) -> bool:
    """Whether these are the first bytes of a handshake record that holds a hello."""
    return (
        len(data) >= 6
        and data[0] == HANDSHAKE
        and data[1] == 3
        and data[2] <= 4
        and data[5] in (1, 2)
        and data[3] <= 0x48
    )


def version_text(number: int) -> str:
    """ECS tls.version; drafts of 1.3 as "1.3-draft-28"."""
    if number >> 8 == 0x7F:
        return f"1.3-draft-{number & 0xFF}"
    return VERSIONS.get(number, f"0x{number:04x}")


def client_fields(found: hello.ClientHello, transport: str) -> dict[str, Value]:
    """The ECS fields of a ClientHello; also for QUIC."""
    fields: dict[str, Value] = {"tls.client.ja3": hello.ja3(found), "tls.client.ja4": hello.ja4(found, transport)}
    if found.server_name:
        fields["tls.client.server_name"] = found.server_name
    if found.alpn:
        fields["hudhud.tls.alpn"] = [name[:32].decode("latin-1") for name in found.alpn]
    return fields


class Tls:
    """Reads records until the handshake becomes unreadable or nothing more is wanted."""

    name = "tls"

    def __init__(self, flow: Flow, tell: Tell) -> None:
        self._flow, self._tell = flow, tell
        self._records = {True: b"", False: b""}
        self._handshake = {True: b"", False: b""}
        self._client: hello.ClientHello | None = None
        self._server: hello.ServerHello | None = None
        self._certificates: list[bytes] = []
        self._resumed = self._established = False
        self._time = flow.first

    def feed(self, half: Half, data: bytes, time: float) -> None:
        side = half.client
        data = self._records[side] + data
        at = 0
        while at + 5 <= len(data):
            kind, size = data[at], data[at + 3] << 8 | data[at + 4]
            if (
                (not HANDSHAKE >= kind >= CHANGE_CIPHER and kind != APPLICATION)
                or data[at + 1] != 3
                or size > MAX_RECORD_BYTES
            ):
                self._done(time)
                return
            if at + 5 + size > len(data):
                break
            record = data[at + 5 : at + 5 + size]
            at += 5 + size
            if self._record(side, kind, record, time):
                self._done(time)
                return
        self._records[side] = data[at:]

    def _record(self, side: bool, kind: int, record: bytes, time: float) -> bool:
        """Take in a record; True when nothing more is wanted."""
        if kind == HANDSHAKE:
            self._handshake[side] += record
            return self._messages(side, time) or len(self._handshake[side]) > MAX_HANDSHAKE_BYTES
        if kind == ALERT:
            return self._server is None and not side
        if kind == CHANGE_CIPHER and not side and self._server is not None:
            self._resumed = not self._certificates
            return True
        return kind == APPLICATION and self._server is not None

    def _messages(self, side: bool, time: float) -> bool:
        data = self._handshake[side]
        at = 0
        enough = False
        while at + 4 <= len(data) and not enough:
            kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
            if size > MAX_HANDSHAKE_BYTES:
                return True
            if at + 4 + size > len(data):
                break
            enough = self._message(side, kind, data[at + 4 : at + 4 + size], time)
            at += 4 + size
        self._handshake[side] = data[at:]
        return enough

    def _message(self, side: bool, kind: int, body: bytes, time: float) -> bool:
        if kind == 1 and self._client is None:
            self._client, self._time = hello.parse_client(body), time
        elif kind == 2:
            found = hello.parse_server(body)
            if not found.retry:
                self._server = found
                return self._client is not None and (
                    found.version == 0x0304 or found.version >> 8 in (0x7F, 0x7E, 0xFB)
                )
        elif kind == 11 and not side:
            self._certificates = _chain(body)
            return self._client is not None
        elif kind == 14:
            return True
        return False

    def gap(self, half: Half, size: int, time: float) -> bool:
        return False

    def _done(self, time: float) -> None:
        self._flow.parser = None
        self.finish(time)

    def finish(self, time: float) -> None:
        client, server = self._client, self._server
        if client is None and server is None:
            return
        fields: dict[str, Value] = {"network.protocol": "tls", "tls.version_protocol": "tls"}
        if client is not None:
            fields.update(client_fields(client, "t"))
        if server is not None:
            fields["tls.version"] = version_text(server.version)
            fields["tls.cipher"] = CIPHERS.get(server.cipher, f"0x{server.cipher:04x}")
            fields["tls.server.ja3s"] = hello.ja3s(server)
            fields["tls.resumed"] = self._resumed or server.psk
            if server.alpn:
                fields["tls.next_protocol"] = server.alpn[:32].decode("latin-1")
        elif client is not None:
            fields["hudhud.tls.offered_version"] = version_text(
                max((v for v in client.versions if v not in hello.GREASE), default=client.version)
            )
        if self._certificates:
            fields.update(certificate.fields(self._certificates))
        self._client = self._server = None
        self._tell(Observation("tls", self._time, self._flow, fields))


def _chain(body: bytes) -> list[bytes]:
    """The certificates of a Certificate message up to TLS 1.2, the server's own first."""
    chain: list[bytes] = []
    at, end = 3, min(len(body), 3 + int.from_bytes(body[:3], "big"))
    while at + 3 <= end and len(chain) < 16:
        size = int.from_bytes(body[at : at + 3], "big")
        chain.append(body[at + 3 : at + 3 + size])
        at += 3 + size
    return chain
