from __future__ import annotations

import struct

import pytest

from hudhud.event import Value
from sensors.protocols import dns
from tests.sensors.traffic import SMTP_TURNS, Sensor, block, query, talk, tcp, udp

CLIENT, SERVER, ABROAD = "192.0.2.40", "192.0.2.65", "198.51.100.25"


def told(forensic: Sensor, dataset: str, frames: list[bytes]) -> list[dict[str, Value]]:
    return forensic.see(frames).done().of(dataset)


def test_a_question_and_its_answer_are_told(forensic: Sensor) -> None:
    question = query("www.health.saba.example")
    answer = struct.pack(">H", 7) + b"\x81\x83" + question[4:6] + b"\0\1\0\0\0\0" + question[12:]
    answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 300, 4) + b"\xc0\0\2\x61"
    first, second = told(
        forensic, "dns", [udp(CLIENT, 5353 + 1, SERVER, 53, question), udp(SERVER, 53, CLIENT, 5354, answer)]
    )
    assert (first["dns.question.name"], first["dns.question.type"], first["dns.type"]) == (
        "www.health.saba.example",
        "A",
        "query",
    )
    assert (second["dns.response_code"], second["dns.answers.data"], second["dns.resolved_ip"]) == (
        "NXDOMAIN",
        ["192.0.2.97"],
        ["192.0.2.97"],
    )
    assert second["source.ip"] == CLIENT


def test_dns_over_tcp_is_read_across_segments(forensic: Sensor) -> None:
    message = query("long.example", 28)
    data = struct.pack(">H", len(message)) + message
    turns = [(True, data[:1]), (True, data[1:20]), (True, data[20:] + data)]
    found = told(forensic, "dns", list(talk(CLIENT, SERVER, 53, turns)))
    assert [one["dns.question.type"] for one in found] == ["AAAA", "AAAA"]


def test_a_question_on_another_port_is_known_as_dns(forensic: Sensor) -> None:
    [one] = told(forensic, "dns", [udp(CLIENT, 4000, ABROAD, 8053, query("x.example", 16))])
    assert one["dns.question.type"] == "TXT"


@pytest.mark.parametrize(
    "body",
    [b"\xc0\x0c", b"\xc0\x0e\xc0\x0c", b"\x3f" + b"a" * 10, b"\x80abc", b""],
    ids=["points at itself", "points in a circle", "label cut short", "unknown label type", "nothing"],
)
def test_malformed_names_are_refused_and_end(body: bytes) -> None:
    with pytest.raises((ValueError, IndexError, struct.error)):
        dns.parse(struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0) + body)


def test_a_name_of_names_costs_little(forensic: Sensor) -> None:
    """Sixty-four answers, each pointing into 60 KiB of labels: cut at 1,025 bytes, not followed to the end."""
    labels = b"\x01a" * 30_000
    message = struct.pack(">HHHHHH", 1, 0x8000, 0, 64, 0, 0) + labels + b"\0" + b"\0\1\0\1" + b"\0" * 6
    message += (b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + b"\1\2\3\4") * 64
    fields = dns.parse(message[:65_535])
    assert len(str(fields["dns.answers.name"])) < 200_000


def test_a_mail_transaction_is_told_without_its_content(forensic: Sensor) -> None:
    [one] = told(forensic, "smtp", list(talk(CLIENT, ABROAD, 25, SMTP_TURNS)))
    assert one["hudhud.smtp.helo"] == "app.example"
    assert one["email.from.address"] == ["app@finance.saba.example"]
    assert one["email.to.address"] == ["noor@freemail.example"]
    assert one["hudhud.smtp.banner"] == "mx ESMTP"
    assert "canary" not in str(one)


def test_two_transactions_of_a_session_are_two_observations(forensic: Sensor) -> None:
    second = [
        (True, b"MAIL FROM:<>\r\nRCPT TO:<b@x.example> NOTIFY=NEVER\r\nDATA\r\n"),
        (False, b"250 ok\r\n250 ok\r\n354 go\r\n"), (True, b".\r\n"), (False, b"250 queued\r\n"),
    ]  # fmt: skip
    found = told(forensic, "smtp", list(talk(CLIENT, ABROAD, 25, [*SMTP_TURNS[:-1], *second])))
    assert [one["email.from.address"] for one in found] == [["app@finance.saba.example"], ["<>"]]
    assert found[1]["email.to.address"] == ["b@x.example"]


