"""Dovecot's auth socket, of a real Dovecot: passwords, SCRAM word for word, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from scramp import ScramClient

from hudhud.settings import Dovecot as Settings
from mail.proof.dovecot import Dovecot
from mail.proof.known import Asked, BackendDown, Exchange, Known, NotOffered
from tests.mail.proof.conftest import PASSWORD, QUIET, asked

pytestmark = pytest.mark.system
HUDA, LINA = "huda@health.saba.example", "lina@health.saba.example"


def back_end(socket: Path, **more: object) -> Dovecot:
    return Dovecot("health", Settings(domains=("health.saba.example",), socket=str(socket), **more))  # type: ignore[arg-type] # settings of every type


async def by_scram(exchange: Exchange, who: str, password: str) -> Known | None:
    """A SCRAM client that nobody here wrote."""
    client = ScramClient(["SCRAM-SHA-256"], who, password)
    try:
        first = await exchange.step(client.get_client_first().encode())
        assert isinstance(first, bytes)
        client.set_server_first(first.decode())
        final = await exchange.step(client.get_client_final().encode())
        if not isinstance(final, bytes):
            return final
        client.set_server_final(final.decode())
        answer = await exchange.step(b"")
        assert not isinstance(answer, bytes)
        return answer
    finally:
        exchange.close()


async def test_passwords_are_checked_by_dovecot_many_at_once_on_one_connection(dovecot: Path) -> None:
    backend = back_end(dovecot)
    assert await backend.verify(asked(HUDA), PASSWORD.encode()) == Known(HUDA)
    names = [HUDA, LINA, "nobody@health.saba.example"]
    found = await asyncio.gather(*(backend.verify(asked(name), PASSWORD.encode()) for name in names * 4))
    assert [one.address if one else None for one in found] == [HUDA, None, None] * 4
    assert await backend.verify(asked(HUDA), b"wrong") is None
    assert await backend.verify(Asked("huda\tx@health.saba.example", None, ""), b"x\ty\nz") is None
    assert backend._waiting == {}
    await backend.close()


async def test_scram_goes_through_it_word_for_word(dovecot: Path) -> None:
    backend = back_end(dovecot)
    await backend.look()
    assert backend.mechanisms == {"SCRAM-SHA-256"}
    for password, found in (("pencil, sharpened", Known(LINA)), ("wrong", None)):
        assert await by_scram(await backend.exchange("SCRAM-SHA-256", asked(LINA)), LINA, password) == found
    with pytest.raises(NotOffered):
        await backend.exchange("SCRAM-SHA-256", asked(HUDA), main=False)
    with pytest.raises(NotOffered):
        await backend.exchange("CRAM-MD5", asked(HUDA))
    given_up = await backend.exchange("SCRAM-SHA-256", asked(HUDA))
    await given_up.step(ScramClient(["SCRAM-SHA-256"], HUDA, "x").get_client_first().encode())
    given_up.close()
    assert backend._waiting == {}
    assert await backend.verify(asked(HUDA), PASSWORD.encode()) == Known(HUDA)
    await backend.close()


async def test_a_dovecot_that_goes_away_is_our_fault_until_it_is_back(dovecot: Path) -> None:
    backend = back_end(dovecot)
    conf = str(dovecot.parent / "dovecot.conf")
    await asyncio.to_thread(subprocess.run, ["doveadm", "-c", conf, "stop"], check=True, **QUIET)
    with pytest.raises(BackendDown):
        await backend.verify(asked(HUDA), PASSWORD.encode())
    await asyncio.to_thread(subprocess.run, ["dovecot", "-c", conf], check=True, **QUIET)
    assert await backend.verify(asked(HUDA), PASSWORD.encode()) == Known(HUDA)
    await backend.close()


async def test_a_socket_that_is_silent_or_speaks_something_else_is_our_fault(tmp_path: Path) -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async def other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"VERSION\t2\t0\nDONE\n")

    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nDONE\n")
        await reader.readuntil(b"AUTH")
        writer.close()

    for number, speak in enumerate((silent, other, leaving)):
        server = await asyncio.start_unix_server(speak, tmp_path / str(number))
        backend = back_end(tmp_path / str(number), timeout_s=0.2)
        with pytest.raises(BackendDown):
            await backend.verify(asked(HUDA), PASSWORD.encode())
        assert backend.mechanisms == frozenset()
        await backend.close()
        server.close()
    with pytest.raises(BackendDown):
        await back_end(tmp_path / "nothing").verify(asked(HUDA), PASSWORD.encode())
