"""Addresses in header fields, read by two parsers: the grammar (RFC 5322, 6532) and the stdlib's lenient one. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from email.utils import getaddresses
from itertools import pairwise
from typing import Final

from hudhud.entity import a_label

MAX_BODY = 64 * 1024  # octets of one field that are read; what is longer is ambiguous
MAX_ADDRESSES = 1000  # in one field

_ATOM = r"[^\s\x00-\x1f\x7f()<>\[\]:;@\\,.\"]+"
_PLAIN = re.compile(
    rf"(?:{_ATOM}(?:[ .]{_ATOM})* )?(<)?({_ATOM}(?:\.{_ATOM})*)@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?(1)>)"
)
_TOKEN = re.compile(
    rf'(?P<space>\s+)|(?P<comment>\()|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<literal>\[[^\[\]\\]*\])'
    rf"|(?P<atom>{_ATOM})|(?P<special>[<>:;@,.])",
    re.DOTALL,
)
_LOOSE = re.compile(r"[^\s<>()\[\],;:\"\\@]{1,128}@[^\s<>()\[\],;:\"\\@]{1,255}")
_ROUTED: Final = re.compile(r"%[^%.]*\.|\.[^!]*!|=\?.*\?=")
"""Local parts that some servers read as another address: user%other.example, other.example!user, an encoded word.

Of several hops each counts: where the last is the server's own, the one before it is where the mail goes.
"""
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ROUTE: Final = re.compile(r"<\s*@|\([^()]*@[^()]*\)")
"""A source route (RFC 5322 section 4.4) or a comment with an address: some readers take the address in it."""
_TURNED: Final = re.compile(
    r"[\u202a-\u202e\u2066-\u2069]|[\u200b\u2060\ufeff](?=[^<>]*@)|(?<=[A-Za-z0-9])[\u200b\u2060\ufeff]"
)
"""Bidi embeddings, overrides and isolates, and zero width in an address; joiners and marks stand in honest names."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The addresses of one field: local@domain, lower case, the domain as A-label. `ambiguous` says why, or is ""."""

    addresses: tuple[str, ...]
    ambiguous: str = ""


class _UnreadableError(ValueError):
    """Not in the grammar."""


def read(text: str) -> Reading:
    """The addresses that any reader finds in a field's body; never raises.

    Ambiguous: the grammar and the lenient reading find different addresses; the text is outside the grammar and the
    lenient reading finds others than stand there; or an address hides another (routes, encoded words, controls).
    """
    if (plain := _PLAIN.fullmatch(text)) and text.isascii() and "=?" not in text and not _ROUTED.search(plain[2]):
        return Reading((f"{plain[2]}@{plain[3]}".lower(),))
    cut = text[:MAX_BODY]
    lenient = _lenient(cut)
    try:
        strict = tuple(_normal(local, domain) for local, domain in _Grammar(cut).addresses())
    except _UnreadableError:
        loose = tuple(_split(found) for found in _LOOSE.findall(cut))
        why = "unreadable" if set(lenient) != set(loose) else _hidden(text, lenient)
        return Reading(_union(lenient, loose), why)
    found = _union(strict, lenient)
    if set(strict) != set(lenient):
        return Reading(found, "parsers-differ")
    return Reading(found, _hidden(text, found))


def domain_of(address: str) -> str:
    """What stands after the last @."""
    return address.rpartition("@")[2]


def routed(local: str) -> bool:
    """Whether some server would read another address in this local part, or in what compatibility forms become."""
    text = local if local.isascii() else unicodedata.normalize("NFKC", local)
    return "@" in text or _ROUTED.search(text) is not None


def hidden_characters(text: str) -> bool:
    """Whether it holds characters that are not seen: bidi controls, zero width, other format or control characters."""
    return not text.isascii() and any(unicodedata.category(c) in ("Cf", "Cc", "Zl", "Zp") for c in text)


def _hidden(text: str, found: tuple[str, ...]) -> str:
    if len(text) > MAX_BODY:
        return "too-long"
    if not found and ("=?" in text or re.search("[@!]", unicodedata.normalize("NFKC", text))):
        return "no-plain-address"  # yet some program may make one of it
    for address in found:
        local = address.rpartition("@")[0]
        if routed(local):
            return "route-in-local-part"
        if "=?" in address:
            return "encoded-word-in-address"
        if hidden_characters(address):
            return "hidden-characters"
    bare = _QUOTED.sub("", text)
    if _ROUTE.search(bare):
        return "route-or-comment"
    if _TURNED.search(text):
        return "hidden-characters"
    return "control-characters" if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text) else ""


