"""The registry: look-ups, and mistakes that name file, line and key."""

from importlib import resources
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hudhud.entity import Registry, a_label
from hudhud.prefix import PrefixError, PrefixTable, read_cidr, read_delegated
from hudhud.registry import RegistryError, parse_registry

TEXT = resources.files("hudhud").joinpath("demo", "registry.toml").read_bytes()


@pytest.fixture(scope="module")
def registry() -> Registry:
    return parse_registry({"registry.toml": TEXT})


@pytest.mark.parametrize(
    ("asked", "entity", "national"),
    [
        ("finance.saba.example", "FIN", True),
        ("AMAL@Finance.Saba.Example.", "FIN", True),
        ("mail.finance.saba.example", "FIN", True),
        ("x@مالية.saba.example", "FIN", True),
        ("xn--mgbe4fc1a.saba.example", "FIN", True),
        ("notfinance.saba.example", None, None),
        ("sub.sabanet.example", None, True),
        ("gmail.com", None, False),
        ("saba.example.attacker.example", None, False),
        ("192.0.2.34", "FIN", True),
        ("2001:db8:1::33", "FIN", True),
        ("::ffff:192.0.2.34", "FIN", True),
        ("192.0.2.255", None, True),
        ("198.51.100.1", None, False),
    ],
)
def test_the_registry_knows_whose_an_address_is(
    registry: Registry, asked: str, entity: str | None, national: bool | None
) -> None:
    who = registry.who(asked)
    assert (who.entity.code if who.entity else None, who.national) == (entity, national)


def test_the_longest_network_wins(registry: Registry) -> None:
    assert registry.by_address("192.0.2.230")[1].kind == "public"
    assert registry.by_address("192.0.2.200")[0].code == "TEL"


@pytest.mark.parametrize(
    ("before", "after", "place", "word"),
    [
        (b'class = "staff"', b'class = "stuff"', "entity.FIN.networks", "stuff"),
        (b'sector = "health"', b'sektor = "health"', "entity.HEA.sektor", "not known"),
        (b'"interior.saba.example"', b'"finance.saba.example"', "entity.INT.domains", "belongs to FIN"),
        (b'"interior.saba.example"', b'"gmail.com"', "entity.INT.domains", "service for everybody"),
        (b'prefix = "192.0.2.32/28"', b'prefix = "192.0.2.33/28"', "entity.FIN.networks", "host bits"),
        (b"port = 24", b"port = 99999", "entity.HEA.next_hop", "65535"),
        (b'"salim', b'salim"', "", ""),
    ],
)
def test_a_mistake_names_its_place(before: bytes, after: bytes, place: str, word: str) -> None:
    text = TEXT.replace(before, after, 1)
    if text == TEXT:
        text = TEXT.replace(b'name_ar = "', b"name_ar = ", 1)
    with pytest.raises(RegistryError) as caught:
        parse_registry({"registry.toml": text})
    assert caught.value.file == "registry.toml"
    assert caught.value.line > 0
    assert place in caught.value.key
    assert word in str(caught.value)


@pytest.mark.parametrize(
    "bad", ["", "a..b", "a b.example", "x" * 64 + ".example", "a@b@", "\u202e.example", "a\x00.example"]
)
def test_what_is_no_domain_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        a_label(bad)


@given(st.text(max_size=80))
def test_asking_about_any_text_gives_an_answer_or_a_value_error(text: str) -> None:
    try:
        parse_registry({"registry.toml": TEXT}).who(text) if not text else a_label(text)
    except ValueError as error:
        assert str(error)


def test_every_prefix_of_the_national_list_is_national_and_no_other_countrys(shared_data: Path) -> None:
    """Edges of every prefix, against the neighbours' lists (RIR data of 2026-02-01)."""
    lists = {path.parent.name.upper(): [] for path in shared_data.glob("cert/geo/rir-sy/**/*.txt")}
    for path in shared_data.glob("cert/geo/rir-sy/**/*.txt"):
        lists[path.parent.name.upper()] += list(read_cidr(path.read_text()))
    assert len(lists.get("SY", [])) > 10, sorted(lists)
    table = PrefixTable((prefix, True) for prefix in lists["SY"])
    for country, prefixes in lists.items():
        for prefix in prefixes:
            edges = (prefix.network_address, prefix.broadcast_address)
            for edge in edges:
                inside = any(edge in national for national in lists["SY"] if national.version == edge.version)
                assert (table.longest(edge) is not None) == inside
                assert inside == (country == "SY"), (country, edge)


def test_a_delegated_file_gives_the_prefixes_of_one_country() -> None:
    text = (
        "2|ripencc|20260201|3|19830705|20260131|+0000\n"
        "ripencc|*|ipv4|*|3|summary\n"
        "ripencc|SY|ipv4|192.0.2.0|192|20000101|allocated|x\n"
        "ripencc|JO|ipv4|198.51.100.0|256|20000101|allocated|y\n"
        "ripencc|SY|ipv6|2001:db8::|32|20000101|allocated|x\n"
    )
    found = [str(prefix) for prefix in read_delegated(text, "sy")]
    assert found == ["192.0.2.0/25", "192.0.2.128/26", "2001:db8::/32"]


def test_a_wrong_prefix_line_is_named() -> None:
    with pytest.raises(PrefixError, match="line 2"):
        list(read_cidr("192.0.2.0/24 # fine\n192.0.2.1/24\n"))


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20), st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_longest_match_equals_a_plain_search(starts: list[int], asked: int, length: int) -> None:
    rows = [(ip_network((start, (start + length) % 33), strict=False), start) for start in starts]
    table = PrefixTable(rows)
    address = ip_address(asked)
    fits = [prefix for prefix, _ in rows if address in prefix]
    longest = max((prefix.prefixlen for prefix in fits), default=None)
    found = table.longest(address)
    assert (found is None) == (longest is None)
    if found is not None:
        assert any(value == found and prefix.prefixlen == longest for prefix, value in rows if address in prefix)
