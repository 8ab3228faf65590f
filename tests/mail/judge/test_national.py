"""What is national: by the registry alone, and by where a domain's mail hosts stand."""

from __future__ import annotations

import pytest

from mail.dns import Answer, Kind, Resolver, ZoneResolver
from mail.live import FixedRules
from mail.national import gather_standings

ZONE: dict[str, object] = {
    "ours.saba.example": {"MX": ["10 mx1.ours.saba.example.", "20 mx2.ours.saba.example"]},
    "mx1.ours.saba.example": {"A": ["192.0.2.77"], "AAAA": ["2001:db8::77"]},
    "mx2.ours.saba.example": {"A": ["192.0.2.78"]},
    "split.saba.example": {"MX": ["10 mx1.ours.saba.example", "20 mx.freemail.example"]},
    "mx.freemail.example": {"A": ["198.51.100.25"]},
    "implicit.saba.example": {"A": ["192.0.2.79"]},
    "alias.saba.example": {"CNAME": ["ours.saba.example."]},
    "nullmx.saba.example": {"MX": ["0 ."]},
    "broken.saba.example": {"MX": "SERVFAIL"},
    "slow.saba.example": "TIMEOUT",
    "hostfails.saba.example": {"MX": ["10 lost.saba.example"]},
    "lost.saba.example": {"A": "TIMEOUT"},
    "dangling.saba.example": {"MX": ["10 nowhere.saba.example"]},
    "mixed.saba.example": {"MX": ["10 mixed-host.saba.example"]},
    "mixed-host.saba.example": {"A": ["192.0.2.80"], "AAAA": ["2a00::1"]},
    "*.wild.saba.example": {"MX": ["5 mx1.ours.saba.example"]},
}
CASES = [
    ("finance.saba.example", True, "registry"),
    ("sub.finance.saba.example", True, "registry"),
    ("xn--mgbe4fc1a.saba.example", True, "registry"),
    ("sabanet.example", True, "national-service"),
    ("gmail.com", False, "foreign"),
    ("unknown.example", False, "foreign"),
    ("ours.saba.example", True, "national-hosts"),
    ("alias.saba.example", True, "national-hosts"),
    ("a.wild.saba.example", True, "national-hosts"),
    ("implicit.saba.example", True, "national-hosts"),
    ("split.saba.example", False, "foreign-hosts"),
    ("mixed.saba.example", False, "foreign-hosts"),
    ("nullmx.saba.example", False, "no-mail"),
    ("dangling.saba.example", False, "no-mail"),
    ("absent.saba.example", False, "no-domain"),
    ("broken.saba.example", None, "dns-failed"),
    ("slow.saba.example", None, "dns-failed"),
    ("hostfails.saba.example", None, "dns-failed"),
    ("[192.0.2.1]", True, "national-hosts"),
    ("[198.51.100.1]", False, "foreign-hosts"),
    ("[IPv6:2001:db8::1]", True, "national-hosts"),
    ("not a domain", False, "no-domain"),
]


@pytest.mark.parametrize(("domain", "national", "why"), CASES)
async def test_standing_of_a_domain(rules: FixedRules, domain: str, national: bool | None, why: str) -> None:
    found = await gather_standings([domain], rules.policy.registry, ZoneResolver(ZONE))
    assert (found[domain].national, found[domain].why) == (national, why)


class _NobodyAsked(Resolver):
    async def ask(self, name: str, kind: Kind) -> Answer:
        raise AssertionError(f"the DNS was asked for {name} {kind}")


async def test_registry_decisions_need_no_dns(rules: FixedRules) -> None:
    domains = ["finance.saba.example", "sabanet.example", "gmail.com", "unknown.example"]
    found = await gather_standings(domains, rules.policy.registry, _NobodyAsked())
    assert [found[domain].national for domain in domains] == [True, True, False, False]
