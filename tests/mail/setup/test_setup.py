"""Mail programs find a body's servers: DNS records, Thunderbird's document, Apple's profile, served to anybody."""

from __future__ import annotations

import asyncio
import plistlib
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import msgspec
import pytest
import trustme

from hudhud.registry import RegistryError, parse_registry
from hudhud.settings import Relay, Settings
from mail.live import demo_rules
from mail.node.office import Server
from mail.setup.documents import apple, thunderbird
from mail.setup.served import Setup
from mail.setup.ways import Ways, records, ways

REGISTRY = demo_rules().policy.registry
RELAY = Relay(hostname="mx.relay.saba.example")
FIN = REGISTRY.entities["FIN"]
DOMAIN, ARABIC = "finance.saba.example", "xn--mgbe4fc1a.saba.example"


def fin(domain: str = DOMAIN) -> Ways:
    return ways(FIN, domain, RELAY)


def test_the_dns_records_are_those_of_rfc_6186_and_8314() -> None:
    assert list(records(fin())) == [
        ("_submissions._tcp.finance.saba.example", "SRV", "0 1 465 mx.relay.saba.example."),
        ("_submission._tcp.finance.saba.example", "SRV", "10 1 587 mx.relay.saba.example."),
        ("_imaps._tcp.finance.saba.example", "SRV", "0 1 993 imap.finance.saba.example."),
        ("_imap._tcp.finance.saba.example", "SRV", "0 0 0 ."),
        ("_pop3._tcp.finance.saba.example", "SRV", "0 0 0 ."),
        ("_pop3s._tcp.finance.saba.example", "SRV", "0 0 0 ."),
        ("autoconfig.finance.saba.example", "CNAME", "mx.relay.saba.example."),
    ]
    without = msgspec.structs.replace(RELAY, submission_host="send.saba.example", submissions_port=4465)
    kinds = list(records(ways(REGISTRY.entities["INT"], "interior.saba.example", without)))
    assert [value for _, kind, value in kinds if kind == "SRV"] == [
        "0 1 4465 send.saba.example.",
        "10 1 587 send.saba.example.",
    ]


def test_thunderbird_reads_servers_in_the_order_that_is_best() -> None:
    content = thunderbird(fin(ARABIC))
    assert content is not None
    provider = ElementTree.fromstring(content)[0]
    assert [one.text for one in provider.findall("domain")] == [ARABIC, "مالية.saba.example"]
    assert provider.findtext("displayName") == "Ministry of Finance · وزارة المالية"
    servers = [(one.get("type"), one.findtext("hostname"), one.findtext("port"), one.findtext("socketType"))
               for one in provider if one.tag.endswith("Server")]  # fmt: skip
    assert servers == [
        ("imap", "imap.finance.saba.example", "993", "SSL"),
        ("smtp", "mx.relay.saba.example", "465", "SSL"),
        ("smtp", "mx.relay.saba.example", "587", "STARTTLS"),
    ]
    assert {one.text for one in provider.iter("username")} == {"%EMAILADDRESS%"}


def test_a_name_with_markup_stays_a_name() -> None:
    hostile = Ways("x.example", "<b>&", '"><script>', "X", "h.example", 587, 465, ("i.example", 993))
    content = thunderbird(hostile)
    assert content is not None
    assert b"<script>" not in content
    assert ElementTree.fromstring(content)[0].findtext("displayName") == '"><script> · <b>&'
    profile = apple(hostile, "a<b>@x.example")
    assert profile is not None
    assert plistlib.loads(profile)["PayloadContent"][0]["EmailAddress"] == "a<b>@x.example"


def test_the_same_address_is_the_same_profile_so_that_it_is_replaced() -> None:
    one, again, other = (plistlib.loads(apple(fin(), f"{who}@{DOMAIN}") or b"") for who in ("a", "a", "b"))
    assert one == again
    assert one["PayloadUUID"] != other["PayloadUUID"]


@pytest.mark.parametrize("imap", ['{ host = "bad host" }', '{ host = "x.example", port = 0 }', '"imap.x.example"'])
def test_the_registry_names_what_is_no_imap_server(imap: str) -> None:
    text = (
        '[country]\ncode = "X"\nname_ar = "x"\nname_en = "x"\n'
        f'[entity.A]\nname_ar = "x"\nname_en = "x"\ndomains = ["x.example"]\nimap = {imap}\n'
    )
    with pytest.raises(RegistryError, match=r"registry\.toml:9: entity\.A\.imap"):
        parse_registry({"registry.toml": text.encode()})


# over HTTPS


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Any]:
    """Asks a running server: `await ask(path, host=…)`."""
    authority = trustme.CA()
    own = authority.issue_cert("localhost", f"autoconfig.{DOMAIN}")
    folder = tmp_path / "var" / "tls"
    folder.mkdir(parents=True)
    own.private_key_pem.write_to_path(str(folder / "relay.key"))
    (folder / "relay.pem").write_bytes(b"".join(one.bytes() for one in own.cert_chain_pems))
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    relay = msgspec.structs.replace(RELAY, setup=f"127.0.0.1:{port}")
    setup = Setup(lambda: REGISTRY, Settings(relay=relay, folder=str(tmp_path)))
    server = Server(setup.config())
    running = asyncio.create_task(server.serve(sockets=[listening]))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=trusting, trust_env=False) as client:

        async def ask(path: str, host: str = f"autoconfig.{DOMAIN}", method: str = "GET", **more: Any) -> Any:
            return await client.request(method, path, headers={"Host": host}, **more)

        ask.counts = setup.counts  # type: ignore[attr-defined]
        ask.port, ask.context = port, trusting  # type: ignore[attr-defined]
        yield ask
    server.should_exit = True
    await running


