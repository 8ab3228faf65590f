"""Bodies with their own server, over real sockets: known by address or TLS client certificate, without AUTH."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hudhud.registry import parse_registry
from mail.live import FixedRules, demo_rules
from mail.policy import compile_policy, parse_policy

AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
NAME = "exchange.finance.saba.example"
DEMO = resources.files("hudhud") / "demo"


def message(sender: str = AMAL, *more: str) -> bytes:
    lines = (f"From: <{sender}>", f"To: <{SALIM}>", "Subject: figures", "Message-ID: <2@x.example>", *more)
    return "\r\n".join((*lines, "", "Attached.")).encode()


def knowing(*servers: str) -> FixedRules:
    """The demo country, its finance ministry with these servers instead of its own."""
    text = (DEMO / "registry.toml").read_text(encoding="utf-8")
    before, _, after = text.partition("servers = [")
    text = f"{before}servers = [\n{', '.join(servers)}\n]{after.partition(chr(10) + ']')[2]}"
    registry = parse_registry({"registry.toml": text.encode()}, version="test")
    policy = parse_policy({"policy.toml": (DEMO / "policy.toml").read_bytes()})
    return FixedRules(compile_policy(policy, registry), demo_rules().ruleset)


BY_ADDRESS = '{ name = "exchange", kind = "exchange", addresses = ["127.0.0.1"] }'


def by_certificate(shown: str) -> str:
    return f'{{ name = "exchange", certificates = ["{shown}"] }}'


@pytest.fixture
def client_tls(authority: trustme.CA) -> Callable[[trustme.LeafCert | None], ssl.SSLContext]:
    def context(shown: trustme.LeafCert | None) -> ssl.SSLContext:
        made = ssl.create_default_context()
        authority.configure_trust(made)
        if shown is not None:
            shown.configure_cert(made)
        return made

    return context


def fingerprint(shown: trustme.LeafCert) -> str:
    certificate = x509.load_pem_x509_certificate(shown.cert_chain_pems[0].bytes())
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


async def _in_tls(running: Any, context: ssl.SSLContext, listener: str = "mx") -> Any:
    talk = await running.hello(listener)
    assert (await talk.say("STARTTLS")).startswith("220")
    await talk.start_tls(context)
    assert (await talk.say("EHLO exchange.example")).startswith("250")
    return talk


@pytest.mark.parametrize("listener", ["mx", "submission"])
async def test_a_server_at_a_registered_address_relays_without_logging_in(start: Any, listener: str) -> None:
    async with start(rules=knowing(BY_ADDRESS)) as running:
        talk = await running.hello(listener)
        assert [r[:3] for r in await talk.envelope(AMAL, SALIM)] == ["250", "250"]
        assert (await talk.data(message(AMAL, "X-Authenticated-User: rania"))).startswith("250")
        (stored,) = running.mail()
        assert stored["account"] == "FIN/exchange"
        (event,) = running.events()
        told = event["hudhud"]["mail"]
        assert (told["account"], told["person"], event["organization"]["id"]) == ("FIN/exchange", "rania", "FIN")


async def test_anybody_else_still_has_to_log_in(start: Any) -> None:
    async with start() as running:
        talk = await running.hello("submission")
        assert (await talk.say(f"MAIL FROM:<{AMAL}>")).startswith("530")


async def test_a_server_sends_from_its_own_body_only(start: Any) -> None:
    async with start(rules=knowing(BY_ADDRESS)) as running:
        talk = await running.hello()
        for stranger in (SALIM, NOOR, "x@interior.finance.example"):
            replies = await talk.envelope(stranger, SALIM)
            assert replies[1].startswith("550 5.7.1 H-ID-01"), stranger
            await talk.say("RSET")
        await talk.envelope("printer@print.finance.saba.example", SALIM)  # a domain below
        assert (await talk.data(message("printer@print.finance.saba.example"))).startswith("250")
        await talk.envelope(AMAL, SALIM)
        refused = await talk.data(message(NOOR))
        assert refused.startswith("550 5.7.1 H-ID-02"), refused
        assert len(running.mail()) == 1
        assert running.notices() == []  # it heard the reply; nobody's mailbox is written into


async def test_rule_b_holds_for_a_server_too_and_is_told_in_its_reply(start: Any) -> None:
    async with start(rules=knowing(BY_ADDRESS)) as running:
        talk = await running.hello()
        replies = await talk.envelope(AMAL, NOOR, SALIM)
        assert replies[1].startswith("550 5.7.1 H-NAT-02"), replies
        assert replies[2].startswith("250")
        assert (await talk.data(message())).startswith("250")
        assert running.notices() == []


async def test_a_report_of_non_delivery_may_have_no_sender(start: Any) -> None:
    async with start(rules=knowing(BY_ADDRESS)) as running:
        talk = await running.hello()
        assert [r[:3] for r in await talk.envelope("", SALIM)] == ["250", "250"]
        assert (await talk.data(message("mailer-daemon@mail.finance.saba.example"))).startswith("250")


async def test_a_list_server_sends_on_what_others_posted(start: Any) -> None:
    lists = BY_ADDRESS.replace(" }", ", lists = true }")
    for known, listed, code in ((lists, True, "250"), (lists, False, "550"), (BY_ADDRESS, True, "550")):
        async with start(rules=knowing(known)) as running:
            talk = await running.hello()
            await talk.envelope("news-bounces@finance.saba.example", SALIM)
            more = ["List-Id: <news.finance.saba.example>"] if listed else []
            assert (await talk.data(message(NOOR, *more))).startswith(code), (known, listed)


async def test_a_server_may_be_allowed_less_than_its_body(start: Any) -> None:
    printer = (
        '{ name = "printer", kind = "printer", addresses = ["127.0.0.1"], senders = ["scan@finance.saba.example"] }'
    )
    async with start(rules=knowing(printer)) as running:
        talk = await running.hello()
        assert (await talk.envelope(AMAL, SALIM))[1].startswith("550")
        await talk.say("RSET")
        assert (await talk.envelope("Scan@finance.saba.example", SALIM))[1].startswith("250")


@pytest.mark.parametrize("listener", ["mx", "submission"])
async def test_a_server_is_known_by_a_name_on_its_certificate(
    start: Any, authority: trustme.CA, client_tls: Any, tmp_path: Path, listener: str
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with start(rules=knowing(by_certificate(NAME)), authority_file=tmp_path / "ca.pem") as running:
        talk = await _in_tls(running, client_tls(authority.issue_cert(NAME)), listener)
        assert [r[:3] for r in await talk.envelope(AMAL, SALIM)] == ["250", "250"]
        assert (await talk.data(message())).startswith("250")
        (stored,) = running.mail()
        assert stored["account"] == "FIN/exchange"


async def test_a_name_that_our_authority_did_not_sign_is_nobodys_and_mail_still_comes_in(
    start: Any, authority: trustme.CA, client_tls: Any, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with start(rules=knowing(by_certificate(NAME)), authority_file=tmp_path / "ca.pem") as running:
        for shown in (trustme.CA().issue_cert(NAME), authority.issue_cert("other.example"), None):
            talk = await _in_tls(running, client_tls(shown), "submission")
            assert (await talk.say(f"MAIL FROM:<{AMAL}>")).startswith("530")
            talk = await _in_tls(running, client_tls(shown))  # a stranger's mail server, its certificate unknown
            assert [r[:3] for r in await talk.envelope(NOOR, AMAL)] == ["250", "250"]
            assert (await talk.envelope(NOOR, SALIM))[0].startswith("503")
            assert (await talk.data(message(NOOR))).startswith("250")
        assert {one["account"] for one in running.mail()} == {""}


async def test_a_fingerprint_needs_no_authority(start: Any, client_tls: Any) -> None:
    shown, other = trustme.CA().issue_cert(NAME), trustme.CA().issue_cert(NAME)
    async with start(rules=knowing(by_certificate(fingerprint(shown)))) as running:
        talk = await _in_tls(running, client_tls(shown), "submission")
        assert (await talk.say(f"MAIL FROM:<{AMAL}>")).startswith("250")
        talk = await _in_tls(running, client_tls(other), "submission")
        assert (await talk.say(f"MAIL FROM:<{AMAL}>")).startswith("530")


async def test_implicit_tls_asks_too_and_large_messages_pass(start: Any, client_tls: Any) -> None:
    shown = trustme.CA().issue_cert(NAME)
    async with start(rules=knowing(by_certificate(fingerprint(shown)))) as running:
        talk = await running.connect("submissions")
        await talk.start_tls(client_tls(shown))
        assert (await talk.reply()).startswith("220")
        await talk.say("EHLO exchange.example")
        assert [r[:3] for r in await talk.envelope(AMAL, SALIM)] == ["250", "250"]
        body = message() + (b"\r\n" + b"y" * 76) * 20_000
        assert (await talk.data(body)).startswith("250 2.0.0")
        assert running.spool.body(running.mail()[0]["id"]) == body + b"\r\n"


async def test_while_no_certificate_is_registered_none_is_asked_for(start: Any, client_tls: Any) -> None:
    async with start(rules=knowing(BY_ADDRESS)) as running:
        talk = await _in_tls(running, client_tls(trustme.CA().issue_cert(NAME)))
        assert (await talk.say(f"MAIL FROM:<{AMAL}>")).startswith("250")
        (session,) = running.door.sessions
        assert session.shown is None


async def test_a_servers_messages_are_limited(start: Any) -> None:
    slow = BY_ADDRESS.replace(" }", ", messages_per_minute = 2 }")
    async with start(rules=knowing(slow)) as running:
        talk = await running.hello()
        replies = []
        for _ in range(3):
            replies.append((await talk.say(f"MAIL FROM:<{AMAL}>"))[:3])
            await talk.say("RSET")
        assert replies == ["250", "250", "450"]
        assert running.house.limits.counters()["messages_per_minute_per_server"] == 1


async def test_a_refusal_at_the_end_is_for_the_whole_message_and_names_whom(start: Any) -> None:
    """A server hears one reply: what would be refused for one of its recipients by DATA is refused for all."""
    from datetime import UTC, datetime

    from mail.threads import KnownThreads

    began = KnownThreads([(AMAL, NOOR, "1@freemail.example", datetime.now(UTC))])
    async with start(rules=knowing(BY_ADDRESS), threads=began) as running:
        talk = await running.hello()
        assert [r[:3] for r in await talk.envelope(AMAL, NOOR, SALIM)] == ["250", "250", "250"]
        refused = await talk.data(message())
        assert refused.startswith("550 5.7.1 H-NAT-03"), refused
        assert f"For {NOOR}." in refused
        await talk.envelope(AMAL, NOOR, SALIM)
        assert (await talk.data(message(AMAL, "In-Reply-To: <1@freemail.example>"))).startswith("250")
        await talk.envelope("", NOOR)  # a report on that message, which nobody else may be sent
        report = message("postmaster@finance.saba.example") + (
            f"\r\n\r\nFinal-Recipient: rfc822; {AMAL}\r\n\r\nMessage-ID: <1@freemail.example>\r\n".encode()
        )
        assert (await talk.data(report)).startswith("250")
        await talk.envelope("", NOOR)
        assert (await talk.data(message("postmaster@finance.saba.example"))).startswith("550 5.7.1 H-NAT-03")
