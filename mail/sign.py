"""Signs what our accounts send: DKIM with RSA-SHA256, and Ed25519 where a key lies beside it (RFC 6376, 8301, 8463).

The signing step is ours because the relay pays it for every message: the key is loaded once, the body is made canonical
by runs, and the bytes of the message are never touched. Tests hold it against dkimpy's verifier.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import getaddresses
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from hudhud import log
from hudhud.clock import SYSTEM, Clock
from hudhud.entity import a_label, suffixes

_log = log.get(__name__)

# Signed once more than they occur (RFC 6376 section 8.15): nobody can add a second one on the way.
OVERSIGNED = (
    *("from", "to", "cc", "subject", "date", "message-id", "reply-to", "in-reply-to", "references", "sender"),
    *("mime-version", "content-type", "content-transfer-encoding"),
)
_OVERSIGNED = tuple(name.encode() for name in OVERSIGNED)
RSA_BITS = 2048  # RFC 8301 section 3.2: at least 1024, better 2048; larger keys do not fit one DNS string

_UNFOLDED = re.compile(rb"\r\n(?![ \t])")
_RUN = re.compile(rb"[ \t]+")
_PLAIN_FROM = re.compile(rb'^[^<>@",()\\]*<?[^<>@",()\\\s]+@([A-Za-z0-9.-]+)>?[ \t]*$')
_PKCS1 = padding.PKCS1v15()
_SHA256 = hashes.SHA256()

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class SignError(Exception):
    """A key file that cannot be used: path and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A private key with the name its public half has in the DNS (`selector`._domainkey.`domain`)."""

    domain: str
    selector: str
    private: PrivateKey

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519-sha256"


class Signer:
    """The keys of our domains, each read from `folder` when it is first needed."""

    def __init__(
        self,
        folder: Path,
        selector: str,
        clock: Clock = SYSTEM,
        *,
        body_of: Callable[[str], str] = lambda domain: "",
    ) -> None:
        """`body_of` gives the code of the body that a domain belongs to, "" for none."""
        self._folder, self._selector, self._clock, self._body_of = folder, selector, clock, body_of
        self._keys: dict[str, tuple[Key, ...]] = {}

    def keys(self, domain: str) -> tuple[Key, ...]:
        """The keys that sign for `domain` (A-label): its own, else those of the nearest domain above; () for none."""
        if domain not in self._keys:
            above = (load(self._folder, one, self._selector) for one in suffixes(domain) if "." in one)
            self._keys[domain] = next((found for found in above if found), ())
            if not self._keys[domain]:
                _log.warning("no DKIM key: mail of this domain leaves unsigned", domain=domain)
        return self._keys[domain]

    def forget(self) -> None:
        """Read the key files again: after new ones were laid in the folder."""
        self._keys.clear()

    def sign(self, head: bytes, body: bytes, *, entity: str = "") -> bytes:
        """DKIM-Signature fields to stand before `head` (a header with its last CRLF); b"" without a key for From.

        `entity`: only where From is of that body; a list server sends on what others wrote.
        """
        found = _by_name(head)
        domain = _domain_of(found.get(b"from", (b"",))[0])
        keys = self.keys(domain) if domain and (not entity or self._body_of(domain) == entity) else ()
        if not keys:
            return b""
        body_hash = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest())
        names, signed = _chosen(found)
        moment = int(self._clock.now().timestamp())
        return b"".join(_field(key, names, signed, body_hash, moment) for key in keys)


def _field(key: Key, names: bytes, signed: bytes, body_hash: bytes, moment: int) -> bytes:
    """One DKIM-Signature field, folded, with its CRLF."""
    tags = (
        f"v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain};\r\n\ts={key.selector}; t={moment};\r\n\th="
    ).encode() + names
    unsigned = b"DKIM-Signature: " + tags + b";\r\n\tbh=" + body_hash + b";\r\n\tb="
    data = signed + relaxed_field(unsigned)
    if isinstance(key.private, rsa.RSAPrivateKey):
        signature = key.private.sign(data, _PKCS1, _SHA256)
    else:
        signature = key.private.sign(hashlib.sha256(data).digest())  # RFC 8463 section 3: the hash is what is signed
    text = base64.b64encode(signature)
    folded = b"\r\n\t ".join(text[at : at + 72] for at in range(0, len(text), 72))
    return unsigned + folded + b"\r\n"


def _by_name(head: bytes) -> Mapping[bytes, Sequence[bytes]]:
    """The fields of a header by their names in lower case, in order."""
    found: dict[bytes, list[bytes]] = {}
    for field in fields(head):
        found.setdefault(field[: field.find(b":")].strip().lower(), []).append(field)
    return found


def _chosen(found: Mapping[bytes, Sequence[bytes]]) -> tuple[bytes, bytes]:
    """The h= names and the canonical fields they stand for, from the last of each name up (RFC 6376 section 5.4.2)."""
    signed = [relaxed_field(field) + b"\r\n" for name in _OVERSIGNED for field in reversed(found.get(name, ()))]
    return _listed(tuple(len(found.get(name, ())) + 1 for name in _OVERSIGNED)), b"".join(signed)


@functools.lru_cache(64)
def _listed(times: tuple[int, ...]) -> bytes:
    """The value of h=, folded: each of the names that are signed so many times."""
    lines, line = [], b""
    for name, count in zip(_OVERSIGNED, times, strict=True):
        for _ in range(count):
            if len(line) + len(name) > 66:
                lines.append(line)
                line = b""
            line += name + b":"
    lines.append(line)
    return b"\r\n\t ".join(lines).rstrip(b":")


def fields(head: bytes) -> Iterator[bytes]:
    """Each field of a header with its continuation lines, without the last CRLF. Lines that are no field fall out."""
    return (field for field in _UNFOLDED.split(head) if b":" in field)


def relaxed_field(field: bytes) -> bytes:
    """RFC 6376 section 3.4.2, without the CRLF at the end."""
    name, _, value = field.partition(b":")
    value = value.replace(b"\r\n", b"")
    if b"\t" in value or b"  " in value:
        value = _RUN.sub(b" ", value)
    return name.strip(b" \t").lower() + b":" + value.strip(b" ")


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4, by runs: what has no tab, no double and no trailing blank is returned as it is."""
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    while b"  " in body:  # halves the longest run each time: 20 rounds for a mebibyte of blanks
        body = body.replace(b"  ", b" ")
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    if body.endswith(b"\r\n\r\n") or body == b"\r\n":
        body = body.rstrip(b"\r\n")
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    return body


