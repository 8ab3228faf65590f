"""DNS answers are values: zone files, failures, and the bounded cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from hudhud.clock import VirtualClock
from mail.dns import Cache, DnsError, ZoneResolver


async def test_a_failure_may_stand_for_records_or_for_a_name() -> None:
    zone = ZoneResolver({"a.example": {"TXT": "SERVFAIL", "MX": ["TIMEOUT"]}, "b.example": "NXDOMAIN"})
    assert await zone.txt("A.example.") == "SERVFAIL"
    assert await zone.mx("a.example") == "TIMEOUT"
    assert await zone.txt("b.example") == "NXDOMAIN"
    assert await zone.txt("c.example") == "NXDOMAIN"
    assert await zone.ask("a.example", "A") == ()


async def test_mx_comes_in_order_of_preference() -> None:
    zone = ZoneResolver({"a.example": {"MX": ["20 Two.example.", "10 one.example", "three.example"]}})
    assert await zone.mx("a.example") == ("0 three.example", "10 one.example", "20 two.example")


async def test_addresses_of_both_families_are_one_answer() -> None:
    zone = ZoneResolver({"a.example": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]}, "b.example": {"AAAA": "TIMEOUT"}})
    assert await zone.addresses("a.example") == ("192.0.2.1", "2001:db8::1")
    assert await zone.addresses("b.example") == "TIMEOUT"
    assert await zone.addresses("c.example") == "NXDOMAIN"


async def test_a_loop_of_aliases_ends() -> None:
    zone = ZoneResolver({"a.example": {"CNAME": ["b.example"]}, "b.example": {"CNAME": ["a.example"]}})
    assert await zone.mx("a.example") == "SERVFAIL"


@pytest.mark.parametrize("text", ["[]", "{", '{"a.example": 5}', '{"a.example": {"MX": 5}}'])
def test_a_bad_zone_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "zone.json"
    path.write_text(text)
    with pytest.raises(DnsError, match=r"zone\.json|a\.example"):
        ZoneResolver.load(path)


async def test_the_cache_keeps_to_ttl_and_bound() -> None:
    clock = VirtualClock()
    cache = Cache(2, clock)
    for name in ("a", "b", "c"):
        cache.put(name, "A", ("192.0.2.1",), 10.0)
    assert cache.get("a", "A") is None
    assert cache.evicted == 1
    assert cache.get("c", "A") == ("192.0.2.1",)
    await clock.advance(11)
    assert cache.get("c", "A") is None
