"""Verifies DKIM (RFC 6376, 8463) and ARC (RFC 8617) with keys that were gathered before. The one door to dkimpy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import dkim
from dkim.canonicalization import CanonicalizationPolicy

MAX_SIGNATURES: Final = 10  # looked at in one message; more are work for nothing

TxtLookup = Callable[[str], str | None]
"""The TXT record of a name, its strings joined; None where there is none."""

dkim.ARC_HASH_ALGORITHMS[b"ed25519-sha256"] = hashlib.sha256  # RFC 8463; the library takes it for DKIM only

_TAG = re.compile(rb"\s*([A-Za-z][A-Za-z0-9_]*)\s*=([^;]*)")
_SPACE = re.compile(rb"\s+")


@dataclass(frozen=True, slots=True)
class Checked:
    """One signature: whether it holds, and if not why: a word of ours, "" for the signature itself."""

    domain: str
    selector: str
    valid: bool
    reason: str = ""


def tags(value: bytes) -> dict[bytes, bytes]:
    """The tags of a DKIM-Signature, ARC-Seal or key record (RFC 6376 section 3.2), without white space, first come."""
    found: dict[bytes, bytes] = {}
    for part in value.split(b";"):
        if match := _TAG.match(part):
            found.setdefault(match[1], _SPACE.sub(b"", match[2]))
    return found


def checked(data: bytes, txt: TxtLookup) -> tuple[Checked, ...]:
    """Each DKIM-Signature of `data` (CRLF line ends) in its order, at most MAX_SIGNATURES. Never raises."""
    try:
        message = dkim.DKIM(data)
    except Exception:  # a header that is none
        return (Checked("", "", False, "unreadable-header"),) if b"dkim-signature" in data[:65536].lower() else ()
    fields = [value for name, value in message.headers if name.lower() == b"dkim-signature"]
    return tuple(_checked(message, index, tags(field), txt) for index, field in enumerate(fields[:MAX_SIGNATURES]))


def verified(data: bytes, txt: TxtLookup) -> frozenset[str]:
    """The domains whose signature over `data` is valid; no part of the body may be unsigned (l=)."""
    return frozenset(one.domain for one in checked(data, txt) if one.valid)


def chain(data: bytes, txt: TxtLookup) -> str:
    """The ARC chain: pass, fail, or none where there is no chain. Never raises."""
    try:
        word, _, _ = dkim.ARC(data).verify(dnsfunc=_asker(txt))
    except Exception:  # what stands in a hostile header makes the library raise anything
        return "fail"
    return cast("bytes", word).decode("ascii").lower()


def _asker(txt: TxtLookup) -> Callable[..., bytes | None]:
    def ask(name: bytes, timeout: int = 5) -> bytes | None:
        record = txt(name.decode("ascii", "replace").rstrip(".").lower())
        return record.encode() if record is not None else None

    return ask


def _checked(message: dkim.DKIM, index: int, said: dict[bytes, bytes], txt: TxtLookup) -> Checked:
    domain, selector = (said.get(tag, b"").decode("ascii", "replace").lower().rstrip(".") for tag in (b"d", b"s"))
    record = txt(f"{selector}._domainkey.{domain}")
    reason = _key_problem(record, said)
    if reason:
        return Checked(domain, selector, False, reason)
    try:
        valid = bool(message.verify(idx=index, dnsfunc=_asker(txt)))
        reason = "unsigned-end" if valid and not _whole(message, said) else ""
    except dkim.ValidationError as error:
        valid, reason = False, _word(str(error))
    except Exception:  # a signature that cannot be read, for whatever the library raises, is no valid signature
        valid, reason = False, "syntax"
    return Checked(domain, selector, valid and not reason, reason)


def _word(problem: str) -> str:
    if "body hash" in problem:
        return "body"
    return "expired" if "past" in problem else "syntax"


def _key_problem(record: str | None, said: dict[bytes, bytes]) -> str:
    """What the library does not look at: a missing or revoked key, another service, a hash or domain it is not for."""
    if record is None:
        return "no-key"
    key = tags(record.encode())
    if not key.get(b"p"):
        return "revoked" if b"p" in key else "no-key"
    if b"s" in key and not {b"*", b"email"} & set(key[b"s"].split(b":")):
        return "other-service"
    if b"h" in key and said.get(b"a", b"").rpartition(b"-")[2] not in key[b"h"].split(b":"):
        return "other-hash"
    identity = said.get(b"i", b"").rpartition(b"@")[2] or said.get(b"d", b"")
    if b"s" in key.get(b"t", b"").split(b":") and identity.lower() != said.get(b"d", b"").lower():
        return "other-domain"
    return ""


def _whole(message: dkim.DKIM, said: dict[bytes, bytes]) -> bool:
    """Whether the signature covers the body to its end: what is appended behind l= octets must not pass as signed."""
    if b"l" not in said:
        return True
    policy = CanonicalizationPolicy.from_c_value(said.get(b"c", b"simple/simple"))
    return int(said[b"l"]) >= len(policy.canonicalize_body(message.body))
