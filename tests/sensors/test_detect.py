"""Each detector fires on the act and is silent on its ordinary twin."""

from __future__ import annotations

import random

import pytest

from deploy.capture import client_hello
from hudhud.entity import Registry
from sensors.detect.alert import Bounded
from sensors.detect.dns_tunnel import entropy, registrable
from tests.sensors.test_protocols import LOGINS
from tests.sensors.traffic import SMTP_TURNS, START, Sensor, query, talk, tcp, udp

FIN_SERVER, FIN_MAIL_HOST, FIN_STAFF = "192.0.2.40", "192.0.2.33", "192.0.2.50"
HEA_STAFF = [f"192.0.2.{n}" for n in range(113, 126)]
EDU_PUBLIC, RELAY, RESOLVER = "192.0.2.230", "192.0.2.10", "192.0.2.3"
MX_ABROAD, WEBMAIL, OTHER_ABROAD = "198.51.100.25", "198.51.100.80", "203.0.113.80"
WEBMAIL_NAME = "webmail.freemail.example"


def smtp(client: str, server: str = MX_ABROAD, port: int = 25, sport: int = 40_000) -> list[bytes]:
    return list(talk(client, server, port, SMTP_TURNS, sport=sport))


def visit(client: str, name: str = WEBMAIL_NAME, server: str = WEBMAIL, port: int = 443) -> list[bytes]:
    return list(talk(client, server, port, [(True, client_hello(name, random.Random(1)))]))


def test_a_server_that_speaks_smtp_abroad_is_named(sensor: Sensor) -> None:
    sensor.see(smtp(FIN_SERVER)).done()
    [alert] = sensor.alerts("HS-SMTP-EGRESS")
    assert alert["event.dataset"] == "hudhud.alert"
    assert alert["event.kind"] == "alert"
    assert (alert["source.ip"], alert["destination.ip"], alert["organization.id"]) == (FIN_SERVER, MX_ABROAD, "FIN")
    assert alert["hudhud.smtp.helo"] == "app.example"


@pytest.mark.parametrize(
    ("client", "server", "port"),
    [(RELAY, MX_ABROAD, 25), (FIN_MAIL_HOST, MX_ABROAD, 25), (FIN_SERVER, RELAY, 25), (FIN_SERVER, "192.0.2.250",
    25), (MX_ABROAD, RELAY, 25), (EDU_PUBLIC, MX_ABROAD, 25), (FIN_SERVER, MX_ABROAD, 587)],
    ids=["the relay", "a registered mail host", "to the relay", "to a national provider", "from abroad",
    "a public network", "submission"],
)  # fmt: skip
def test_ordinary_smtp_is_no_egress(sensor: Sensor, client: str, server: str, port: int) -> None:
    sensor.see(smtp(client, server, port)).done()
    assert sensor.alerts("HS-SMTP-EGRESS") == []


def test_egress_is_told_once_an_hour_per_server_and_destination(sensor: Sensor) -> None:
    for number in range(5):
        sensor.see(smtp(FIN_SERVER, sport=41_000 + number), start=START + number * 60)
    sensor.see(smtp(FIN_SERVER, OTHER_ABROAD), start=START + 400)
    sensor.see(smtp(FIN_SERVER, sport=50_000), start=START + 4000)
    sensor.done()
    found = sensor.alerts("HS-SMTP-EGRESS")
    assert [alert["destination.ip"] for alert in found] == [MX_ABROAD, OTHER_ABROAD, MX_ABROAD]


def test_staff_egress_is_counted_for_the_body_without_a_host(sensor: Sensor) -> None:
    for number, host in enumerate((FIN_STAFF, "192.0.2.51", FIN_STAFF)):
        sensor.see(smtp(host, sport=41_000 + number), start=START + number)
    sensor.done()
    first, last = sensor.alerts("HS-SMTP-EGRESS")
    assert first["organization.id"] == "FIN"
    assert (last["hudhud.count.sessions"], last["hudhud.count.hosts"]) == (3, 2)
    assert FIN_STAFF not in str(sensor.left)


def test_a_server_at_a_foreign_webmail_or_mail_port_is_named(sensor: Sensor) -> None:
    sensor.see(visit(FIN_SERVER)).see(
        visit(FIN_SERVER, "imap.partner.example", OTHER_ABROAD, 993), start=START + 9
    ).done()
    found = sensor.alerts("HS-MAIL-ABROAD")
    assert [(one["source.ip"], one["destination.port"]) for one in found] == [(FIN_SERVER, 443), (FIN_SERVER, 993)]