def test_commands_inside_content_are_content(forensic: Sensor) -> None:
    turns = [
        *SMTP_TURNS[:9],
        (True, b"\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<e@x.example>\r\n"),
        (True, b"..\r\n.\r\n"),
        (False, b"250 ok\r\n"),
    ]
    found = told(forensic, "smtp", list(talk(CLIENT, ABROAD, 25, turns)))
    assert [one["email.from.address"] for one in found] == [["app@finance.saba.example"]]


def test_chunks_are_stepped_over_by_their_length(forensic: Sensor) -> None:
    turns = [
        *SMTP_TURNS[:7],
        (True, b"BDAT 20\r\nMAIL FROM:<x@y.exam"),
        (False, b"250 ok\r\n"),
        (True, b"BDAT 3 LAST\r\nend"),
        (False, b"250 ok\r\n"),
    ]
    [one] = told(forensic, "smtp", list(talk(CLIENT, ABROAD, 25, turns)))
    assert one["email.from.address"] == ["app@finance.saba.example"]


def test_content_may_be_lost_and_the_next_transaction_is_still_seen(forensic: Sensor) -> None:
    frames = list(
        talk(
            CLIENT,
            ABROAD,
            25,
            [*SMTP_TURNS[:9], (True, b"lost " * 200), (True, b"\r\n.\r\n"), (False, b"250 ok\r\n"), *SMTP_TURNS[3:11]],
        )
    )
    lost = next(one for one in frames if b"lost lost" in one)
    frames.remove(lost)
    assert len(told(forensic, "smtp", frames)) == 2


def test_starttls_is_told_and_the_hello_behind_it_is_read(forensic: Sensor) -> None:
    import random

    from deploy.capture import client_hello

    turns = [
        *SMTP_TURNS[:3],
        (True, b"STARTTLS\r\n"),
        (False, b"220 go\r\n"),
        (True, client_hello("mx.freemail.example", random.Random(1))),
    ]
    forensic.see(list(talk(CLIENT, ABROAD, 25, turns))).done()
    assert forensic.of("smtp")[0]["hudhud.smtp.starttls"] is True
    assert forensic.of("tls")[0]["tls.client.server_name"] == "mx.freemail.example"


