"""The SMTP envelope, and the grammar of its paths on bytes: RFC 5321 section 4.1.2 and RFC 6531. Pure.

Nothing here goes through a header parser: comments, encoded words and source routes are no part of an envelope, and
what was judged is, byte for byte, what is sent on.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import idna

if TYPE_CHECKING:
    from mail.accounts import Account

Listener = Literal["mx", "submission", "submissions"]

MAX_LOCAL = 64  # octets, RFC 5321 section 4.5.3.1.1
MAX_DOMAIN = 255  # octets, section 4.5.3.1.2
MAX_PATH = 254  # octets between < and >, section 4.5.3.1.3


class PathError(ValueError):
    """A path outside the grammar: at which octet, what is wrong, and the RFC 3463 status that says so."""

    def __init__(self, position: int, problem: str, enhanced: str = "5.1.3") -> None:
        super().__init__(f"{problem} (at octet {position})")
        self.position, self.problem, self.enhanced = position, problem, enhanced


@dataclass(frozen=True, slots=True)
class Address:
    """`raw` is what stood between < and >, b"" for the null sender. `local` has its quotes and escapes taken off; it is
    for reading only. `domain` is an A-label in lower case, "" for the null sender."""

    raw: bytes
    local: str
    domain: str

    @property
    def text(self) -> str:
        """As a person reads it."""
        return self.raw.decode("utf-8", "replace")

    def __bool__(self) -> bool:
        return bool(self.raw)


NULL: Final = Address(b"", "", "")


@dataclass(frozen=True, slots=True)
class Recipient:
    """`notify` and `orcpt` are the RFC 3461 parameters as they were given (NOTIFY in upper case)."""

    address: Address
    notify: str | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """Who speaks to us. `tls` is the version ("TLSv1.3"), None in clear."""

    ip: str
    port: int
    helo: str
    tls: str | None
    listener: Listener


@dataclass(frozen=True, slots=True)
class Envelope:
    """One transaction. `body` is 7BIT or 8BITMIME; `received` aware, UTC; `requiretls`: by TLS only (RFC 8689)."""

    sender: Address
    recipients: tuple[Recipient, ...]
    client: Client
    account: Account | None
    received: datetime
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None
    requiretls: bool = False
    size: int | None = None  # octets, as MAIL declared them; for RCPT only


_ATEXT = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]"
_DOT_STRING = re.compile(rb"%s+(?:\.%s+)*" % (_ATEXT, _ATEXT))
_QUOTED = re.compile(rb'"((?:[ !#-\[\]-~\x80-\xff]|\\[ -~])*)"')
_LABEL = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_PLAIN = re.compile(
    rb"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    rb"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)"
)


def parse_path(data: bytes, *, smtputf8: bool) -> Address:
    """What stood between < and > as an address, the empty one included. Strict; PathError says where and what."""
    if not data:
        return NULL
    if len(data) > MAX_PATH:
        raise PathError(MAX_PATH, f"the address is longer than {MAX_PATH} octets")
    plain = _PLAIN.fullmatch(data)  # nearly every address there is
    if plain is not None and len(plain[1]) <= MAX_LOCAL and len(plain[2]) <= MAX_DOMAIN:
        return Address(data, plain[1].decode("ascii"), plain[2].decode("ascii").lower())
    if not data.isascii():
        _check_utf8(data, smtputf8)
    end, local = _local(data)
    if data[end : end + 1] != b"@":
        raise PathError(end, "no @ where the local part ends" if end < len(data) else "no @ and domain")
    return Address(data, local, _domain(data, end + 1))


def _check_utf8(data: bytes, smtputf8: bool) -> None:
    if not smtputf8:
        position = next(i for i, octet in enumerate(data) if octet > 0x7F)
        raise PathError(position, "an address outside ASCII needs SMTPUTF8", "5.6.7")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PathError(error.start, "not UTF-8") from None
    for character in text:
        # a line end in any program's eyes, half a surrogate, or a character that only some systems know
        if character > "\x7f" and unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co", "Zl", "Zp"):
            raise PathError(text.index(character), "a control or unassigned character")


def _local(data: bytes) -> tuple[int, str]:
    """Where the local part ends, and its text."""
    if data[:1] == b"@":
        raise PathError(0, "source routes are not taken")
    if data[:1] == b'"':
        quoted = _QUOTED.match(data)
        if quoted is None:
            raise PathError(0, "a quoted local part with a character that cannot stand there, or without its end")
        end, local = quoted.end(), re.sub(rb"\\(.)", rb"\1", quoted[1])
        if not local:
            raise PathError(0, "an empty local part")
    else:
        dotted = _DOT_STRING.match(data)
        if dotted is None:
            raise PathError(0, "a character that cannot stand in a local part")
        end, local = dotted.end(), dotted[0]
        if data[end : end + 1] not in (b"@", b""):
            raise PathError(end, "a character that cannot stand in a local part")
    if end > MAX_LOCAL:
        raise PathError(MAX_LOCAL, f"the local part is longer than {MAX_LOCAL} octets")
    return end, local.decode("utf-8")


def _domain(data: bytes, start: int) -> str:
    domain = data[start:]
    if not domain:
        raise PathError(start, "no domain")
    if domain[:1] == b"[":
        raise PathError(start, "address literals are not taken")
    if len(domain) > MAX_DOMAIN:
        raise PathError(start + MAX_DOMAIN, f"the domain is longer than {MAX_DOMAIN} octets")
    labels, position = [], start
    for label in domain.split(b"."):
        labels.append(_a_label(label, position))
        position += len(label) + 1
    name = ".".join(labels)
    if len(name) > MAX_DOMAIN:
        raise PathError(start, f"the domain is longer than {MAX_DOMAIN} octets in its ASCII form")
    return name


def _a_label(label: bytes, position: int) -> str:
    if not label:
        raise PathError(position, "an empty label in the domain")
    if label.isascii():
        if _LABEL.fullmatch(label) is None:
            raise PathError(position, "a character that cannot stand in a domain")
        if len(label) > 63:
            raise PathError(position, "a label of the domain is longer than 63 octets")
        return label.decode("ascii").lower()
    try:
        text = label.decode("utf-8")
        if not unicodedata.is_normalized("NFC", text):  # the Kelvin sign would become a plain k
            raise idna.IDNAError
        return idna.alabel(text.lower()).decode("ascii")  # RFC 5891: valid, or refused; nothing but case is mapped
    except (idna.IDNAError, UnicodeError):
        raise PathError(position, "a label that is no internationalised domain name (RFC 5891)") from None
