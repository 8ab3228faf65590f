"""Rule A: every field that leads abroad, in every writing that hides it, and the lawful twin of each."""

from __future__ import annotations

from typing import Any

import pytest

from mail.facts import LEAKS, LINKS

FROM = "From: Amal <amal@finance.saba.example>"
ODD = (
    "{l}(a(b)c)@{d}", "{o}, {l}@{d}", "g: {l}@{d};", "<@x.{d}:{l}@{d}>", '"{l}"@{d}', "{l}@{d}.", "({o}) {l}@{d}",
)  # fmt: skip
USUAL = ("{l}@{d}", "N <{l}@{d}>", "\r\n\t<{l}@{d}>", "=?utf-8?q?N?= <{l}@{d}>", "{l}+tag@{d}")
OWN = "salim@interior.saba.example"
PLAIN = sorted(name.decode() for name in set(LEAKS) - LINKS)


def _letter(name: str, writing: str, local: str, domain: str) -> bytes:
    value = writing.format(l=local, d=domain, o=OWN)
    return "\r\n".join((FROM, f"{name}: {value}", "", "hello", "")).encode()


@pytest.mark.parametrize("name", PLAIN)
async def test_no_writing_hides_an_address_abroad(ask: Any, name: str) -> None:
    for writing in (*USUAL, *ODD):
        asked = await ask(_letter(name, writing, "noor", "freemail.example"))
        assert asked.word() == "reject", writing
        assert asked.rules[0].startswith(("H-LEAK", "H-ADDR")), writing


@pytest.mark.parametrize("name", PLAIN)
async def test_the_same_field_with_an_address_at_home_is_lawful(ask: Any, name: str) -> None:
    for writing in USUAL:
        asked = await ask(_letter(name, writing, "salim", "interior.saba.example"))
        assert asked.word() in ("accept", "tag"), (writing, asked.rules)
        assert not [rule for rule in asked.rules if rule.startswith("H-LEAK")], writing