PASSWORD = b"canary-Passw0rd"
BASIC = b"Authorization: Basic YW1hbEBmaW5hbmNlLnNhYmEuZXhhbXBsZTpjYW5hcnktUGFzc3cwcmQ=\r\n"
LOGINS = {
    "pop3": (110, [
        (False, b"+OK ready\r\n"), (True, b"USER amal@finance.saba.example\r\n"), (False, b"+OK\r\n"),
        (True, b"PASS " + PASSWORD + b"\r\n"), (False, b"+OK in\r\n"),
    ]),
    "imap": (143, [
        (False, b"* OK ready\r\n"), (True, b'a1 LOGIN "amal@finance.saba.example" "' + PASSWORD + b'"\r\n'),
        (False, b"a1 OK in\r\n"),
    ]),
    "smtp": (587, [
        (False, b"220 mx\r\n"), (True, b"EHLO a\r\n"), (False, b"250 a\r\n"), (True, b"AUTH LOGIN\r\n"),
        (False, b"334 VXNlcm5hbWU6\r\n"), (True, b"YW1hbEBmaW5hbmNlLnNhYmEuZXhhbXBsZQ==\r\n"),
        (False, b"334 UGFzc3dvcmQ6\r\n"), (True, b"Y2FuYXJ5LVBhc3N3MHJk\r\n"), (False, b"235 in\r\n"),
        (True, b"QUIT\r\n"),
    ]),
    "http": (80, [
        (True, b"GET / HTTP/1.1\r\nHost: a.example\r\n" + BASIC + b"\r\n"),
        (False, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("dataset", LOGINS)
def test_a_clear_login_is_told_with_its_account_and_never_with_its_password(forensic: Sensor, dataset: str) -> None:
    port, turns = LOGINS[dataset]
    [one] = told(forensic, dataset, list(talk(CLIENT, SERVER, port, turns)))
    assert one["user.name"] == "amal@finance.saba.example"
    assert one["user.domain"] == "finance.saba.example"
    assert one["hudhud.auth.clear"] is True
    everything = str(forensic.left)
    assert "canary" not in everything
    assert "Y2FuYXJ5" not in everything


def test_pipelined_requests_get_their_own_answers(forensic: Sensor) -> None:
    requests = (
        b"GET /a?q=1 HTTP/1.1\r\nHost: One.example:8080\r\nUser-Agent: t\r\n\r\n"
        b"POST /b HTTP/1.1\r\nHost: one.example\r\nContent-Length: 5\r\n\r\nGET /"
    )
    answers = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHTTP/\r\n0\r\n\r\n"
        b"HTTP/1.1 404 Not\r\nContent-Length: 3\r\n\r\nxyz"
    )
    turns = [(True, requests), (False, answers)]
    first, second = told(forensic, "http", list(talk(CLIENT, SERVER, 8080, turns)))
    assert (first["url.domain"], first["url.path"], first["url.query"], first["http.response.status_code"]) == (
        "one.example",
        "/a",
        "q=1",
        200,
    )
    assert (second["http.request.method"], second["url.path"], second["http.response.status_code"]) == (
        "POST",
        "/b",
        404,
    )


def test_a_long_body_is_not_read_for_requests(forensic: Sensor) -> None:
    body = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n" * 30
    turns = [
        (True, b"PUT /u HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)),
        *[(True, body[n : n + 100]) for n in range(0, len(body), 100)],
    ]
    assert [one["url.path"] for one in told(forensic, "http", list(talk(CLIENT, SERVER, 80, turns)))] == ["/u"]


def test_connect_is_followed_into_its_tunnel(forensic: Sensor) -> None:
    import random

    from deploy.capture import client_hello

    turns = [
        (True, b"CONNECT webmail.example:443 HTTP/1.1\r\nHost: webmail.example:443\r\n\r\n"),
        (False, b"HTTP/1.1 200 ok\r\n\r\n"),
        (True, client_hello("webmail.example", random.Random(2))),
    ]
    forensic.see(list(talk(CLIENT, SERVER, 3128, turns))).done()
    assert forensic.of("http")[0]["url.domain"] == "webmail.example"
    assert forensic.of("tls")[0]["tls.client.server_name"] == "webmail.example"


def test_both_ssh_banners_are_one_observation(forensic: Sensor) -> None:
    [one] = told(
        forensic,
        "ssh",
        list(talk(CLIENT, SERVER, 22, [(False, b"SSH-2.0-OpenSSH_9.2 Debian\r\n"), (True, b"SSH-2.0-PuTTY_0.8\r\n")])),
    )
    assert (one["hudhud.ssh.server.software"], one["hudhud.ssh.client.software"]) == ("OpenSSH_9.2", "PuTTY_0.8")


def test_arp_bindings_are_told_once(forensic: Sensor) -> None:
    packet = (
        b"\xff" * 6
        + b"\x02" * 6
        + b"\x08\x06"
        + b"\0\1\x08\0\6\4\0\1"
        + b"\2" * 6
        + b"\xc0\0\2\x28"
        + b"\0" * 6
        + b"\xc0\0\2\x29"
    )
    assert len(told(forensic, "arp", [packet, packet])) == 1


def test_ipv6_and_vlan_and_fragments_are_the_same_to_the_protocols(forensic: Sensor) -> None:
    plain = udp(CLIENT, 5000, SERVER, 53, query("a.example"))
    tagged = plain[:12] + b"\x88\xa8\0\1\x81\0\0\2" + plain[12:]
    six = udp("2001:db8:1::5", 5000, "2001:db8:2::53", 53, query("six.example"))
    long = udp(CLIENT, 5001, SERVER, 53, query("fragmented.example") + b"\0" * 40)
    cut = 14 + 20 + 16
    first = long[:20] + b"\x20\0" + long[22:cut]
    rest = long[:20] + b"\0\2" + long[22:34] + long[cut:]
    first = first[:16] + struct.pack(">H", len(first) - 14) + first[18:]
    rest = rest[:16] + struct.pack(">H", len(rest) - 14) + rest[18:]
    names = [one["dns.question.name"] for one in told(forensic, "dns", [plain, tagged, six, rest, first])]
    assert names == ["a.example", "a.example", "six.example", "fragmented.example"]


def test_random_bytes_in_every_place_never_raise(forensic: Sensor) -> None:
    import random

    dice = random.Random(7)
    seeds = [
        *talk(CLIENT, ABROAD, 25, SMTP_TURNS),
        udp(CLIENT, 1, SERVER, 53, query("a.example")),
        tcp(CLIENT, 1, SERVER, 443, 24, 1, 1, b"\x16\3\1\0\x40\1"),
    ]
    frames = []
    for _ in range(4000):
        one = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(1, 6)):
            one[dice.randrange(len(one))] = dice.randrange(256)
        frames.append(bytes(one[: dice.randrange(len(one)) + 1]))
    for link in (1, 0, 101, 113, 276, 9, 239, 104):
        forensic.watch.take(block(frames, link=link))
    forensic.done()
