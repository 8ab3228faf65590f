"""The posture of a domain: each point on a good domain and on its bad twin, the score, the reports."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hudhud.i18n import translations
from mail.dns import ZoneResolver
from mail.live import demo_rules
from mail.posture import checks, report
from mail.posture.checks import Posture, judge
from mail.posture.facts import Facts, Host, Spoken, bits, gather
from mail.posture.report import Body
from mail.posture.senders import gather as senders

REGISTRY = demo_rules().policy.registry
DOMAIN = "finance.saba.example"


def _key(size: int) -> str:
    public = rsa.generate_private_key(public_exponent=65537, key_size=size).public_key()
    data = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(data).decode()}"


KEY = _key(2048)
MX = "10 mx.relay.saba.example"
GOOD: dict[str, Any] = {
    DOMAIN: {"MX": [MX], "TXT": ["v=spf1 mx ip4:192.0.2.0/24 -all"]},
    "mx.relay.saba.example": {"A": ["192.0.2.10"]},
    "10.2.0.192.in-addr.arpa": {"PTR": ["mx.relay.saba.example"]},
    "_25._tcp.mx.relay.saba.example": {"TLSA": ["3 1 1 " + "ab" * 32]},
    f"hudhud._domainkey.{DOMAIN}": {"TXT": [KEY]},
    f"_dmarc.{DOMAIN}": {"TXT": ["v=DMARC1; p=reject"]},
    f"_mta-sts.{DOMAIN}": {"TXT": ["v=STSv1; id=1"]},
    f"_smtp._tls.{DOMAIN}": {"TXT": ["v=TLSRPTv1; rua=mailto:a@saba.example"]},
    f"webmail.{DOMAIN}": {"A": ["192.0.2.40"]},
}


class Polite:
    """A host that speaks TLS and refuses strangers, or as it is told."""

    def __init__(self, said: Spoken) -> None:
        self._said = said

    async def call(self, host: str, address: str) -> Spoken:
        return self._said


async def posture(zone: Mapping[str, Any], said: Spoken | None = None) -> Posture:
    said = said or Spoken("TLSv1.3", True, 90, False)
    return judge(await gather(DOMAIN, ZoneResolver(zone), selectors=("hudhud",), caller=Polite(said)), REGISTRY)


async def test_a_domain_that_does_everything_has_a_hundred() -> None:
    found = await posture(GOOD)
    assert [(point.name, point.state) for point in found.points if point.state != "good"] == []
    assert found.score == 100


@pytest.mark.parametrize(
    ("change", "point"),
    [
        ({DOMAIN: {"MX": ["10 mx.freemail.example"], "TXT": ["v=spf1 -all"]},
          "mx.freemail.example": {"A": ["198.51.100.25"]}},
         "Mail hosts stand in the country"),
        ({DOMAIN: {"MX": [MX], "TXT": ["v=spf1 mx +all"]}}, "SPF ends with -all"),
        ({DOMAIN: {"MX": [MX], "TXT": ["v=spf1 mx -all", "v=spf1 -all"]}}, "SPF ends with -all"),
        ({DOMAIN: {"MX": [MX], "TXT": ["v=spf1 ip4:198.51.100.0/24 -all"]}},
         "SPF lets nobody abroad send"),
        ({DOMAIN: {"MX": [MX], "TXT": ["v=spf1 include:spf.freemail.example -all"]},
          "spf.freemail.example": {"TXT": ["v=spf1 ip4:198.51.100.7 -all"]}}, "SPF lets nobody abroad send"),
        ({f"hudhud._domainkey.{DOMAIN}": {"TXT": ["v=DKIM1; p="]}}, "DKIM keys of 2048 bits or more"),
        ({f"_dmarc.{DOMAIN}": {"TXT": ["v=DMARC1; p=none"]}}, "DMARC asks to reject"),
        ({f"_dmarc.{DOMAIN}": {"TXT": ["v=DMARC1; p=reject; t=y"]}}, "DMARC asks to reject"),
        ({f"_mta-sts.{DOMAIN}": {"TXT": []}}, "TLS is enforced by DANE or MTA-STS"),
        ({f"_smtp._tls.{DOMAIN}": {"TXT": []}}, "TLS reports are asked for"),
        ({"10.2.0.192.in-addr.arpa": {"PTR": []}}, "Mail hosts have names in reverse"),
        ({f"webmail.{DOMAIN}": {"A": ["198.51.100.80"]}}, "Web mail stands in the country"),
    ],
)  # fmt: skip
async def test_each_fault_is_its_own_point_with_a_remedy_and_costs(change: dict[str, Any], point: str) -> None:
    found = await posture({**GOOD, **change})
    wrong = {one.name: one for one in found.points if one.state in ("bad", "weak")}
    assert point in wrong
    assert all(one.remedy for one in wrong.values())
    assert found.score is not None
    assert found.score < 100


@pytest.mark.parametrize(
    ("said", "point"),
    [
        (Spoken("", False, None, False), "Mail hosts speak TLS with a valid certificate"),
        (Spoken("TLSv1", True, 90, False), "Mail hosts speak TLS with a valid certificate"),
        (Spoken("TLSv1.3", True, 3, False), "Mail hosts speak TLS with a valid certificate"),
        (Spoken("TLSv1.3", True, 90, True), "Hosts do not relay for strangers"),
    ],
)
async def test_what_a_host_says_counts(said: Spoken, point: str) -> None:
    found = await posture(GOOD, said)
    assert point in [one.name for one in found.points if one.state in ("bad", "weak")]


async def test_an_open_relay_caps_the_score() -> None:
    assert (await posture(GOOD, Spoken("TLSv1.3", True, 90, True))).score == checks.CAP


async def test_a_silent_dns_is_not_known_and_not_bad() -> None:
    found = await posture(dict.fromkeys(GOOD, "SERVFAIL"))
    assert next(one for one in found.points if one.name == "Mail hosts stand in the country").state == "unknown"
    assert {one.state for one in found.points} == {"unknown"}
    assert found.score is None


async def test_an_endless_spf_record_ends() -> None:
    zone = ZoneResolver({f"a{n}.example": {"TXT": [f"v=spf1 include:a{n + 1}.example -all"]} for n in range(50)})
    assert (await senders("a0.example", zone)).problem == "lookups"
    loop = ZoneResolver({"a.example": {"TXT": ["v=spf1 include:a.example -all"]}})
    assert (await senders("a.example", loop)).lookups == 1


def test_key_sizes_are_read() -> None:
    assert (bits(KEY), bits(_key(1024))) == (2048, 1024)
    assert bits("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=") == 3072
    assert [bits(text) for text in ("v=DKIM1; p=", "p=!!!", "v=DKIM1; p=AAAA")] == [0, 0, 0]


def _hostile() -> Body:
    facts = Facts("x.example", ("10 <script>",), (Host("<script>alert(1)</script>", ("192.0.2.1",)),), *_rest())
    return Body(REGISTRY.entities["FIN"], (judge(facts, REGISTRY),))


def _rest() -> tuple[Any, ...]:
    from mail.posture.senders import Senders

    return Senders(last="-", includes=['=HYPERLINK("http://evil")']), (), True, None, True, (), (), ()


def test_reports_escape_what_came_from_outside() -> None:
    page = report.as_html([_hostile()], datetime(2026, 11, 24, tzinfo=UTC), {"FIN": 10})
    assert "<script>" not in page
    assert 'dir="rtl"' in page
    assert "وزارة المالية" in page
    sheet = list(csv.reader(io.StringIO(report.as_csv([_hostile()], "en"))))
    assert not [cell for row in sheet[1:] for cell in row if cell[:1] in ("=", "+", "@")]


async def test_every_text_has_its_arabic() -> None:
    arabic = translations("mail")
    found = await posture({})
    texts = [one.name for one in found.points] + [one.remedy for one in found.points if one.remedy]
    assert [text for text in (*texts, *report.STATES.values()) if text not in arabic] == []
