"""Bodies' own servers and networks, judged: what a server may send, what an embassy's network may, who is named."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from cyclopts import App

from hudhud.clock import SYSTEM
from hudhud.entity import Registry
from hudhud.registry import RegistryError, parse_registry
from hudhud.settings import Settings
from mail import behind, reports
from mail.accounts import Account
from mail.checks import impersonation
from mail.cli.judge_command import judge
from mail.envelope import NULL, Client, Envelope, Recipient, parse_path
from mail.facts import Facts, may_use
from mail.live import demo_rules
from mail.message import Message
from mail.session import servers

AMAL, SALIM, NOOR = "amal@finance.saba.example", "salim@interior.saba.example", "noor@freemail.example"
TEXT = (resources.files("hudhud") / "demo" / "registry.toml").read_text(encoding="utf-8")
EMBASSY, GUESTS = "203.0.113.64/28", "203.0.113.80/28"
RULES = demo_rules()


def registry(servers: str = "", networks: str = "") -> Registry:
    """The demo country, the finance ministry with other servers and networks more."""
    text = TEXT
    if servers:
        before, _, after = text.partition("servers = [")
        text = f"{before}servers = [{servers}]{after.partition(chr(10) + ']')[2]}"
    if networks:
        text = text.replace("networks = [", f"networks = [{networks},", 1)
    return parse_registry({"registry.toml": text.encode()})


def abroad() -> Registry:
    embassy = f'{{ prefix = "{EMBASSY}", class = "staff" }}, {{ prefix = "{GUESTS}", class = "public" }}'
    return registry(networks=embassy)


def letter(
    author: str, *more: str, sender: str = "", ip: str = "198.51.100.25", account: Account | None = None
) -> Message:
    to = Recipient(parse_path(SALIM.encode(), smtputf8=True))
    path = parse_path(sender.encode(), smtputf8=True) if sender else NULL
    envelope = Envelope(path, (to,), Client(ip, 1, "x", None, "mx"), account, SYSTEM.now())
    return Message.read(envelope, "0-TEST", "\r\n".join((f"From: {author}", *more, "", "hello", "")).encode())


@pytest.mark.parametrize(
    ("ip", "author", "held"),
    [
        ("203.0.113.70", AMAL, False),  # the embassy's own network, in the name of its body
        ("203.0.113.70", SALIM, True),  # … in the name of another body
        ("203.0.113.81", AMAL, True),  # the embassy's guests
        ("203.0.113.10", AMAL, True),
        ("192.0.2.40", SALIM, False),
        ("203.0.113.70", NOOR, False),
    ],
)
def test_an_embassys_network_is_official_for_its_own_body(ip: str, author: str, held: bool) -> None:
    policy = replace(RULES.policy, registry=abroad())
    found = impersonation.check(letter(f"<{author}>", ip=ip), Facts(SYSTEM.now()), policy)
    assert bool(found) is held


def test_official_is_what_is_national_or_a_bodys_own_unless_it_is_for_guests() -> None:
    known = abroad()
    official = {
        ip: known.is_official_address(ip) for ip in ("192.0.2.1", "203.0.113.70", "203.0.113.81", "203.0.113.1")
    }
    assert list(official.values()) == [True, True, False, False]
    assert not known.is_national_address("203.0.113.70")
    server = registry('{ name = "cloud", addresses = ["198.51.100.77"] }')
    assert server.is_official_address("198.51.100.77")


def test_a_server_uses_the_addresses_of_its_body_or_those_it_is_narrowed_to() -> None:
    known = registry(
        '{ name = "all", addresses = ["192.0.2.44"] },'
        '{ name = "few", addresses = ["192.0.2.45"], '
        'senders = ["news.finance.saba.example", "amal@finance.saba.example"] }'
    )
    everything, few = (servers.named(known, f"FIN/{name}") for name in ("all", "few"))
    assert everything is not None
    assert few is not None
    expected = {
        AMAL: (True, True), "yusuf@finance.saba.example": (True, False), "x@news.finance.saba.example": (True, True),
        "x@deep.news.finance.saba.example": (True, True), "x@xn--mgbe4fc1a.saba.example": (True, False),
        SALIM: (False, False), NOOR: (False, False), "finance.saba.example": (False, False),
    }  # fmt: skip
    for address, answer in expected.items():
        if "@" in address:
            assert (may_use(everything, address, known), may_use(few, address, known)) == answer, address


def test_the_longest_address_decides_which_server_it_is() -> None:
    known = registry('{ name = "hall", addresses = ["192.0.2.0/24"] }, { name = "one", addresses = ["192.0.2.45"] }')
    found = servers.Servers(lambda: known)
    assert [one.name if (one := found.find(ip, None)) else "" for ip in ("192.0.2.45", "192.0.2.46", "::1", "?")] == [
        "FIN/one", "FIN/hall", "", "",
    ]  # fmt: skip
    assert servers.named(known, "FIN/nobody") is servers.named(known, "XXX/one") is servers.named(known, "x") is None


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ('{ name = "a b", addresses = ["192.0.2.45"] }', "no name for a server"),
        ('{ name = "a", addresses = ["192.0.2.45"] }, { name = "a", addresses = ["192.0.2.46"] }', "there twice"),
        ('{ name = "a" }', "needs addresses or certificates"),
        ('{ name = "a", addresses = ["0.0.0.0/0"] }', "wider than /24"),
        ('{ name = "a", addresses = ["2001:db8::/32"] }', "wider than /56"),
        ('{ name = "a", addresses = ["mail.finance"] }', "does not appear to be"),
        ('{ name = "a", certificates = ["*.finance.saba.example"] }', "neither a name"),
        ('{ name = "a", addresses = ["192.0.2.45"], senders = ["interior.saba.example"] }', "in no domain of FIN"),
        ('{ name = "a", addresses = ["192.0.2.45"], messages_per_minute = -1 }', "messages_per_minute"),
        ('{ name = "a", addresses = ["192.0.2.45"] }, { name = "b", addresses = ["192.0.2.45"] }', "belongs to FIN/a"),
        (
            '{ name = "a", certificates = ["X.example"] }, { name = "b", certificates = ["x.example"] }',
            "belongs to FIN/a",
        ),
        ('{ name = "a", kind = "toaster", addresses = ["192.0.2.45"] }', "toaster"),
    ],
)
def test_a_mistake_in_a_server_names_its_place(written: str, why: str) -> None:
    with pytest.raises(RegistryError, match=why) as caught:
        registry(written)
    assert caught.value.line > 0
    assert "entity.FIN.servers" in caught.value.key


def test_a_fingerprint_is_read_as_people_write_it() -> None:
    digest = "0123456789abcdef" * 4
    colons = ":".join(digest[n : n + 2] for n in range(0, 64, 2)).upper()
    for written in (digest, colons, f"SHA256:{colons}", f"sha-256={digest}"):
        known = registry(f'{{ name = "a", certificates = ["{written}"] }}')
        assert known.server_by_certificate(digest) is not None


@pytest.mark.parametrize(
    ("headers", "person"),
    [
        (["X-Authenticated-User: rania@finance.saba.example"], "rania@finance.saba.example"),
        (["X-Authenticated-Sender: mail.finance.saba.example: rania"], "rania"),
        (["Received: from [10.0.0.1] (pc [10.0.0.1])\r\n (Authenticated sender: rania)\r\n by mail; now"], "rania"),
        (["X-MS-Exchange-Organization-AuthAs: Internal", "Sender: Rania <rania@finance.saba.example>"],
         "rania@finance.saba.example"),
        (["X-MS-Exchange-Organization-AuthAs: Internal"], AMAL),
        (["X-MS-Exchange-Organization-AuthAs: Anonymous"], ""),
        (["X-Authenticated-User: "], ""),
        ([], ""),
        (["Received: by a; 1"] * 3 + ["Received: x (Authenticated sender: old) by d"], ""),
    ],
)  # fmt: skip
def test_the_person_behind_a_server_is_read_where_it_is_said(headers: list[str], person: str) -> None:
    server = Account("FIN/exchange", "FIN", kind="server")
    told = behind.told(letter(f"<{AMAL}>", *headers, account=server))
    assert told.envelope.account is not None
    assert told.envelope.account.claimed == person


def test_what_is_claimed_cannot_break_our_header() -> None:
    from mail import trace

    server = Account("FIN/exchange", "FIN", kind="server", claimed="x)\r\nBcc: y (")
    text = trace.received(letter(f"<{AMAL}>", account=server).envelope, "0-TEST", "mx.example").decode()
    assert "(registered server FIN/exchange for x___Bcc__y__)" in text
    assert text.count("\n") == text.count("\r\n\t") + 1


def test_a_report_says_of_whom_and_about_which_message() -> None:
    body = (
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
        f"Original-Recipient: rfc822;{AMAL}\r\nFinal-Recipient: rfc822; {AMAL}\r\nAction: failed\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: {NOOR}\r\nMessage-ID:\r\n <1@freemail.example>\r\n"
    )
    found = letter("<postmaster@finance.saba.example>")
    report = reports.read(replace(found, data=found.data + body.encode()))
    assert report.whose == (AMAL, "postmaster@finance.saba.example")
    assert report.messages == ("1@freemail.example",)


def test_mail_judge_speaks_for_a_server(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "letter.eml"
    path.write_bytes(f"From: <{AMAL}>\nTo: x\n\nhello\n".encode())
    app = App(result_action="return_value")
    app.default(judge)

    def rules(*words: str) -> list[str]:
        app([str(path), "--json", *words])
        return [finding["rule"] for finding in json.loads(capsys.readouterr().out)["findings"]]

    to = ("--rcpt", SALIM)
    assert rules("--account", "FIN/exchange", "--mail-from", AMAL, *to) == []
    assert rules("--account", "FIN/exchange", "--mail-from", "<>", *to) == []
    assert rules("--account", "FIN/exchange", "--mail-from", SALIM, *to) == ["H-ID-01"]
    assert rules("--account", "FIN/exchange", "--mail-from", AMAL, "--rcpt", NOOR) == ["H-NAT-02"]
    assert rules("--client-ip", "192.0.2.45", "--mail-from", SALIM, *to) == ["H-ID-01"]  # known by its address
    assert "H-IN-02" in rules("--mail-from", AMAL, *to)


def test_the_demo_country_has_a_body_with_its_own_server() -> None:
    assert Settings().relay.client_ca == "tls/ca.pem"
    known = servers.Servers(lambda: RULES.policy.registry).find("192.0.2.45", None)
    assert known is not None
    assert (known.name, known.kind) == ("FIN/exchange", "server")