ANSWERED = [
    (f"autoconfig.{DOMAIN}", "/mail/config-v1.1.xml"),
    (f"AutoConfig.{DOMAIN}.:443", f"/mail/config-v1.1.xml?emailaddress=amal%40{DOMAIN}"),
    (DOMAIN, "/.well-known/autoconfig/mail/config-v1.1.xml"),
    ("mx.relay.saba.example", f"/mail/config-v1.1.xml?emailaddress=amal%40{DOMAIN}"),
    (f"autoconfig.{ARABIC}", f"/mail/config-v1.1.xml?emailaddress={quote('أمل@مالية.saba.example')}"),
]


async def test_thunderbird_is_answered_wherever_it_asks(served: Any) -> None:
    for host, path in ANSWERED:
        answer = await served(path, host)
        assert answer.status_code == 200, (host, path)
        assert answer.headers["content-type"].startswith("application/xml")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
        assert ElementTree.fromstring(answer.content).tag == "clientConfig"
        assert b"amal" not in answer.content


REFUSED = [
    ("autoconfig.freemail.example", "/mail/config-v1.1.xml", 421),  # nobody of the registry
    (f"autoconfig.sub.{DOMAIN}", "/mail/config-v1.1.xml", 421),  # below a body's domain: no domain of its own
    ("localhost", "/mail/config-v1.1.xml", 421),
    (DOMAIN, "/mail/config-v1.1.xml", 421),
    ("mx.relay.saba.example", "/mail/config-v1.1.xml?emailaddress=x%40freemail.example", 421),
    (f"autoconfig.{DOMAIN}", "/mail/config-v1.1.xml?emailaddress=x%40interior.saba.example", 400),
    (f"autoconfig.{DOMAIN}", "/apple/mail.mobileconfig", 400),
    (f"autoconfig.{DOMAIN}", "/apple/mail.mobileconfig?emailaddress=a%0d%0ab%40" + DOMAIN, 400),
    (f"autoconfig.{DOMAIN}", "/apple/mail.mobileconfig?emailaddress=%22%3Cx%3E%22%40" + DOMAIN, 400),
    (f"autoconfig.{DOMAIN}", "/mail/config-v1.1.xml?emailaddress=" + "a" * 1100, 414),
    (f"autoconfig.{DOMAIN}", "/mail/config-v1.1.xml?emailaddress=%ff", 400),
    ("autoconfig..", "/mail/config-v1.1.xml", 421),
    ("auto config", "/mail/config-v1.1.xml", 400),
    (f"autoconfig.{DOMAIN}:x", "/mail/config-v1.1.xml", 400),
    ("autoconfig.interior.saba.example", "/mail/config-v1.1.xml", 404),  # its IMAP server is not known
    (f"autoconfig.{DOMAIN}", "/", 404),
    (f"autoconfig.{DOMAIN}", "/mail/../mail/config-v1.1.xml/", 404),
]


async def test_everything_else_is_refused_without_a_word(served: Any) -> None:
    for host, path, status in REFUSED:
        answer = await served(path, host, follow_redirects=False)
        assert answer.status_code == status, (host, path)
        assert answer.text in ("", "Not Found")
        assert "location" not in answer.headers


async def test_only_get_and_head_are_answered(served: Any) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert (await served("/mail/config-v1.1.xml", method=method)).status_code == 405
    assert (await served("/mail/config-v1.1.xml", method="HEAD")).status_code == 200


async def test_two_hosts_are_none(served: Any) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", served.port, ssl=served.context, server_hostname="localhost"
    )
    host = f"Host: autoconfig.{DOMAIN}\r\n"
    writer.write(f"GET /mail/config-v1.1.xml HTTP/1.1\r\n{host}{host}\r\n".encode())
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 400")
    writer.close()


async def test_a_phone_gets_a_signed_profile_for_its_address(served: Any, tmp_path: Path) -> None:
    answer = await served(f"/apple/mail.mobileconfig?emailaddress=amal%40{DOMAIN}")
    assert answer.headers["content-type"] == "application/x-apple-aspen-config"
    assert answer.headers["content-disposition"] == f'attachment; filename="{DOMAIN}.mobileconfig"'
    (tmp_path / "signed").write_bytes(answer.content)
    opened = await asyncio.to_thread(
        subprocess.run,
        ["openssl", "smime", "-verify", "-inform", "DER", "-noverify", "-in", str(tmp_path / "signed")],
        capture_output=True, check=True,
    )  # fmt: skip
    account = plistlib.loads(opened.stdout)["PayloadContent"][0]
    assert account["EmailAddress"] == account["IncomingMailServerUsername"] == f"amal@{DOMAIN}"
    assert (account["OutgoingMailServerHostName"], account["OutgoingMailServerPortNumber"]) == (RELAY.hostname, 465)
    assert account["IncomingMailServerUseSSL"] is account["OutgoingMailServerUseSSL"] is True
    nobody = await served(f"/apple/mail.mobileconfig?emailaddress=nobody%40{DOMAIN}")
    assert nobody.status_code == 200  # who has an account is nobody's business
    assert served.counts["apple"] == 2
