"""The grammar of envelope commands: what it takes, what it refuses, and that it never changes a byte."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mail.envelope import NULL, Address, PathError, parse_path
from mail.session.grammar import ParameterError, parse_mail_command, parse_rcpt_command

ATOM = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"
atoms = st.text(ATOM, min_size=1, max_size=12)
wide = st.sampled_from(["أمل", "نور-الدين", "müller", "用户", "пост", "x"])
locals_ = st.lists(atoms, min_size=1, max_size=4).map(".".join)
wide_locals = st.lists(st.one_of(atoms, wide), min_size=1, max_size=2).map(".".join)
quoted = st.text(string.printable[:95], min_size=1, max_size=20).map(
    lambda t: '"' + t.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
domains = st.lists(labels, min_size=1, max_size=4).map(".".join)
wide_domains = st.sampled_from(["مالية.saba.example", "bücher.example", "例え.example", "почта.example"])


@given(st.one_of(locals_, quoted), domains)
def test_every_address_of_the_grammar_is_taken_byte_for_byte(local: str, domain: str) -> None:
    raw = f"{local}@{domain}".encode()
    address = parse_path(raw, smtputf8=False)
    assert address.raw == raw
    assert address.domain == domain.lower()
    assert raw.endswith(b"@" + address.domain.encode())


@given(wide_locals, wide_domains)
def test_addresses_outside_ascii_need_smtputf8_and_have_an_ascii_domain(local: str, domain: str) -> None:
    raw = f"{local}@{domain}".encode()
    address = parse_path(raw, smtputf8=True)
    assert (address.raw, address.local) == (raw, local)
    assert address.domain.isascii()
    assert "xn--" in address.domain
    with pytest.raises(PathError) as refused:
        parse_path(raw, smtputf8=False)
    assert refused.value.enhanced == "5.6.7"


@settings(max_examples=500)
@given(
    st.one_of(st.binary(max_size=80), st.text(max_size=40).map(lambda t: (t + "@b.example").encode("utf-8", "ignore")))
)
@example(b"a\r\n@b.example")
@example(b"a@b.example\r\nRCPT TO:<c@d.example>")
@example(b'"a\r\nb"@c.example')
@example("a@b.example\u2028".encode())
@example("a\x85b@c.example".encode())
def test_no_bytes_make_it_fail_otherwise_and_nothing_it_takes_can_break_a_line(data: bytes) -> None:
    try:
        address = parse_path(data, smtputf8=True)
    except PathError as error:
        assert 0 <= error.position <= max(len(data), 255)
        return
    assert address.raw == data
    assert len(data.decode().splitlines()) <= 1
    assert b"\0" not in data
    assert address == NULL or (address.local and address.domain)


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=120), st.text(ATOM + '<>@":;,=\\ \t', max_size=80).map(str.encode)))
def test_no_argument_of_a_command_makes_it_fail_otherwise(argument: bytes) -> None:
    for parse, keyword in ((parse_mail_command, b"FROM:"), (parse_rcpt_command, b"TO:")):
        for text in (argument, keyword + argument, keyword + b"<" + argument):
            try:
                parse(text)
            except (PathError, ParameterError) as error:
                assert str(error).isprintable()


@pytest.mark.parametrize(
    "raw",
    [
        b"@relay.example:a@b.example", b"a", b"a@", b"@b.example", b"a@b@c.example", b"a..b@c.example", b".a@b.example",
        b"a.@b.example", b"a b@c.example", b"a(comment)@b.example", b"=?utf-8?q?a?=@[192.0.2.1]", b"a@[IPv6:::1]",
        b"a@-b.example", b"a@b-.example", b"a@b..example", b"a@b.example.", b"a@b_c.example", b"<a@b.example>",
        b'"a"b@c.example', b'a"b"@c.example', b'"a@b.example', b'""@b.example', b"a@b.example,c@d.example",
        b"a@b.example ", "a@ban\N{KELVIN SIGN}.example".encode(), "a@\N{ANGSTROM SIGN}s.example".encode(),
        b"a\\@b@c.example", b"x" * 65 + b"@b.example", b"a@" + b"x" * 64 + b".example", b"a@" + b"x." * 126 + b"xx",
    ],
)  # fmt: skip
def test_what_is_outside_the_grammar_is_refused_with_its_place(raw: bytes) -> None:
    with pytest.raises(PathError):
        parse_path(raw, smtputf8=True)


def test_the_limits_of_lengths_are_exact() -> None:
    assert parse_path(b"x" * 64 + b"@b.example", smtputf8=False).local == "x" * 64
    domain = b".".join([b"d" * 63] * 3) + b".example"
    longest = b"a@" + domain
    assert parse_path(longest, smtputf8=False).domain == domain.decode()
    fits = b"a" * (254 - len(domain) - 1) + b"@" + domain
    assert len(fits) == 254
    parse_path(fits, smtputf8=False)
    with pytest.raises(PathError, match="longer than 254"):
        parse_path(b"a" + fits, smtputf8=False)


def test_quotes_and_escapes_come_off_the_local_part_only_for_reading() -> None:
    assert parse_path(rb'"a\"b\@c d"@e.example', smtputf8=False) == Address(
        rb'"a\"b\@c d"@e.example', 'a"b@c d', "e.example"
    )


def test_public_lists_of_mailboxes(shared_data: Path) -> None:
    """Flanker's lists are of header addresses: what RFC 5321 does not know is named, everything else must agree."""
    folder = shared_data / "mail" / "smtp" / "addresses-flanker"
    other = {  # valid there: with a display name, a single label in brackets, an address literal
        "[", "<", "xn--",
    }  # fmt: skip
    taken = refused = 0
    for name in ("mailbox_valid.txt", "mailbox_invalid.txt"):
        for line in (folder / name).read_text("utf-8").splitlines():
            text = line.strip()
            if not text or text.startswith("#") or any(mark in text for mark in other):
                continue
            try:
                parse_path(text.encode(), smtputf8=True)
                taken += name == "mailbox_valid.txt"
                assert name == "mailbox_valid.txt", text
            except PathError:
                refused += name == "mailbox_invalid.txt"
    assert taken > 30, taken
    assert refused > 50, refused


