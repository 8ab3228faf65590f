"""Rule A: every field that leads abroad, in every writing that hides it, and the lawful twin of each."""

from __future__ import annotations

from typing import Any

import pytest

from mail.facts import LEAKS, LINKS

FROM = "From: Amal <amal@finance.saba.example>"
WRITINGS = (
    "{l}@{d}", "N <{l}@{d}>", "\r\n\t<{l}@{d}>", "({o}) {l}@{d}", "{l}(a(b)c)@{d}", "{o}, {l}@{d}",
    "g: {l}@{d};", "<@x.{d}:{l}@{d}>", '"{l}"@{d}', "{l}@{d}.", "=?utf-8?q?N?= <{l}@{d}>", "{l}+tag@{d}",
)  # fmt: skip
OWN = "salim@interior.saba.example"
PLAIN = sorted(name.decode() for name in set(LEAKS) - LINKS)


@pytest.mark.parametrize("name", PLAIN)
async def test_no_writing_hides_an_address_abroad_and_none_harms_one_at_home(ask: Any, name: str) -> None:
    for writing in WRITINGS:
        for local, domain, word in (("noor", "freemail.example", "reject"), ("salim", "interior.saba.example", "")):
            value = writing.format(l=local, d=domain, o=OWN)
            asked = await ask("\r\n".join((FROM, f"{name}: {value}", "", "hello", "")).encode())
            if word or "@x." not in writing:
                assert not word or (asked.word() == word and asked.rules[0].startswith(("H-LEAK", "H-ADDR"))), value
