"""DNS over UDP and TCP (RFC 1035, 3596, 9460), and mDNS and LLMNR, which look the same: one observation a message."""

from __future__ import annotations

import socket
import struct

from hudhud.event import Value
from sensors.flow import Flow, Half
from sensors.observation import Observation, Tell

PORTS = frozenset((53, 5353, 5355))
MAX_NAME_BYTES = 1025  # shown of one name
MAX_POINTERS = 32  # followed for one name
MAX_ANSWERS = 64  # shown of one message
MAX_QUESTIONS = 16
MAX_MESSAGE_BYTES = 65_535

TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 11: "WKS", 12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX",
    16: "TXT", 17: "RP",
    18: "AFSDB", 24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC", 30: "NXT", 32: "NB", 33: "SRV", 35: "NAPTR", 36: "KX",
    37: "CERT", 38: "A6",
    39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY",
    49: "DHCID",
    50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY",
    62: "CSYNC",
    63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF", 108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG",
    251: "IXFR", 252: "AXFR",
    255: "ANY", 256: "URI", 257: "CAA", 32768: "TA", 32769: "DLV",
}  # fmt: skip
CODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH", 10: "NOTZONE", 11: "DSOTYPENI",
}  # fmt: skip
OPCODES = {0: "QUERY", 1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE", 6: "DSO"}
CLASSES = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_HEADER = struct.Struct(">HHHHHH").unpack_from
_RECORD = struct.Struct(">HHIH").unpack_from
_NAMED = {2, 5, 12, 39}  # types whose data is one name


def name_at(data: bytes, at: int) -> tuple[str, int]:
    """The name at `at` without its last dot, and the place behind it. ValueError or IndexError where it is none.

    Bytes that are not printable ASCII are written \\DDD (RFC 1035 section 5.1); a name longer than 1,025 bytes is cut.
    """
    labels: list[bytes] = []
    behind = -1
    size = pointers = 0
    while (length := data[at]) != 0:
        if length >= 0xC0:
            if behind < 0:
                behind = at + 2
            pointers += 1
            if size >= MAX_NAME_BYTES:
                break
            if pointers > MAX_POINTERS:
                raise ValueError("a name points in circles")
            at = (length & 0x3F) << 8 | data[at + 1]
            continue
        if length > 63:
            raise ValueError("a label longer than 63 bytes")
        label = data[at + 1 : at + 1 + length]
        if len(label) < length:
            raise ValueError("a label is cut short")
        at += 1 + length
        if size < MAX_NAME_BYTES:
            labels.append(label)
            size += length + 1
        elif behind >= 0:  # too long already, and where it ends is known
            break
    else:
        at += 1
    whole = b".".join(labels)[:MAX_NAME_BYTES]
    text = whole.decode("latin-1")
    if not (whole.isascii() and text.isprintable()):
        text = "".join(chr(c) if 32 < c < 127 else f"\\{c:03d}" for c in whole)
    return text, behind if behind >= 0 else at


def parse(data: bytes) -> dict[str, Value]:
    """The ECS fields of one message. ValueError, IndexError or struct.error where it is none; a cut answer section is
    kept as far as it goes.
    """
    identity, flags, questions, answers, authorities, _ = _HEADER(data, 0)
    response = bool(flags & 0x8000)
    fields: dict[str, Value] = {
        "dns.id": str(identity),
        "dns.type": "answer" if response else "query",
        "dns.op_code": OPCODES.get(flags >> 11 & 15, str(flags >> 11 & 15)),
    }
    at = 12
    if questions > MAX_QUESTIONS:
        raise ValueError("more questions than any message has")
    for number in range(questions):
        name, at = name_at(data, at)
        kind, group = struct.unpack_from(">HH", data, at)
        at += 4
        if number == 0:
            fields["dns.question.name"] = name
            fields["dns.question.type"] = TYPES.get(kind) or f"TYPE{kind}"
            fields["dns.question.class"] = CLASSES.get(group & 0x7FFF) or f"CLASS{group}"
    if response:
        fields["dns.response_code"] = CODES.get(flags & 15) or str(flags & 15)
    header = [
        name
        for bit, name in ((0x400, "AA"), (0x200, "TC"), (0x100, "RD"), (0x80, "RA"), (0x20, "AD"), (0x10, "CD"))
        if flags & bit
    ]
    if header:
        fields["dns.header_flags"] = header
    if answers or (questions == 0 and authorities):
        try:
            _answers(data, at, answers or authorities, fields)
        except (ValueError, IndexError, struct.error):
            fields["hudhud.dns.damaged"] = True
    return fields


def _answers(data: bytes, at: int, count: int, fields: dict[str, Value]) -> None:
    names: list[str] = []
    kinds: list[str] = []
    values: list[str] = []
    ttls: list[int] = []
    addresses: list[str] = []
    fields["dns.answers_count"] = count
    fields.update(
        {"dns.answers.name": names, "dns.answers.type": kinds, "dns.answers.data": values, "dns.answers.ttl": ttls}
    )
    for _ in range(min(count, MAX_ANSWERS)):
        name, at = name_at(data, at)
        kind, _group, ttl, length = _RECORD(data, at)
        at += 10
        if at + length > len(data):
            raise ValueError("a record is cut short")
        value = _value(data, kind, at, length)
        at += length
        names.append(name)
        kinds.append(TYPES.get(kind) or f"TYPE{kind}")
        values.append(value)
        ttls.append(ttl)
        if kind in (1, 28) and value:
            addresses.append(value)
    if addresses:
        fields["dns.resolved_ip"] = addresses


def _value(data: bytes, kind: int, at: int, length: int) -> str:
    """A record's data as text; hexadecimal where the type has no text of its own."""
    if kind == 1 and length == 4:
        return socket.inet_ntoa(data[at : at + 4])
    if kind == 28 and length == 16:
        return socket.inet_ntop(socket.AF_INET6, data[at : at + 16])
    if kind in _NAMED:
        return name_at(data, at)[0]
    if kind == 15 and length > 2:
        return f"{data[at] << 8 | data[at + 1]} {name_at(data, at + 2)[0]}"
    if kind in (16, 99):
        parts, end = [], at + length
        while at < end:
            parts.append(data[at + 1 : at + 1 + data[at]].decode("utf-8", "replace"))
            at += 1 + data[at]
        return " ".join(parts)
    if kind == 6:
        primary, behind = name_at(data, at)
        person, behind = name_at(data, behind)
        return f"{primary} {person} " + " ".join(str(n) for n in struct.unpack_from(">5I", data, behind))
    if kind == 33 and length > 6:
        return " ".join(str(n) for n in struct.unpack_from(">HHH", data, at)) + " " + name_at(data, at + 6)[0]
    return data[at : at + min(length, 256)].hex()


def begins_udp(data: bytes) -> bool:
    """Whether a datagram on another port is a DNS query beyond doubt: one question, class IN, nothing that should not
    be there.
    """
    if (
        not 17 <= len(data) <= 512
        or data[4:10] != b"\0\x01\0\0\0\0"
        or data[2] & 0xF8
        or data[3] & 0x4F
        or data[10]
        or data[11] > 1
    ):
        return False
    try:
        name, at = name_at(data, 12)
        kind, group = struct.unpack_from(">HH", data, at)
    except (ValueError, IndexError, struct.error):
        return False
    return kind in TYPES and group == 1 and "\\" not in name and (at + 4 == len(data) or data[11] == 1)


def begins_tcp(data: bytes, port: int) -> bool:
    """Whether a TCP stream begins with a DNS message (RFC 7766): its length, then a header that makes sense."""
    if len(data) < 14:
        return False
    length, _, flags, questions, answers, authorities, more = struct.unpack_from(">HHHHHHH", data)
    if length < 12 or flags & 0x40 or (flags >> 11 & 15) not in OPCODES or questions > 4:
        return False
    if port in PORTS:
        return True
    return bool(
        questions == 1
        and not flags & 0x800F
        and not answers
        and not authorities
        and more <= 1
        and begins_udp(data[2 : 2 + length])
    )


class Dns:
    """For datagrams; one object serves all flows."""

    name = "dns"

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def feed(self, half: Half, data: bytes, time: float) -> None:
        flow = half.flow
        fields = parse(data)
        fields["network.protocol"] = "mdns" if flow.ports[1] == 5353 or flow.ports[0] == 5353 else "dns"
        self._tell(Observation("dns", time, flow, fields))

    def gap(self, half: Half, size: int, time: float) -> bool:
        return True

    def finish(self, time: float) -> None:
        """Every message was told as it came."""


class DnsStream:
    """For TCP: messages behind their lengths."""

    name = "dns"

    def __init__(self, flow: Flow, tell: Tell) -> None:
        self._messages = Dns(tell)
        self._buffers = {True: b"", False: b""}

    def feed(self, half: Half, data: bytes, time: float) -> None:
        data = self._buffers[half.client] + data
        while len(data) >= 2 and len(data) >= (size := 2 + (data[0] << 8 | data[1])):
            half.inspected = 0
            self._messages.feed(half, data[2:size], time)
            data = data[size:]
        self._buffers[half.client] = data

    def gap(self, half: Half, size: int, time: float) -> bool:
        self._buffers[half.client] = b""
        return True

    def finish(self, time: float) -> None:
        """Every message was told as it came."""