def from_domain(head: bytes) -> str:
    """The A-label domain of the first From address; "" where there is none that can be read."""
    return _domain_of(_by_name(head).get(b"from", (b"",))[0])


def _domain_of(field: bytes) -> str:
    value = field.partition(b":")[2]
    plain = _PLAIN_FROM.match(value.replace(b"\r\n", b""))
    if plain:
        domain = plain[1].decode("ascii")
    else:
        text = value.replace(b"\r\n", b"").decode("utf-8", "replace")
        domain = next((a.rpartition("@")[2] for _, a in getaddresses([text]) if "@" in a), "")
    try:
        return a_label(domain)
    except ValueError:
        return ""


def load(folder: Path, domain: str, selector: str) -> tuple[Key, ...]:
    """The RSA key `dkim-<domain>.pem` and, where it exists, the Ed25519 key `dkim-<domain>.ed25519.pem`."""
    names = ((f"dkim-{domain}.pem", selector), (f"dkim-{domain}.ed25519.pem", f"{selector}-ed25519"))
    paths = ((folder / name, chosen) for name, chosen in names)
    return tuple(Key(domain, chosen, _private(path)) for path, chosen in paths if path.is_file())


def _private(path: Path) -> PrivateKey:
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise SignError(f"{path}: {error}") from None
    if not isinstance(private, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise SignError(f"{path}: neither an RSA nor an Ed25519 key")
    return private


def generate(folder: Path, domain: str) -> Path:
    """Make `dkim-<domain>.pem` (RSA-2048, mode 0600) where there is none yet; its path."""
    path = folder / f"dkim-{domain}.pem"
    if not path.exists():
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        path.touch(mode=0o600)
        path.write_bytes(private.private_bytes(encoding, form, serialization.NoEncryption()))
    return path


def record(key: Key) -> tuple[str, str]:
    """The DNS name and TXT value that publish the public half (RFC 6376 section 3.6.1, RFC 8463 section 4)."""
    if isinstance(key.private, rsa.RSAPrivateKey):
        kind, encoding, form = "rsa", serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    else:
        kind, encoding, form = "ed25519", serialization.Encoding.Raw, serialization.PublicFormat.Raw
    public = base64.b64encode(key.private.public_key().public_bytes(encoding, form)).decode()
    return f"{key.selector}._domainkey.{key.domain}", f"v=DKIM1; k={kind}; p={public}"
