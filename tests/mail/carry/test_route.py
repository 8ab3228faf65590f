"""Where mail goes next: the registry for bodies, MX records for others, never back to ourselves."""

from __future__ import annotations

from importlib import resources

import pytest

from hudhud.clock import VirtualClock
from hudhud.registry import parse_registry
from mail.dns import ZoneResolver
from mail.route import Hop, NoWay, Routes

REGISTRY = parse_registry({"registry.toml": resources.files("hudhud").joinpath("demo", "registry.toml").read_bytes()})
ZONE = {
    "partner.example": {"MX": ["10 mx.partner.example", "20 mx2.partner.example", "10 mx1.partner.example"]},
    "mx.partner.example": {"A": ["203.0.113.25"], "AAAA": ["2001:db8:ffff::25"]},
    "mx1.partner.example": {"A": ["203.0.113.26"]},
    "mx2.partner.example": {"A": ["203.0.113.27"]},
    "bare.example": {"A": ["203.0.113.30"]},
    "null.example": {"MX": ["0 ."]},
    "nothing.example": {"TXT": ["x"]},
    "lost.example": {"MX": ["10 gone.example"]},
    "unsure.example": {"MX": ["10 broken.example"]},
    "broken.example": "SERVFAIL",
    "loop.example": {"MX": ["10 mx.relay.saba.example", "20 other.example"]},
    "backup.example": {"MX": ["20 mx.relay.saba.example", "10 bare.example"]},
    "mx.relay.saba.example": {"A": ["192.0.2.10"]},
    "other.example": {"A": ["203.0.113.40"]},
}
OWN = frozenset({"192.0.2.10", "mx.relay.saba.example"})


def routes(clock: VirtualClock | None = None) -> Routes:
    return Routes(lambda: REGISTRY, ZoneResolver(ZONE), own=OWN, clock=clock or VirtualClock())


async def addresses(domain: str) -> list[str]:
    way = await routes().find(domain)
    assert isinstance(way, Hop), way
    return [target.address for target in way.targets]


async def test_a_body_has_the_next_hop_of_the_registry_without_any_dns() -> None:
    way = routes().known("health.saba.example")
    assert isinstance(way, Hop)
    assert (way.protocol, way.tls, way.entity, way.targets[0].port) == ("lmtp", "none", "HEA", 24)
    below = routes().known("clinic.health.saba.example")
    assert isinstance(below, Hop)
    assert below.key == way.key


async def test_hosts_come_in_order_of_preference_with_both_families() -> None:
    found = await addresses("partner.example")
    assert set(found[:3]) == {"203.0.113.25", "2001:db8:ffff::25", "203.0.113.26"}
    assert found[3:] == ["203.0.113.27"]


async def test_without_mx_the_domain_itself_is_the_host() -> None:
    assert await addresses("bare.example") == ["203.0.113.30"]


@pytest.mark.parametrize(
    ("domain", "permanent", "status"),
    [
        ("absent.example", True, "5.1.2"),
        ("null.example", True, "5.1.10"),
        ("nothing.example", True, "5.4.4"),
        ("lost.example", True, "5.4.4"),
        ("broken.example", False, "4.4.3"),
        ("unsure.example", False, "4.4.3"),
        ("loop.example", True, "5.4.6"),
        ("[nonsense]", True, "5.1.2"),
    ],
)
async def test_no_way_says_why_and_whether_it_may_pass(domain: str, permanent: bool, status: str) -> None:
    way = await routes().find(domain)
    assert isinstance(way, NoWay)
    assert way.permanent == permanent
    assert way.reply.startswith(status)


async def test_as_a_backup_we_hand_on_only_to_better_hosts() -> None:
    assert await addresses("backup.example") == ["203.0.113.30"]


async def test_an_address_literal_is_its_own_host() -> None:
    assert await addresses("[203.0.113.9]") == ["203.0.113.9"]
    assert await addresses("[IPv6:2001:db8::9]") == ["2001:db8::9"]


async def test_what_was_found_is_known_for_a_minute_and_a_failure_is_not() -> None:
    clock = VirtualClock()
    mine = routes(clock)
    assert mine.known("partner.example") is None
    await mine.find("partner.example")
    assert mine.known("partner.example") is not None
    await mine.find("broken.example")
    assert mine.known("broken.example") is None
    await clock.advance(61)
    assert mine.known("partner.example") is None