def test_ordinary_servers_use_no_mail_abroad(sensor: Sensor) -> None:
    sensor.see(visit(FIN_SERVER, "updates.example", OTHER_ABROAD)).see(
        visit(FIN_SERVER, "imap.interior.saba.example", "192.0.2.65", 993)
    )
    sensor.see([udp(RESOLVER, 5000, OTHER_ABROAD, 53, query(WEBMAIL_NAME))]).done()  # a resolver asks for others
    assert sensor.alerts("HS-MAIL-ABROAD") == []


def test_staff_at_a_foreign_webmail_are_counted_from_five_hosts_on(sensor: Sensor) -> None:
    for number, host in enumerate(HEA_STAFF[:5]):
        sensor.see(visit(host), start=START + number)
    sensor.done()
    [count] = sensor.alerts("HS-WEBMAIL-COUNT")
    assert (count["hudhud.webmail.hosts"], count["hudhud.webmail.logins"], count["organization.id"]) == (5, 5, "HEA")
    assert (count["event.dataset"], count["event.kind"]) == ("hudhud.webmail", "metric")
    assert not {name for name in count if name.startswith(("source.", "user.", "client.", "destination."))}


def test_below_five_hosts_nothing_shows_however_often_they_come(sensor: Sensor) -> None:
    for number in range(40):
        sensor.see(visit(HEA_STAFF[number % 4]), start=START + number)
        sensor.see([udp(HEA_STAFF[number % 4], 5000, RESOLVER, 53, query(WEBMAIL_NAME))], start=START + number + 0.5)
    sensor.done()
    assert "freemail" not in str(sensor.left)
    assert WEBMAIL not in str(sensor.left)
    assert sensor.alerts("HS-WEBMAIL-COUNT") == []


def test_each_hour_is_counted_by_itself(sensor: Sensor) -> None:
    for number, host in enumerate(HEA_STAFF[:6]):
        sensor.see(visit(host), start=START + number * 1300)  # three in each hour: too few
    sensor.done()
    assert sensor.alerts("HS-WEBMAIL-COUNT") == []


def test_one_bodys_hours_end_without_losing_anothers(sensor: Sensor) -> None:
    for number, host in enumerate(HEA_STAFF[:5]):
        sensor.see(visit(host), start=START + number)
    sensor.see(visit(FIN_STAFF), start=START + 20)
    sensor.see(visit(FIN_STAFF), start=START + 3700)
    sensor.done()
    assert [one["organization.id"] for one in sensor.alerts("HS-WEBMAIL-COUNT")] == ["HEA"]


@pytest.mark.parametrize("dataset", LOGINS)
def test_government_credentials_in_clear_are_told_and_not_kept(sensor: Sensor, dataset: str) -> None:
    port, turns = LOGINS[dataset]
    sensor.see(list(talk(OTHER_ABROAD, "192.0.2.65", port, turns))).done()
    [alert] = sensor.alerts("HS-CLEAR-CREDENTIALS")
    assert (alert["user.name"], alert["organization.id"]) == ("amal@finance.saba.example", "FIN")
    assert "canary" not in str(sensor.left).lower()
    assert [fields for _, fields in sensor.left if "user.name" in fields] == [alert]


def test_a_personal_account_abroad_is_a_persons_own_matter(sensor: Sensor) -> None:
    turns = [(False, b"+OK\r\n"), (True, b"USER canary@freemail.example\r\nPASS x\r\n"), (False, b"+OK\r\n+OK\r\n")]
    sensor.see(list(talk(FIN_STAFF, MX_ABROAD, 110, turns))).done()
    assert sensor.left == []


def test_staff_with_clear_credentials_are_not_named_but_the_account_is(sensor: Sensor) -> None:
    port, turns = LOGINS["imap"]
    sensor.see(list(talk(FIN_STAFF, "192.0.2.33", port, turns))).done()
    [alert] = sensor.alerts("HS-CLEAR-CREDENTIALS")
    assert "source.ip" not in alert
    assert (alert["user.name"], alert["destination.ip"]) == ("amal@finance.saba.example", "192.0.2.33")


def tunnel(host: str, count: int, name: str = "{}.carrier.example") -> list[bytes]:
    dice = random.Random(3)
    labels = ("".join(dice.choices("abcdefghijklmnopqrstuvwxyz234567", k=40)) for _ in range(count))
    return [udp(host, 5000 + n, RESOLVER, 53, query(name.format(label), 16)) for n, label in enumerate(labels)]


