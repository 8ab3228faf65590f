"""What the next hop is known not to take is refused at RCPT; what is not known of it is accepted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hudhud.clock import SYSTEM, VirtualClock
from hudhud.settings import Delivery as DeliverySettings
from hudhud.settings import Settings
from mail.carry.parcel import Addressee, Parcel
from mail.delivery import Delivery
from mail.dns import ZoneResolver
from mail.judging import Judging
from mail.live import demo_rules, demo_zone
from mail.nexthop import MAGIC, Ahead, Offer, Offers
from mail.route import Hop, Routes, Target
from mail.threads import NoThreads

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AMAL, NOOR = "amal@finance.saba.example", "noor@freemail.example"
ARABIC = "أمل@finance.saba.example"
MESSAGE = b"From: <noor@freemail.example>\r\nTo: <amal@finance.saba.example>\r\nSubject: hi\r\n\r\nHello.\r\n"
RULES = demo_rules()


def test_what_one_worker_heard_every_worker_knows_until_it_is_too_old(tmp_path: Path) -> None:
    clock = VirtualClock(NOW)
    one, other = (Offers(tmp_path / "offers", ttl_s=60, clock=clock) for _ in range(2))
    assert other.find("smtp:a") is None
    for offer in (Offer(1000, eight_bit=False, utf8=True), Offer(None, eight_bit=True, utf8=False), Offer(0)):
        one.learn("smtp:a", offer)
        assert other.find("smtp:a") == offer
    assert other.find("smtp:b") is None
    asyncio.run(clock.advance(59))
    assert other.find("smtp:a") is not None
    one.learn("smtp:a", Offer(7))
    asyncio.run(clock.advance(59))
    assert other.find("smtp:a") == Offer(7)
    asyncio.run(clock.advance(2))
    assert other.find("smtp:a") is None
    one.close()
    one.close()


def test_a_file_that_is_damaged_or_of_another_shape_says_nothing_wrong(tmp_path: Path) -> None:
    path = tmp_path / "offers"
    path.write_bytes(b"something else")
    offers = Offers(path, ttl_s=60)
    offers.learn("smtp:a", Offer(5))
    whole = path.read_bytes()
    assert whole.startswith(MAGIC)
    at = next(place for place in range(len(MAGIC), len(whole)) if whole[place])
    with path.open("r+b") as file:
        file.seek(at + 24)
        file.write(b"\xff\xff")  # half of another size
    assert offers.find("smtp:a") is None


class Knowing:
    """Judging that knows what every next hop offers."""

    def __init__(self, tmp_path: Path, offer: Offer | None) -> None:
        resolver = ZoneResolver.load(demo_zone())
        self.offers = Offers(tmp_path / "offers", ttl_s=60)
        routes = Routes(lambda: RULES.policy.registry, resolver, clock=SYSTEM)
        self.ahead = Ahead(routes, lambda: RULES.policy.registry, self.offers)
        self.judge = Judging(RULES, resolver, NoThreads(), SYSTEM, Settings(), ahead=self.ahead)
        self._routes, self._offer = routes, offer

    async def __aenter__(self) -> Any:
        if self._offer is not None:
            way = await self._routes.find("finance.saba.example")
            assert isinstance(way, Hop)
            self.offers.learn(way.key, self._offer)
        return self.judge

    async def __aexit__(self, *_: object) -> None:
        await self.judge.close()


@pytest.mark.parametrize(
    ("offer", "mail", "rcpt", "reply"),
    [
        (Offer(10_000), "SIZE=9000", AMAL, "552 5.2.3 H-HOP-01"),
        (Offer(10_000), "SIZE=5000", AMAL, "250 2.1.5"),
        (Offer(10_000), "", AMAL, "250 2.1.5"),
        (Offer(None, eight_bit=False), "BODY=8BITMIME", AMAL, "554 5.6.3 H-HOP-01"),
        (Offer(None, eight_bit=False), "BODY=7BIT", AMAL, "250 2.1.5"),
        (Offer(None, utf8=False), "SMTPUTF8", ARABIC, "553 5.6.7 H-HOP-01"),
        (Offer(None, utf8=False), "SMTPUTF8", AMAL, "250 2.1.5"),
        (Offer(), "SMTPUTF8 BODY=8BITMIME SIZE=30000000", ARABIC, "250 2.1.5"),
        (None, "SMTPUTF8 BODY=8BITMIME SIZE=30000000", ARABIC, "250 2.1.5"),
    ],
)
async def test_what_the_next_hop_cannot_take_is_refused_at_rcpt(
    start: Any, tmp_path: Path, offer: Offer | None, mail: str, rcpt: str, reply: str
) -> None:
    async with Knowing(tmp_path, offer) as judge, start(judge=judge) as running:
        talk = await running.hello()
        assert (await talk.say(f"MAIL FROM:<{NOOR}> {mail}".strip())).startswith("250")
        said = await talk.say(f"RCPT TO:<{rcpt}>")
        assert said.startswith(reply), said
        assert len(said) <= 510


@pytest.mark.parametrize(
    ("offer", "mail", "content", "reply"),
    [
        (Offer(10_000), "", MESSAGE + b"x" * 9000, "552 5.2.3"),
        (Offer(None, eight_bit=False), "", MESSAGE + "نص".encode(), "554 5.6.3"),
        (Offer(None, utf8=False), " SMTPUTF8", "Subject: نص\r\n".encode() + MESSAGE, "554 5.6.9"),
        (Offer(10_000, eight_bit=False, utf8=False), " SMTPUTF8", MESSAGE, "250 2.0.0"),
    ],
)
async def test_what_was_not_declared_is_refused_at_data(
    start: Any, tmp_path: Path, offer: Offer, mail: str, content: bytes, reply: str
) -> None:
    async with Knowing(tmp_path, offer) as judge, start(judge=judge) as running:
        talk = await running.hello()
        await talk.say(f"MAIL FROM:<{NOOR}>{mail}")
        await talk.say(f"RCPT TO:<{AMAL}>")
        said = await talk.data(content)
        assert said.startswith(reply), said


async def test_a_delivery_fills_the_cache(tmp_path: Path) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 small.example ESMTP\r\n")
        while line := await reader.readline():
            said = b"250-small.example\r\n250 SIZE 5000\r\n" if line.startswith(b"EHLO") else b"250 OK\r\n"
            writer.write(b"354 go\r\n" if line == b"DATA\r\n" else said)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    offers = Offers(tmp_path / "offers", ttl_s=60)
    hop = Hop("smtp:here", "here", "smtp", "none", (Target("127.0.0.1", "127.0.0.1", port),))
    delivery = Delivery(
        DeliverySettings(),
        "relay.example",
        learned=lambda way, seen: offers.learn(way.key, Offer(seen.size, seen.eight_bit, seen.utf8)),
    )
    try:
        parcel = Parcel(b"a@b.example", (Addressee(b"c@d.example"),), b"Subject: x\r\n\r\n" + b"y" * 9000 + b"\r\n")
        (attempt,) = await delivery.deliver(parcel, hop)
        assert attempt.permanent
        assert offers.find("smtp:here") == Offer(5000, eight_bit=False, utf8=False)
    finally:
        await delivery.close()
        server.close()
