"""DMARC by RFC 9989: public cases, the tree walk, alignment, and what is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mail.auth import dmarc
from mail.auth.results import Dkim, Dmarc, Spf
from mail.dns import ZoneResolver

NOBODY = Spf("none", "")


def zone(records: Mapping[str, str]) -> ZoneResolver:
    return ZoneResolver({name: {"TXT": [text]} for name, text in records.items()})


def passed(*domains: str) -> list[Dkim]:
    return [Dkim(domain, "s", "pass") for domain in domains]


def _named(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else entry["domain"] for entry in entries]


async def test_public_cases_give_the_expected_result_policy_and_domain(shared_data: Path) -> None:
    cases = json.loads((shared_data / "mail" / "auth" / "dmarc" / "mailauth-dmarc-verify.json").read_text("utf-8"))
    compared = 0
    for case in cases:
        (given,) = case["inputs"]
        author = given["headerFrom"] if isinstance(given["headerFrom"], str) else given["headerFrom"][0]
        sent = _named(given["spfDomains"])
        got = await dmarc.check(
            [author.rpartition("@")[2]],
            Spf("pass", sent[0]) if sent else NOBODY,
            passed(*_named(given["dkimDomains"])),
            ZoneResolver(given["zone"]),
        )
        for wanted in case["expect"]:
            shown = {"status.result": got.result, "policy": got.policy, "domain": got.domain}.get(wanted["path"])
            if shown is not None and wanted["op"] == "equal":
                assert shown == wanted["args"][0], case["name"]
                compared += 1
    assert compared >= 15


async def test_the_walk_goes_up_and_jumps_over_the_middle_of_long_names() -> None:
    asked: list[str] = []

    class Noting(ZoneResolver):
        async def txt(self, name: str) -> Any:
            asked.append(name)
            return await super().txt(name)

    await dmarc.walk("a.b.c.d.e.f.g.h.i.example.com", Noting({}))
    assert asked[0] == "_dmarc.a.b.c.d.e.f.g.h.i.example.com"
    assert asked[1] == "_dmarc.e.f.g.h.i.example.com"
    assert asked[-1] == "_dmarc.com"
    assert len(asked) == 8


@pytest.mark.parametrize(
    ("records", "domain", "organization"),
    [
        ({"_dmarc.example.com": "v=DMARC1; p=none"}, "a.b.example.com", "example.com"),
        ({"_dmarc.b.example.com": "v=DMARC1; psd=n", "_dmarc.example.com": "v=DMARC1"}, *["b.example.com"] * 2),
        ({"_dmarc.gov.example": "v=DMARC1; psd=y; p=reject"}, "mail.finance.gov.example", "finance.gov.example"),
        ({}, "a.example.com", "a.example.com"),
    ],
)  # fmt: skip
async def test_the_organizational_domain(records: dict[str, str], domain: str, organization: str) -> None:
    assert dmarc.organizational(domain, await dmarc.walk(domain, zone(records))) == organization


async def test_a_public_suffix_asks_for_those_who_have_no_record() -> None:
    records = zone({"_dmarc.gov.example": "v=DMARC1; psd=y; p=reject"})
    got = await dmarc.check(["finance.gov.example"], NOBODY, [], records)
    assert got == Dmarc("fail", "reject", "gov.example", "finance.gov.example")


async def test_one_ministry_does_not_speak_for_another_below_the_same_suffix() -> None:
    records = zone({"_dmarc.gov.example": "v=DMARC1; psd=y; p=reject"})
    got = await dmarc.check(["finance.gov.example"], NOBODY, passed("health.gov.example"), records)
    assert got.result == "fail"


@pytest.mark.parametrize(
    ("record", "policy"),
    [
        ("v=DMARC1; p=reject; sp=none", "none"),
        ("v=DMARC1; p=reject; np=quarantine", "quarantine"),
        ("v=DMARC1; p=reject; t=y", "quarantine"),
        ("v=DMARC1; rua=mailto:a@example.com", "none"),
        ("v=DMARC1; p=REJECT; unknown=x", "reject"),
        ("v=DMARC1; p=bogus", "none"),
    ],
)
async def test_what_is_asked_for_below_the_record(record: str, policy: str) -> None:
    """The sub-domain does not exist, so np counts where it stands."""
    assert (await dmarc.check(["x.example.com"], NOBODY, [], zone({"_dmarc.example.com": record}))).policy == policy


async def test_np_does_not_count_for_a_name_that_exists() -> None:
    records = ZoneResolver({
        "_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject; np=none"]}, "x.example.com": {"A": ["192.0.2.1"]},
    })  # fmt: skip
    assert (await dmarc.check(["x.example.com"], NOBODY, [], records)).policy == "reject"


@pytest.mark.parametrize(
    ("texts", "result"),
    [
        (["v=DMARC1; p=reject", "v=DMARC1; p=none"], "none"),
        (["p=reject; v=DMARC1"], "none"),
        (["v=DMARC2; p=reject"], "none"),
        (["v=spf1 -all", "v=DMARC1; p=reject"], "fail"),
        (["SERVFAIL"], "temperror"),
    ],
)
async def test_records_that_count_and_those_that_do_not(texts: list[str], result: str) -> None:
    records = ZoneResolver({"_dmarc.example.com": {"TXT": texts}})
    assert (await dmarc.check(["example.com"], NOBODY, [], records)).result == result


async def test_several_authors_of_different_houses_are_an_error() -> None:
    records = zone({"_dmarc.a.example": "v=DMARC1; p=none", "_dmarc.b.example": "v=DMARC1; p=none"})
    assert (await dmarc.check(["a.example", "b.example"], NOBODY, passed("a.example"), records)).result == "permerror"
    assert (await dmarc.check([], NOBODY, [], records)).result == "none"


async def test_only_what_passed_aligns() -> None:
    records = zone({"_dmarc.example.com": "v=DMARC1; p=reject"})
    failed = [Dkim("example.com", "s", "fail"), Dkim("example.com", "s", "policy")]
    assert (await dmarc.check(["example.com"], Spf("softfail", "example.com"), failed, records)).result == "fail"