def test_data_in_dns_names_is_told_once(sensor: Sensor) -> None:
    sensor.see(tunnel(FIN_SERVER, 120)).done()
    [alert] = sensor.alerts("HS-DNS-TUNNEL")
    assert (alert["dns.question.registered_domain"], alert["source.ip"]) == ("carrier.example", FIN_SERVER)


def test_a_tunnel_from_a_guest_network_is_told_without_its_host(sensor: Sensor) -> None:
    sensor.see(tunnel(EDU_PUBLIC, 60)).done()
    [alert] = sensor.alerts("HS-DNS-TUNNEL")
    assert alert["organization.id"] == "EDU"
    assert EDU_PUBLIC not in str(sensor.left)


@pytest.mark.parametrize(
    "frames",
    [
        tunnel(FIN_SERVER, 30),
        tunnel(FIN_SERVER, 100, "{}.finance.saba.example"),
        [udp(FIN_SERVER, 5000, RESOLVER, 53, query(f"www{n}.cdn.example")) for n in range(200)],
        [udp(FIN_SERVER, 5000, RESOLVER, 53, query("a" * 50 + f"{n}.long.example")) for n in range(200)],
        [udp(FIN_SERVER, 5000, RESOLVER, 53, query(f"{n}.0.2.192.in-addr.arpa", 12)) for n in range(200)],
    ],
    ids=["too few", "a body's own domain", "short names", "long and dull names", "reverse names"],
)
def test_ordinary_names_are_no_tunnel(sensor: Sensor, frames: list[bytes]) -> None:
    sensor.see(frames).done()
    assert sensor.alerts("HS-DNS-TUNNEL") == []


def attempts(source: str, count: int, *, answered: bool = False) -> list[bytes]:
    frames: list[bytes] = []
    for n in range(count):
        frames.append(tcp(source, 50_000, "192.0.2.67", 1 + n, 2, 5, 0))
        frames.append(tcp("192.0.2.67", 1 + n, source, 50_000, 0x12 if answered else 0x14, 9, 6))
        if answered:
            frames.append(tcp(source, 50_000, "192.0.2.67", 1 + n, 0x10, 6, 10))
    return frames


def test_a_scan_from_abroad_names_the_scanner(sensor: Sensor) -> None:
    sensor.see(attempts("203.0.113.99", 60)).done()
    [alert] = sensor.alerts("HS-PORT-SCAN")
    assert (alert["source.ip"], alert["organization.id"], alert["hudhud.scan.kind"]) == ("203.0.113.99", "INT", "ports")


def test_a_scan_by_a_staff_host_does_not_name_it(sensor: Sensor) -> None:
    sensor.see(attempts(FIN_STAFF, 60)).done()
    [alert] = sensor.alerts("HS-PORT-SCAN")
    assert "source.ip" not in alert
    assert FIN_STAFF not in str(sensor.left)


@pytest.mark.parametrize(
    "frames",
    [
        attempts("203.0.113.99", 20),
        attempts("203.0.113.99", 60, answered=True),
        attempts("203.0.113.99", 1) * 50,
    ],
    ids=["few", "answered", "one port again and again"],
)
def test_ordinary_attempts_are_no_scan(sensor: Sensor, frames: list[bytes]) -> None:
    sensor.see(frames).done()
    assert sensor.alerts("HS-PORT-SCAN") == []


def test_the_oldest_key_goes_when_a_table_is_full_and_is_counted() -> None:
    counters: dict[str, int] = {}
    table: Bounded[int, str] = Bounded(3, 10.0, counters, "rows")
    for number in range(5):
        table.put(number, "x", float(number))
    assert counters == {"rows_evicted": 2}
    assert table.get(1, 5.0) is None
    assert table.get(4, 5.0) == "x"
    assert [key for key, _, _ in table.ended(12.5)] == [2]
    assert len(table) == 2


def test_registrable_domains_and_entropy() -> None:
    assert registrable("a.b.example") == ("a", "b.example")
    assert registrable("x.y.com.sa") == ("x", "y.com.sa")
    assert entropy("aaaa") == 0.0
    assert entropy("abcd") == 2.0


def test_every_rule_name_is_there_in_arabic(registry: Registry) -> None:
    from hudhud.i18n import translations
    from sensors.detect import detectors
    from sensors.place import Places

    names = {getattr(one, "name", "") for one in detectors(Places(registry), 5)}
    assert names <= set(translations("sensors"))
