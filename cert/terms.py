"""Terms of the SQLite store's inverted index: one token for each field and value of an event. Pure.

A token is `field:value`, so that a begin of a value is a begin of a token; `~` makes of it what the ascii tokenizer of
FTS5 would fold or cut: capitals, spaces, controls. Words of folded text are `field%word`, "the event has the field" is
`field!`, every event has `*`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from cert.fields import ALL, FIELDS, MAX_KEYWORD, kind_of, texts
from cert.folding import folded
from hudhud.event import Value

EVERY: Final = "*"
_NO_TOKENS: Final = frozenset({"kept", "text"})  # text has tokens of its folded words

TOKENIZE: Final = (
    "ascii tokenchars '" + "".join(chr(c) for c in range(33, 127) if not chr(c).isalnum()).replace("'", "''") + "'"
)
"""The FTS5 tokenize option: every printable ASCII character is part of a token."""

_ESCAPE: Final = str.maketrans(
    {
        **{chr(c): f"~{chr(c).lower()}" for c in range(65, 91)},
        **{chr(c): f"~{c:03}" for c in range(33)},
        "\x7f": "~127",
        "~": "~~",
    }
)


@lru_cache(maxsize=65_536)
def encode(text: str) -> str:
    """The text as (part of) a token."""
    return text.translate(_ESCAPE)


def decode(token: str) -> str:
    """The text that `encode` made a token of."""
    if "~" not in token:
        return token
    found, at = [], 0
    while at < len(token):
        sign = token[at]
        if sign != "~":
            found.append(sign)
            at += 1
        elif token[at + 1].isdigit():
            found.append(chr(int(token[at + 1 : at + 4])))
            at += 4
        else:
            found.append("~" if token[at + 1] == "~" else token[at + 1].upper())
            at += 2
    return "".join(found)


def exact(field: str, value: str) -> str:
    """The token of a value; addresses as 32 hexadecimal digits, so that a network is a begin."""
    return f"{field}:{address_digits(value) if kind_of(field) == 'ip' else encode(value)}"


def word(field: str, folded_word: str) -> str:
    return f"{field}%{folded_word}"


def has(field: str) -> str:
    return f"{field}!"


def of(fields: Mapping[str, Value]) -> str:
    """All tokens of a shaped event with one space between them. Every event goes through here: it is kept quick."""
    found = {EVERY: None}
    for name, value in fields.items():
        kind = FIELDS.get(name, "keyword")
        if kind in _NO_TOKENS:
            continue
        turn = address_digits if kind == "ip" else encode
        if type(value) is str:
            if len(value) <= MAX_KEYWORD:
                found[f"{name}!"] = None
                found[f"{name}:{turn(value)}"] = None
        else:
            for text in texts(value):
                if len(text) <= MAX_KEYWORD:
                    found[f"{name}!"] = None
                    found[f"{name}:{turn(text)}"] = None
    for name, lines in folded(fields).items():
        found[f"{name}!"] = None
        for line in lines:
            for one in line.split():
                found[f"{name}%{one}"] = None
    return " ".join(found)


def begins(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[str, ...]:
    """The hexadecimal begins that cover a network: at most eight, as one digit is four bits."""
    address, length = int(network.network_address), network.prefixlen
    if network.version == 4:
        address, length = address | 0xFFFF << 32, length + 96
    digits, rest = divmod(length, 4)
    first = f"{address:032x}"[: digits + bool(rest)]
    if not rest:
        return (first,)
    start = int(first[-1], 16)
    return tuple(f"{first[:-1]}{digit:x}" for digit in range(start, start + (1 << 4 - rest)))


@lru_cache(maxsize=65_536)
def address_digits(text: str) -> str:
    """An address as 32 hexadecimal digits; IPv4 as it stands in IPv6 (RFC 4291 section 2.5.5.2)."""
    address = ipaddress.ip_address(text)
    return f"{int(address) | 0xFFFF << 32 if address.version == 4 else int(address):032x}"


def from_token(field: str, token: str) -> str:
    """The value that `exact` made a token of (after the colon)."""
    if kind_of(field) != "ip":
        return decode(token)
    number = int(token, 16)
    return str(ipaddress.IPv4Address(number & 0xFFFFFFFF) if number >> 32 == 0xFFFF else ipaddress.IPv6Address(number))


def exact_begin(field: str) -> tuple[str, str]:
    """The begin of all tokens of the field's values, and the first text after them."""
    return f"{field}:", f"{field};"


def word_begin(field: str) -> tuple[str, str]:
    """The begin of all tokens of a text field's words, and the first text after them."""
    return f"{field}%", f"{field}&"


def values_of(fields: Mapping[str, Value], field: str) -> frozenset[str]:
    """The distinct values of a field that can be searched."""
    value = fields.get(field)
    return frozenset() if value is None else frozenset(text for text in texts(value) if len(text) <= MAX_KEYWORD)


def folded_lines(fields: Mapping[str, Value], field: str) -> list[str]:
    """The folded values of a text field, or of ALL."""
    if field != ALL:
        fields = {field: fields.get(field)}
    return folded(fields).get(field, [])