def test_parameters_are_read_whole_or_refused() -> None:
    command = parse_mail_command(b"from:<a@b.example> size=12 Body=8bitmime RET=full ENVID=x+2By AUTH=<>")
    assert (command.size, command.body, command.ret, command.envid) == (12, "8BITMIME", "FULL", "x+2By")
    with pytest.raises(ParameterError):
        parse_mail_command(b"FROM:<a@b.example> AUTH=<>=")
    recipient = parse_rcpt_command(b"TO:<a@b.example> ORCPT=rfc822;Bob@x.example NOTIFY=FAILURE,DELAY")
    assert (recipient.orcpt, recipient.notify) == ("rfc822;Bob@x.example", "FAILURE,DELAY")


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        (b"FROM:<a@b.example> SIZE=1 SIZE=2", 501), (b"FROM:<a@b.example> SIZE=-1", 501),
        (b"FROM:<a@b.example> SIZE", 501), (b"FROM:<a@b.example> BODY=9BIT", 501),
        (b"FROM:<a@b.example> SMTPUTF8=yes", 501), (b"FROM:<a@b.example> X=1", 555),
        (b"FROM:<a@b.example> ENVID=" + b"x" * 101, 501), (b"FROM:<a@b.example> ENVID=+2b", 501),
        (b"FROM:<a@b.example>SIZE=1", 501), (b"FROM:<a@b.example>,<c@d.example>", 501), (b"FROM a@b.example", 501),
        (b"TO:<a@b.example>", 501), (b"", 501),
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(argument: bytes, code: int) -> None:
    with pytest.raises(ParameterError) as refused:
        parse_mail_command(argument)
    assert refused.value.code == code
