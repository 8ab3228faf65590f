"""Lawful and proportionate: what goes through the sensor and must not be found in what leaves it."""

from __future__ import annotations

import random

import pytest

from deploy.capture import client_hello
from hudhud.entity import Registry
from tests.sensors.traffic import SMTP_TURNS, Sensor, query, talk, udp

FIN_SERVER, FIN_STAFF, INT_SERVER, EDU_PUBLIC = "192.0.2.40", "192.0.2.50", "192.0.2.66", "192.0.2.230"
RELAY, ABROAD, ELSEWHERE = "192.0.2.10", "198.51.100.80", "203.0.113.7"
REQUEST = b"GET /canary-path?canary=query HTTP/1.1\r\nHost: site.example\r\nUser-Agent: canary-agent\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def web(client: str, server: str) -> list[bytes]:
    return list(talk(client, server, 80, [(True, REQUEST), (False, ANSWER)]))


def test_networks_outside_the_registry_are_not_told_of(sensor: Sensor) -> None:
    sensor.see(web(ABROAD, ELSEWHERE)).see([udp(ABROAD, 1, ELSEWHERE, 53, query("a.example"))]).done()
    assert sensor.left == []
    assert sensor.watch.held_back > 0


def test_public_networks_are_not_told_of(sensor: Sensor) -> None:
    sensor.see(web(EDU_PUBLIC, ABROAD)).see([udp(EDU_PUBLIC, 1, ELSEWHERE, 53, query("a.example"))]).done()
    assert sensor.left == []


def test_a_staff_host_is_never_named(sensor: Sensor) -> None:
    sensor.see(web(FIN_STAFF, ABROAD)).see(web(INT_SERVER, FIN_STAFF), start=1.8e9)
    sensor.see(
        list(talk(FIN_STAFF, ELSEWHERE, 443, [(True, client_hello("news.example", random.Random(1)))])), start=1.9e9
    )
    sensor.see([udp(FIN_STAFF, 1, "192.0.2.3", 53, query("a.example"))], start=1.95e9).done()
    assert {fields["event.dataset"] for _, fields in sensor.left} == {"hudhud.http", "hudhud.tls", "hudhud.dns"}
    everything = str(sensor.left)
    for canary in (FIN_STAFF, "canary", "community_id"):
        assert canary not in everything
    for _, fields in sensor.left:
        staff = "source" if fields.get("hudhud.source.network") == "staff" else "destination"
        assert not {name for name in fields if name.startswith(f"{staff}.")}


def test_of_a_peer_outside_no_path_is_kept_and_between_two_servers_it_is(sensor: Sensor) -> None:
    sensor.see(web(FIN_SERVER, ABROAD)).see(web(ELSEWHERE, FIN_SERVER), start=1.8e9).done()
    assert "canary-path" not in str(sensor.left)
    assert "canary=query" not in str(sensor.left)
    inside = Sensor(sensor.registry).see(web(FIN_SERVER, INT_SERVER)).done()
    assert inside.of("http")[0]["url.path"] == "/canary-path"


def test_of_an_envelope_only_official_addresses_and_foreign_domains_stay(sensor: Sensor) -> None:
    sensor.see(list(talk(RELAY, ABROAD, 25, SMTP_TURNS))).see(
        list(talk(FIN_SERVER, RELAY, 25, SMTP_TURNS)), start=1.8e9
    ).done()
    for one in sensor.of("smtp"):
        assert one["email.from.address"] == ["app@finance.saba.example"]
        assert "email.to.address" not in one
        assert one["hudhud.smtp.peer_domains"] == ["freemail.example"]
    assert "noor" not in str(sensor.left)


@pytest.mark.parametrize("port", [25, 110, 143, 465, 587, 993, 995])
def test_staffs_foreign_mail_leaves_nothing_but_counts(sensor: Sensor, port: int) -> None:
    hello = client_hello("imap.canary.example", random.Random(1))
    sensor.see(list(talk(FIN_STAFF, ABROAD, port, [(True, hello)]))).done()
    assert sensor.left == []


def test_card_addresses_and_names_of_machines_do_not_leave(sensor: Sensor) -> None:
    arp = (
        b"\xff" * 6
        + b"\x02" * 6
        + b"\x08\x06"
        + b"\0\1\x08\0\6\4\0\1"
        + b"\2" * 6
        + bytes((192, 0, 2, 50))
        + b"\0" * 6
        + bytes((192, 0, 2, 51))
    )
    sensor.see([arp, udp(FIN_SERVER, 5353, "224.0.0.251", 5353, query("canary-laptop.local"))]).done()
    assert [fields for _, fields in sensor.left if fields["event.dataset"] != "hudhud.flow"] == []


def test_without_a_registry_a_given_capture_is_told_in_full(forensic: Sensor) -> None:
    forensic.see(web(FIN_STAFF, ABROAD)).done()
    assert forensic.of("http")[0]["url.path"] == "/canary-path"
    assert forensic.of("http")[0]["source.ip"] == FIN_STAFF
    assert forensic.alerts("HS-SMTP-EGRESS") == []


def test_another_registry_holds_from_the_next_packet_on(registry: Registry) -> None:
    from dataclasses import replace

    from hudhud.prefix import PrefixTable

    sensor = Sensor(registry)
    sensor.see(web(FIN_SERVER, ABROAD)).watch.use(replace(registry, _networks=PrefixTable()))
    before = len(sensor.of("http"))
    sensor.see(web(FIN_SERVER, ELSEWHERE), start=1.8e9).done()
    assert (before, len(sensor.of("http"))) == (1, 1)
