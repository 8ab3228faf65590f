"""Addresses in header fields, by two parsers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail.content.addresses import read

PLAIN = [
    ("Amal <amal@x.example>", ["amal@x.example"]),
    ("a@b.example", ["a@b.example"]),
    ('"Haddad, Amal" <a@b.example>', ["a@b.example"]),
    ("g: a@b.example, X <d@e.example>;", ["a@b.example", "d@e.example"]),
    ("undisclosed-recipients:;", []),
    ("a@b.example (a comment (nested))", ["a@b.example"]),
    ('"amal@finance.saba.example" <b@evil.example>', ["b@evil.example"]),
    ("أمل <a@مالية.saba.example>", ["a@xn--mgbe4fc1a.saba.example"]),
    ("=?utf-8?b?2KPZhdmE?= <a@b.example>", ["a@b.example"]),
    ("Haddad, Amal <a@b.example>", ["a@b.example"]),
    ("A@B.EXAMPLE", ["a@b.example"]),
    ("", []),
]
AMBIGUOUS = [
    '"a@evil.example"@good.example',
    "a%evil.example@good.example",
    "evil.example!a@good.example",
    "a@good.example b@evil.example",
    "amal@good\x00.example, b@evil.example",
    "=?utf-8?q?b=40evil.example?=@good.example",
    "a%evil.example%localhost@good.example",
    "localhost!evil.example!a@good.example",
    "=?utf-8?q?b=40evil.example?=",
    "b\uff20evil.example",
    "evil.example!b",
    f"({'x' * 70_000}) b@evil.example",
    "a\u200b@good.example",
    "<a@good.example",
]


@pytest.mark.parametrize(("text", "addresses"), PLAIN)
def test_plain_fields_are_read_alike_by_both(text: str, addresses: list[str]) -> None:
    reading = read(text)
    assert list(reading.addresses) == addresses
    assert not reading.ambiguous


@pytest.mark.parametrize("text", AMBIGUOUS[:-1])
def test_what_can_be_read_as_another_address_is_ambiguous(text: str) -> None:
    assert read(text).ambiguous


@pytest.mark.parametrize(
    "text",
    ["a@good.example <b@evil.example>", "a@good.example, <b@evil.example>", "x <a@good.example> <b@evil.example>"],
)
def test_every_address_that_any_parser_finds_is_found(text: str) -> None:
    assert {"a@good.example", "b@evil.example"} <= set(read(text).addresses)


@given(st.text(alphabet=st.sampled_from('ab@.<>(),:;"\\[] =?%!\x00\r\n\u202eé'), max_size=60))
@settings(max_examples=400, deadline=None)
def test_no_text_makes_it_fail(text: str) -> None:
    reading = read(text)
    assert isinstance(reading.addresses, tuple)


def test_addresses_of_real_mail_are_rarely_ambiguous(shared_data) -> None:  # type: ignore[no-untyped-def]
    from mail.message import read_header

    fields = [
        field.value
        for path in sorted((shared_data / "mail" / "corpus").rglob("*.eml"))
        for field in read_header(path.read_bytes())[0]
        if field.name in (b"from", b"reply-to", b"sender", b"to", b"cc")
    ]
    ambiguous = [value for value in fields if read(value).ambiguous]
    print(f"ambiguous: {len(ambiguous)} of {len(fields)} address fields")
    assert len(ambiguous) <= len(fields) * 0.01