def _union(*readings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address for reading in readings for address in reading))[:MAX_ADDRESSES]


def _normal(local: str, domain: str) -> str:
    return f"{local.lower()}@{_domain(domain)}"


def _domain(domain: str) -> str:
    try:
        return a_label(domain)
    except ValueError:
        return domain.strip().rstrip(".").lower()


def _split(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return _normal(local, domain)


def _lenient(text: str) -> tuple[str, ...]:
    try:
        pairs = getaddresses([text], strict=False) if _HAS_STRICT else getaddresses([text])
    except (
        ValueError,
        IndexError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # its faults are a reading without result
        return ()
    return tuple(_split(address) for _, address in pairs if "@" in address)


_HAS_STRICT: Final = "strict" in getaddresses.__code__.co_varnames


class _Grammar:
    """address-list of RFC 5322 section 3.4, with comments, groups and source routes (section 4.4)."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def addresses(self) -> list[tuple[str, str]]:
        """(local part, domain) of each mailbox; _UnreadableError where the text is no address-list."""
        found: list[tuple[str, str]] = []
        while self._at < len(self._tokens):
            if self._take(","):
                continue
            found += self._address()
            if self._at < len(self._tokens) and not self._take(","):
                raise _UnreadableError("something after an address")
            if len(found) > MAX_ADDRESSES:
                raise _UnreadableError("too many addresses")
        return found

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._at += 1
        return True

    def _words(self) -> list[str]:
        words = []
        while (token := self._peek()) and token not in ("<", ">", ":", ";", "@", ","):
            words.append(token)
            self._at += 1
        return words

    def _address(self) -> list[tuple[str, str]]:
        words = self._words()
        if self._take("<"):
            return self._angle()
        if self._take("@"):
            return [(_local(words), self._domain())]
        if words and self._take(":"):
            return self._group()
        raise _UnreadableError("no address")

    def _angle(self) -> list[tuple[str, str]]:
        if self._take(">"):
            return []
        while self._take("@"):  # an obsolete source route: <@a,@b:local@domain>
            self._domain()
            if not self._take(",") and not self._take(":"):
                raise _UnreadableError("a route without its end")
        local = _local(self._words())
        if not self._take("@"):
            raise _UnreadableError("no @ between < and >")
        address = (local, self._domain())
        if not self._take(">"):
            raise _UnreadableError("no >")
        return [address]

    def _group(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while not self._take(";"):
            if self._at >= len(self._tokens):
                raise _UnreadableError("a group without its end")
            if not self._take(","):
                words = self._words()
                if self._take("<"):
                    found += self._angle()
                elif self._take("@"):
                    found.append((_local(words), self._domain()))
                else:
                    raise _UnreadableError("no address in a group")
        return found

    def _domain(self) -> str:
        words = self._words()
        domain = "".join(words)
        if not words or '"' in domain or domain.startswith(".") or ".." in domain:
            raise _UnreadableError("no domain")
        if len(words) > 1 and any(a != "." and b != "." for a, b in pairwise(words)):
            raise _UnreadableError("two words as a domain")
        return domain


def _local(words: list[str]) -> str:
    if not words or any((a != ".") == (b != ".") for a, b in pairwise(words)):
        raise _UnreadableError("no local part")
    if words[0] == "." or words[-1] == ".":
        raise _UnreadableError("a dot at the edge of a local part")
    return "".join(re.sub(r"\\(.)", r"\1", w[1:-1], flags=re.DOTALL) if w[:1] == '"' else w for w in words)


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _UnreadableError(f"a stray character at {at}")
        if match.lastgroup == "comment":
            at = _comment_end(text, at)
            continue
        if match.lastgroup != "space":
            found.append(match[0])
        at = match.end()
    return found


def _comment_end(text: str, at: int) -> int:
    """Comments nest (RFC 5322 section 3.2.2)."""
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    raise _UnreadableError("a comment without its end")
