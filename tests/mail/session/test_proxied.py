"""The PROXY protocol: read whole or not at all, from listed addresses only."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.session.proxied import SIGNATURE, Header, Wanting, read

V1 = b"PROXY TCP4 198.51.100.25 192.0.2.10 40000 25\r\n"


def v2(source: str, port: int, *, command: int = 0x21, extra: bytes = b"") -> bytes:
    """A header of version 2."""
    address = ipaddress.ip_address(source)
    there = ipaddress.ip_address("192.0.2.10" if address.version == 4 else "2001:db8::10")
    block = address.packed + there.packed + struct.pack(">HH", port, 25) + extra
    return SIGNATURE + struct.pack(">BBH", command, 0x11 if address.version == 4 else 0x21, len(block)) + block


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (V1, Header(len(V1), "198.51.100.25", 40000)),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n", Header(41, "2001:db8::1", 1)),
        (b"PROXY UNKNOWN anything at all\r\n", Header(31)),
        (v2("198.51.100.25", 40000), Header(28, "198.51.100.25", 40000)),
        (b"PROXY TCP6 ::ffff:198.51.100.25 ::ffff:192.0.2.10 4 25\r\n", Header(56, "198.51.100.25", 4)),
        (v2("::ffff:198.51.100.25", 4), Header(52, "198.51.100.25", 4)),
        (v2("2001:db8::1", 7, extra=b"\x04\0\x01\0"), Header(56, "2001:db8::1", 7)),
        (v2("198.51.100.25", 1, command=0x20), Header(28)),
        (SIGNATURE + b"\x21\x00\0\0", Header(16)),
    ],
)
def test_a_header_is_read_however_it_comes_and_what_follows_is_the_sessions(data: bytes, header: Header) -> None:
    assert read(data) == read(data + b"EHLO x\r\n") == header
    for end in range(len(data)):
        with pytest.raises(Wanting):
            read(data[:end])


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO x\r\n", b"PROXY TCP4 198.51.100.25 192.0.2.10 40000\r\n", b"PROXY TCP4 2001:db8::1 192.0.2.1 1 25\r\n",
        b"PROXY TCP4 300.1.1.1 192.0.2.1 1 25\r\n", b"PROXY TCP4 198.51.100.25 192.0.2.10 70000 25\r\n",
        b"PROXY TCP4  198.51.100.25 192.0.2.10 1 25\r\n", b"PROXY " + b"x" * 120, b"\r\nNOOP\r\n",
        SIGNATURE + b"\x31\x11\0\x0c" + bytes(12), SIGNATURE + b"\x21\x11\0\x04" + bytes(4),
        SIGNATURE + b"\x21\x31\0\x0c" + bytes(12), SIGNATURE + b"\x21\x11\xff\xff",
    ],
)  # fmt: skip
def test_what_is_no_header_is_none(data: bytes) -> None:
    assert read(data) is None


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=80).map(lambda b: SIGNATURE + b)))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    try:
        found = read(data)
    except Wanting:
        return
    assert found is None or (found.length <= len(data) and 0 <= found.port <= 65535)


@pytest.mark.parametrize("header", [V1, v2("198.51.100.25", 40000)])
async def test_a_balancer_says_who_it_speaks_for_even_octet_by_octet(start: Any, header: bytes) -> None:
    async with start(proxy_from=("127.0.0.0/8",)) as running:
        talk = await running.connect()
        for octet in header:
            talk.send(bytes([octet]))
            await talk.writer.drain()
            await asyncio.sleep(0)
        assert (await talk.reply()).startswith("220")
        (session,) = running.door.sessions
        assert (session.ip, session.port) == ("198.51.100.25", 40000)
        assert (await talk.say("EHLO x.example")).startswith("250")


async def test_a_balancer_that_says_nothing_or_nonsense_is_not_spoken_to(start: Any) -> None:
    async with start(proxy_from=("127.0.0.1",)) as running:
        for said in (b"EHLO x.example\r\n", b"PROXY TCP4 nonsense\r\n"):
            talk = await running.connect()
            talk.send(said)
            assert await talk.ended()


async def test_who_speaks_behind_a_balancer_before_the_greeting_is_cut(start: Any) -> None:
    async with start(proxy_from=("127.0.0.1",)) as running:
        talk = await running.connect()
        talk.send(V1 + b"EHLO x.example\r\n")
        assert (await talk.reply()).startswith("554 5.5.0")


async def test_the_limits_are_those_of_the_client_not_of_its_balancer(start: Any) -> None:
    async with start(proxy_from=("127.0.0.1",), max_sessions_per_address=1) as running:
        first, again, other = [await running.connect() for _ in range(3)]
        first.send(V1)
        assert (await first.reply()).startswith("220")
        again.send(V1)
        assert (await again.reply()).startswith("421 4.7.0")
        other.send(v2("203.0.113.9", 1))
        assert (await other.reply()).startswith("220")


@pytest.mark.parametrize("header", [V1, v2("198.51.100.25", 40000)])
async def test_from_anywhere_else_it_is_no_command(start: Any, header: bytes) -> None:
    async with start(proxy_from=("192.0.2.0/24",)) as running:
        talk = await running.connect()
        await talk.reply()
        talk.send(header + b"\r\n")
        assert (await talk.reply()).startswith("500")
        (session,) = running.door.sessions
        assert session.ip == "127.0.0.1"
