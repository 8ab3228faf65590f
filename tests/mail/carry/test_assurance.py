"""Next hops that are not as secure as they must be get nothing: real certificates, real TLSA records, REQUIRETLS."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import tempfile
from dataclasses import dataclass, field
from importlib import resources

import dns.flags
import dns.message
import dns.rrset
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hudhud.registry import RegistryError, parse_registry
from hudhud.settings import Delivery as Limits
from hudhud.settings import Dns
from mail import dane
from mail.carry.assurance import shows
from mail.carry.parcel import Addressee, Parcel
from mail.carry.pool import tls_contexts
from mail.delivery import Delivery
from mail.dns import LiveResolver, ZoneResolver
from mail.route import Hop, NoWay, Routes

HEAD = b"From: a@finance.saba.example\r\nSubject: x\r\n\r\nhello\r\n"
LIMITS = Limits(reply_timeout_s=2.0, connect_timeout_s=2.0, idle_s=1.0)
OFFERS = ("PIPELINING", "8BITMIME", "DSN", "REQUIRETLS")
MX = "mx.partner.example"
DEMO = resources.files("hudhud").joinpath("demo", "registry.toml").read_text()


@dataclass
class Certified:
    """An authority, a certificate of its own for `name`, and what TLSA records say of both."""

    name: str = MX
    authority: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        issued = self.authority.issue_cert(self.name)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(self.server)
        whole = (issued.private_key_pem, *issued.cert_chain_pems, self.authority.cert_pem)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(b"".join(one.bytes() for one in whole))  # the authority too (RFC 7672 section 3.1.2)
            file.flush()
            self.server.load_cert_chain(file.name)
        self.leaf = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
        self.root = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())

    def record(self, usage: int, selector: int, matching: int) -> str:
        certificate = self.leaf if usage == 3 else self.root
        data = (
            certificate.public_bytes(Encoding.DER)
            if selector == 0
            else certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
        shown = {0: data.hex(), 1: hashlib.sha256(data).hexdigest(), 2: hashlib.sha512(data).hexdigest()}[matching]
        return f"{usage} {selector} {matching} {shown}"

    def trusting(self) -> dict[str, ssl.SSLContext]:
        contexts = dict(tls_contexts())
        self.authority.configure_trust(contexts["verify"])
        return contexts


def routes(*tlsa: str, policy: str = "", secure: bool = True, tlsa_answer: object = None) -> Routes:
    zone = {
        "partner.example": {"MX": [f"10 {MX}"]},
        MX: {"A": ["203.0.113.25"]},
        f"_25._tcp.{MX}": {"TLSA": tlsa_answer or list(tlsa)} if tlsa or tlsa_answer else {"TXT": ["none"]},
    }
    registry = parse_registry({"registry.toml": (DEMO + policy).encode()})
    return Routes(lambda: registry, ZoneResolver(zone, secure=zone if secure else ()))


async def send(way: object, sink, tls, *, requiretls: bool = False):
    assert isinstance(way, Hop), way
    delivery = Delivery(LIMITS, "relay.example", tls=tls, dial=lambda host, port: ("127.0.0.1", sink.port))
    parcel = Parcel(b"a@finance.saba.example", (Addressee(b"b@partner.example"),), HEAD, requiretls=requiretls)
    (attempt,) = await delivery.deliver(parcel, way)
    await delivery.close()
    return attempt


def agreed(tls: str, *names: str) -> str:
    return f'\n[[tls_policy]]\ndomains = ["partner.example"]\ntls = "{tls}"\nnames = {list(names)!r}\n'


@pytest.mark.parametrize("usage", [2, 3])
@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
async def test_every_kind_of_tlsa_record_admits_its_certificate_and_no_other(sinks, usage, selector, matching) -> None:
    ours, other = Certified(), Certified()
    sink = await sinks(context=ours.server)
    right = await send(
        await routes(ours.record(usage, selector, matching)).find("partner.example"), sink, tls_contexts()
    )
    assert right.delivered, right
    assert right.tls == "TLSv1.3"
    wrong = await send(
        await routes(other.record(usage, selector, matching)).find("partner.example"), sink, tls_contexts()
    )
    assert (wrong.delivered, wrong.permanent, wrong.status) == (False, False, "4.7.5")
    assert len(sink.messages) == 1


async def test_an_authority_vouches_for_the_right_name_only_and_dane_ee_needs_none(sinks) -> None:
    ours = Certified("elsewhere.example")
    sink = await sinks(context=ours.server)
    anchored = await send(await routes(ours.record(2, 0, 1)).find("partner.example"), sink, tls_contexts())
    assert not anchored.delivered
    pinned = await send(await routes(ours.record(3, 1, 1)).find("partner.example"), sink, tls_contexts())
    assert pinned.delivered


async def test_published_records_forbid_the_clear(sinks) -> None:
    plain = await sinks()
    attempt = await send(await routes(Certified().record(3, 1, 1)).find("partner.example"), plain, tls_contexts())
    assert (attempt.delivered, attempt.status) == (False, "4.7.5")
    assert "STARTTLS" in attempt.reply
    unusable = await send(await routes("0 1 1 " + "ab" * 32).find("partner.example"), plain, tls_contexts())
    assert not unusable.delivered  # TLS must be, with whomever (RFC 7672 section 2.2)
    crypted = await sinks(context=Certified().server)
    assert (await send(await routes("0 1 1 " + "ab" * 32).find("partner.example"), crypted, tls_contexts())).delivered
    assert not plain.messages


async def test_records_that_nobody_validated_count_for_nothing(sinks) -> None:
    ours = Certified()
    sink = await sinks(context=ours.server)
    wrong = Certified().record(3, 1, 1)
    assert (await send(await routes(wrong, secure=False).find("partner.example"), sink, tls_contexts())).delivered
    asked = await send(
        await routes(wrong, secure=False, policy=agreed("dane")).find("partner.example"), sink, tls_contexts()
    )
    assert (asked.delivered, asked.permanent) == (False, False)


async def test_a_dns_that_does_not_answer_for_tlsa_makes_the_host_unreachable() -> None:
    way = await routes(tlsa_answer="SERVFAIL").find("partner.example")
    assert isinstance(way, NoWay)
    assert (way.permanent, way.reply[:5], way.foreign) == (False, "4.4.3", True)


@pytest.mark.parametrize(
    ("shown", "names", "secure", "good"),
    [
        (MX, [], False, True),  # below the domain
        ("mx.hoster.example", [], False, False),
        ("mx.hoster.example", [".hoster.example"], False, True),
        ("mx.hoster.example", ["mx.hoster.example"], False, True),
        ("partner.example", [], False, True),
        ("other.example", [], True, False),
    ],
)
async def test_verify_wants_an_authority_and_a_name_that_was_agreed(sinks, shown, names, secure, good) -> None:
    ours = Certified(shown)
    sink = await sinks(context=ours.server)
    way = await routes(policy=agreed("verify", *names), secure=secure).find("partner.example")
    attempt = await send(way, sink, ours.trusting())
    assert attempt.delivered == good, attempt
    stranger = await send(way, sink, tls_contexts())
    assert (stranger.delivered, stranger.permanent) == (False, False)


def test_names_on_certificates_are_compared_by_labels() -> None:
    certificate = {"subjectAltName": (("DNS", "*.b.example"), ("DNS", "C.example"), ("IP Address", "2001:db8::1"))}
    assert shows(certificate, ["a.b.example"])
    assert shows(certificate, ["c.example"])
    assert shows(certificate, ["2001:DB8:0::1"])
    assert not shows(certificate, ["b.example"])
    assert not shows(certificate, ["x.a.b.example"])
    assert not shows({}, ["c.example"])


async def test_requiretls_goes_only_to_who_offers_it_and_proves_itself(sinks) -> None:
    ours, plain_way = Certified(), await routes(secure=False).find("partner.example")
    good, no_offer = await sinks(context=ours.server, offers=OFFERS), await sinks(context=ours.server)
    clear = await sinks(offers=OFFERS)
    attempt = await send(plain_way, good, ours.trusting(), requiretls=True)
    assert attempt.delivered, attempt
    assert good.messages[0].mail.endswith(b" REQUIRETLS")
    for sink, tls, why in (
        (no_offer, ours.trusting(), "does not offer REQUIRETLS"),
        (clear, ours.trusting(), "STARTTLS"),
        (good, tls_contexts(), "certificate verify failed"),
    ):
        attempt = await send(plain_way, sink, tls, requiretls=True)
        assert (attempt.delivered, attempt.permanent, attempt.status) == (False, True, "5.7.30"), attempt
        assert why in attempt.reply
        assert not attempt.reached
    assert len(good.messages) == 1
    assert not no_offer.messages
    dead = await sinks(offers=OFFERS)
    await dead.stop()
    attempt = await send(plain_way, dead, ours.trusting(), requiretls=True)
    assert (attempt.permanent, attempt.status[0]) == (False, "4")


async def test_a_connection_that_proved_nothing_is_not_used_for_requiretls(sinks) -> None:
    ours, way = Certified(), await routes(secure=False).find("partner.example")
    sink = await sinks(context=ours.server, offers=OFFERS)
    delivery = Delivery(LIMITS, "relay.example", tls=ours.trusting(), dial=lambda h, p: ("127.0.0.1", sink.port))
    assert isinstance(way, Hop)
    for required in (False, True, False):
        parcel = Parcel(b"a@f.example", (Addressee(b"b@partner.example"),), HEAD, requiretls=required)
        assert (await delivery.deliver(parcel, way))[0].delivered
    assert sink.connections == 2
    await delivery.close()


class _Signed(asyncio.DatagramProtocol):
    """A name server that says of everything that it was validated."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        self.asked_ad = bool(query.flags & dns.flags.AD)
        reply.flags |= dns.flags.RA | dns.flags.AD
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "TLSA", "3 1 1 " + "ab" * 32))
        self.transport.sendto(reply.to_wire(), addr)  # type: ignore[attr-defined]


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_ad_bit_counts_only_from_a_resolver_that_is_trusted(trusted) -> None:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(_Signed, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    resolver = LiveResolver(Dns(nameservers=(f"127.0.0.1:{port}",), trusted=trusted))
    found = await resolver.proven(f"_25._tcp.{MX}", "TLSA")
    transport.close()
    assert found.secure == trusted
    assert server.asked_ad == trusted
    assert not isinstance(found.answer, str)
    assert dane.usable(found.answer)[0].data == b"\xab" * 32


def test_the_registry_says_where_a_policy_is_wrong() -> None:
    twice = agreed("verify") + agreed("dane")
    with pytest.raises(RegistryError, match=r"partner\.example is listed twice"):
        parse_registry({"registry.toml": (DEMO + twice).encode()})
    with pytest.raises(RegistryError, match="dane needs the next hop's name"):
        parse_registry({"registry.toml": DEMO.replace('protocol = "smtp", tls = "may"', 'tls = "dane"', 1).encode()})
    registry = parse_registry({"registry.toml": (DEMO + agreed("verify", ".hoster.example")).encode()})
    policy = registry.tls_policy("sub.partner.example")
    assert policy is not None
    assert (policy.tls, policy.names) == ("verify", (".hoster.example",))
    assert registry.tls_policy("other.example") is None
