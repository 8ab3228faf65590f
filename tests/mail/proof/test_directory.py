"""LDAP against Debian's slapd: by search and by template, over StartTLS and TLS, down, slow, and with odd names."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from hudhud.settings import Directory as Settings
from mail.proof.directory import Directory
from mail.proof.known import BackendDown, Known, NotOffered
from tests.mail.proof.conftest import BASE, PASSWORD, SEARCH_PASSWORD, SEARCHER, Slapd, asked

pytestmark = pytest.mark.system
AMAL = "amal@finance.saba.example"


def by_search(slapd: Slapd, **more: Any) -> Directory:
    values: dict[str, Any] = {
        "domains": ("finance.saba.example",), "urls": (f"ldap://127.0.0.1:{slapd.plain}",), "ca": slapd.ca,
        "base": BASE, "bind_dn": SEARCHER, "password_file": "x", "filter": "(&(objectClass=person)(mail={address}))",
    }  # fmt: skip
    return Directory("fin", Settings(**values | more), SEARCH_PASSWORD.encode())


def by_template(slapd: Slapd, **more: Any) -> Directory:
    dn = f"uid={{local}},ou=people,{BASE}"
    urls = (f"ldaps://127.0.0.1:{slapd.implicit}",)
    return Directory("fin", Settings(domains=("*",), urls=urls, ca=slapd.ca, dn=dn, **more), None)


@pytest.mark.parametrize("make", [by_search, by_template])
async def test_the_right_password_is_known_with_the_addresses_of_the_entry(make: Any, slapd: Slapd) -> None:
    directory = make(slapd)
    found = await directory.verify(asked(AMAL), PASSWORD.encode())
    assert found == Known(AMAL, frozenset({AMAL, "amal.2@finance.saba.example"}))
    assert await directory.verify(asked(AMAL), b"wrong") is None
    assert await directory.verify(asked("nobody@finance.saba.example"), PASSWORD.encode()) is None
    with pytest.raises(NotOffered):
        await directory.exchange("SCRAM-SHA-256", asked(AMAL))
    await directory.close()


async def test_ldaps_is_searched_too_and_several_log_ins_at_once_are_bounded(slapd: Slapd) -> None:
    directory = by_search(slapd, urls=(f"ldaps://127.0.0.1:{slapd.implicit}",), max_connections=2)
    passwords = [PASSWORD.encode() if n % 2 else b"wrong" for n in range(12)]
    found = await asyncio.gather(*(directory.verify(asked(AMAL), one) for one in passwords))
    assert [one is not None for one in found] == [n % 2 == 1 for n in range(12)]
    assert len(directory._threads._threads) == 2
    await directory.close()


@pytest.mark.parametrize(
    "typed",
    ["*@finance.saba.example", "amal)(mail=*@finance.saba.example", "a*@finance.saba.example",
     "amal\\2a@finance.saba.example",
     "amal@finance.saba.example)(|(mail=*", "x)(|(uid=amal@finance.saba.example", "amal\0@finance.saba.example",
     "amal,ou=people@finance.saba.example", "yusuf+uid=amal@finance.saba.example"],
)  # fmt: skip
async def test_what_a_person_types_never_becomes_filter_or_dn(typed: str, slapd: Slapd) -> None:
    from mail.proof.known import Asked

    for directory in (by_search(slapd), by_template(slapd)):
        assert await directory.verify(Asked(typed, None, ""), PASSWORD.encode()) is None
        await directory.close()


async def test_names_with_stars_brackets_and_commas_are_found_as_they_are(slapd: Slapd) -> None:
    directory = by_search(slapd)
    assert await directory.verify(asked("star*(amal)@finance.saba.example"), PASSWORD.encode()) is not None
    assert await directory.verify(asked("o'neil,jr@finance.saba.example"), b"comma") is not None
    await directory.close()
    template = by_template(slapd)
    assert await template.verify(asked("star*(amal)@finance.saba.example"), PASSWORD.encode()) is not None
    await template.close()


async def test_the_same_name_in_another_domain_is_somebody_else(slapd: Slapd) -> None:
    for directory in (by_template(slapd), by_search(slapd, filter="(uid={local})")):
        assert await directory.verify(asked(AMAL), PASSWORD.encode()) is not None
        assert await directory.verify(asked("amal@customs.finance.saba.example"), PASSWORD.encode()) is None
        await directory.close()


async def test_an_address_of_two_entries_is_nobodys(slapd: Slapd) -> None:
    directory = by_search(slapd)
    assert await directory.verify(asked("twin@finance.saba.example"), b"same") is None
    await directory.close()


async def test_no_password_passes_in_clear_and_a_foreign_certificate_is_no_server(slapd: Slapd, tmp_path: Any) -> None:
    import trustme

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    for directory in (
        by_search(slapd, ca=str(tmp_path / "other.pem")),
        by_search(slapd, urls=(f"ldaps://127.0.0.1:{slapd.implicit}",), ca=str(tmp_path / "other.pem")),
        by_search(slapd, starttls=False),  # this slapd takes no password without TLS
    ):
        with pytest.raises(BackendDown):
            await directory.verify(asked(AMAL), PASSWORD.encode())
        await directory.close()


async def test_a_server_that_is_down_or_silent_is_our_fault_and_the_next_one_is_asked(slapd: Slapd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody, mute = (f"ldap://127.0.0.1:{one.getsockname()[1]}" for one in (closed, silent))
        for url in (nobody, mute):
            directory = by_search(slapd, urls=(url,), timeout_s=0.5)
            with pytest.raises(BackendDown):
                await directory.verify(asked(AMAL), PASSWORD.encode())
            with pytest.raises(BackendDown):
                await directory.look()
            await directory.close()
        directory = by_search(slapd, urls=(nobody, f"ldap://127.0.0.1:{slapd.plain}"))
        assert await directory.verify(asked(AMAL), PASSWORD.encode()) is not None
        await directory.look()
        await directory.close()


async def test_a_wrong_bind_password_of_ours_is_our_fault(slapd: Slapd) -> None:
    directory = by_search(slapd)
    directory._password = b"changed over there"
    with pytest.raises(BackendDown, match="may not bind"):
        await directory.verify(asked(AMAL), PASSWORD.encode())
    await directory.close()
