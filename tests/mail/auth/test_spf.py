"""SPF against the public test suites of RFC 4408/7208 and of another implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mail.auth import spf
from mail.dns import Answer, Kind, Resolver, ZoneResolver, canonical, reverse_name


class SuiteZone(Resolver):
    """The zone data of the openspf suite: lists of {type: value}, TIMEOUT among them."""

    def __init__(self, zone: Mapping[str, list[Any]]) -> None:
        self._zone = {canonical(name): rows for name, rows in zone.items()}

    async def ask(self, name: str, kind: Kind) -> Answer:
        rows = self._zone.get(canonical(name))
        if rows is None:
            return "NXDOMAIN"
        types = [next(iter(row)) for row in rows if isinstance(row, dict)]
        found: list[str] = []
        for row in rows:
            if row == "TIMEOUT":
                return "TIMEOUT"
            ((of, value),) = row.items()
            if of == "CNAME":
                return await self.ask(value, kind)
            if of != kind and not (kind == "TXT" and of == "SPF" and "TXT" not in types):
                continue
            if value == "TIMEOUT":
                return "TIMEOUT"
            if value != "NONE":
                text = value if isinstance(value, str) else "".join(map(str, value))
                found.append(f"{value[0]} {value[1]}" if kind == "MX" else text)
        return tuple(found)


async def test_the_suite_of_rfc_4408_gives_the_expected_results(shared_data: Path) -> None:
    suite = (shared_data / "mail" / "auth" / "spf-rfc4408" / "rfc4408-tests.yml").read_text(encoding="utf-8")
    seen, wrong = 0, []
    for document in filter(None, yaml.safe_load_all(suite)):
        zone = SuiteZone(document["zonedata"])
        for name, case in document["tests"].items():
            wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
            got = await spf.check(case["host"], case["mailfrom"], case["helo"], zone)
            seen += 1
            if got.result not in wanted:
                wrong.append((name, got.result, wanted))
    assert wrong == []
    assert seen > 150


class Repeating(yaml.SafeLoader):
    """Reads mappings in which a key may stand more than once, as pairs under `records`."""


def _pairs(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Any:
    rows = [(loader.construct_object(k), loader.construct_object(v, deep=True)) for k, v in node.value]
    return rows if len({key for key, _ in rows}) < len(rows) else dict(rows)


Repeating.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _pairs)
KINDS = {"spf": "TXT", "exp": "TXT", "ptr": "PTR", "mx": "MX", "a": "A", "aaaa": "AAAA"}


def _zone(records: Any) -> dict[str, dict[str, list[str]]]:
    """Rows such as `a: test.org 192.168.1.5, 192.168.1.6` of the other suite."""
    zone: dict[str, dict[str, list[str]]] = {}
    for kind, row in records.items() if isinstance(records, dict) else records:
        name, _, value = str(row).partition(" ")
        texts = [value] if KINDS[kind] == "TXT" else [one.strip() for one in value.split(",")]
        if kind == "ptr":
            name = reverse_name(name)
        for number, text in enumerate(texts):
            if kind == "mx":  # the suite writes the addresses of mail hosts that have no name
                host = f"mx{number}.{name}"
                zone.setdefault(host, {})["AAAA" if ":" in text else "A"] = [text]
            shown = f"{number} mx{number}.{name}" if kind == "mx" else text
            zone.setdefault(canonical(name), {}).setdefault(KINDS[kind], []).append(shown)
    return zone


OTHERWISE = {
    ("all.yml", "test.org"): "a syntax error anywhere is a permerror (RFC 7208 section 4.6), behind -all too",
    ("basic.yml", "_dns_error.org"): "the name makes the other implementation's resolver fail",
    ("basic.yml", "ok.test.org"): "its names do not exist: more than two void lookups (section 4.6.4)",
    ("basic.yml", "mx.test.org"): "HELO is judged where there is a sender; more than ten mail hosts",
    ("basic.yml", "ptr.test.org"): "its names do not exist: more than two void lookups",
    ("exists.yml", "ip6.test.org"): "exists asks for A records only (section 5.7)",
    ("include.yml", "include.temperror.test.org"): "the name makes the other implementation's resolver fail",
    ("ip.yml", "test.org"): "ip6: does not match an IPv4 client (section 5.6)",
    ("macro.yml", "mx.example.org"): "exists asks for A records only",
}
"""Where the two implementations differ, and why ours stays."""


def _other_suite(folder: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.glob("*.yml")):
        for document in yaml.load_all(path.read_text(encoding="utf-8"), Loader=Repeating):
            if document and "tests" in document:
                yield path.name, document


async def test_results_are_those_of_another_implementation(shared_data: Path) -> None:
    same, differ = 0, {}
    for name, document in _other_suite(shared_data / "mail" / "auth" / "spf-stalwart"):
        resolver = ZoneResolver(_zone(document.get("records") or {}))
        for case in (one for one in document["tests"] if "ip" in one):
            got = await spf.check(str(case["ip"]), case.get("sender") or "", case["domain"], resolver)
            if got.result == str(case["expect"]).split()[0].lower():
                same += 1
            else:
                differ[name, case["domain"]] = got.result
    assert differ.keys() == OTHERWISE.keys()
    assert same > 100


@pytest.mark.parametrize(
    ("answer", "result"), [("SERVFAIL", "temperror"), ("TIMEOUT", "temperror"), ("NXDOMAIN", "none")]
)
async def test_what_the_dns_does_is_a_result(answer: str, result: str) -> None:
    zone = ZoneResolver({"abroad.example": {"TXT": [answer]}} if answer != "NXDOMAIN" else {})
    assert (await spf.check("192.0.2.1", "a@abroad.example", "h.example", zone)).result == result


async def test_the_null_sender_is_asked_for_by_its_helo() -> None:
    zone = ZoneResolver({"mx.abroad.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}})
    got = await spf.check("192.0.2.1", "", "mx.abroad.example", zone)
    assert (got.result, got.domain, got.helo) == ("pass", "mx.abroad.example", True)


async def test_a_fault_deep_in_a_record_is_no_pass() -> None:
    zone = ZoneResolver({
        "abroad.example": {"TXT": ["v=spf1 include:other.example -all"]}, "other.example": {"TXT": ["TIMEOUT"]},
    })  # fmt: skip
    assert (await spf.check("192.0.2.1", "a@abroad.example", "h.example", zone)).result == "temperror"
