"""One shard at work in a worker: its spool, dispatch, the acts of people, and its journal on the way to the intake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hudhud import log, tls
from hudhud.clock import Clock
from hudhud.entity import Registry
from hudhud.journal import Cursor, Journal
from hudhud.settings import Settings
from hudhud.ship import Shipper
from mail.carry.connection import Features
from mail.carry.link import Link
from mail.carry.parting import Parting
from mail.carry.pool import tls_contexts
from mail.delivery import Delivery
from mail.dispatch import Dispatch
from mail.dns import Resolver
from mail.held import Held
from mail.limits import Limits
from mail.nexthop import Ahead, Offer, Offers
from mail.route import Hop, NoWay, Routes
from mail.shelf import listing
from mail.shelf.moving import KEPT, Moving
from mail.shelf.shard import set_apart
from mail.sign import Signer
from mail.spool import Spool, open_spool

TRIM_S: Final = 60.0  # seconds between looks at what the intake has and the journal may forget
MOVE_S: Final = 10.0  # seconds between moves of what is done
MOVE_BUSY: Final = 5  # steps of one move while mail comes
MOVE_QUIET: Final = 200
FORGET_S: Final = 3600.0  # seconds between looks for days past their retention

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all shards of a worker share. `registry` gives the live one, `key` wraps held bodies."""

    settings: Settings
    clock: Clock
    resolver: Resolver
    registry: Callable[[], Registry]
    key: bytes
    folder: Path
    offers: Offers
    limits: Limits | None = None  # the node's
    link: Link | None = None  # the international one, as the node sees it

    @property
    def own(self) -> frozenset[str]:
        """Names and addresses that mean this relay: mail for them would come back."""
        return frozenset({self.settings.relay.hostname, *self.settings.delivery.own_addresses})

    def domains_of(self, code: str) -> tuple[str, ...] | None:
        """The domains of a body; None where there is no such body."""
        entity = self.registry().entities.get(code)
        return tuple(entity.domains) if entity is not None else None

    def body_of(self, domain: str) -> str:
        """The code of the body a domain belongs to; "" for none."""
        entity = self.registry().by_domain(domain)
        return entity.code if entity is not None else ""


class Served:
    """Open one with `serve`; `run` it until it is told to stop, then `close` it."""

    def __init__(self, ground: Ground, spool: Spool) -> None:
        settings, clock = ground.settings, ground.clock
        self.spool = spool
        self.ground = ground
        self.held = Held(spool, clock, ground.body_of, Parting(spool, settings, ground.limits))
        relay = settings.relay
        contexts = tls_contexts(str(settings.path("tls", "ca.pem")) if settings.lab else None)
        delivery = Delivery(
            settings.delivery,
            relay.hostname,
            tls=contexts,
            dial=settings.dial,
            clock=clock,
            learned=self._learn,
        )
        self._offers = ground.offers
        self.routes = routes = Routes(ground.registry, ground.resolver, own=ground.own, clock=clock)
        self.ahead = Ahead(routes, ground.registry, ground.offers)
        self.signer = Signer(settings.path("keys"), settings.delivery.dkim_selector, clock, body_of=ground.body_of)
        self.dispatch = Dispatch(
            spool,
            routes,
            self.signer,
            delivery,
            clock=clock,
            settings=settings,
            counts=ground.limits,
            link=ground.link,
        )
        self.journal = Journal(spool.database, f"relay:{settings.node.name}/{spool.shard}")
        self.cursor = Cursor(ground.folder / f"shipped-{spool.shard}")
        ca, name = settings.path("tls", "ca.pem"), "relay"
        context = tls.client_context(
            ca, cert=settings.path("tls", f"{name}.pem"), key=settings.path("tls", f"{name}.key")
        )
        self.shipper = Shipper([self.journal], [self.cursor], settings.intake.url, context, None, clock)
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver and ship until `stop`. Raises what made the shard unusable; the worker then ends and starts anew."""
        shipping = asyncio.create_task(self.shipper.run(stop))
        others = [asyncio.create_task(self._trim()), asyncio.create_task(self._move())]
        try:
            await self.dispatch.run(stop)
        finally:
            for one in others:
                one.cancel()
            await asyncio.gather(shipping, *others, return_exceptions=True)

    def _learn(self, hop: Hop, features: Features) -> None:
        self._offers.learn(hop.key, Offer(features.size, features.eight_bit, features.utf8))

    def domains_to(self, hop: str) -> list[str]:
        """The domains that somebody waits for and that go to a next hop whose name or address begins so."""
        found = self.spool.database.read("SELECT DISTINCT domain FROM recipients WHERE state = 'queued'")
        return [domain for (domain,) in found if _leads(self.routes.known(domain), hop.lower())]

    def status(self) -> dict[str, object]:
        """For people: what waits, what is under way, how far the intake is behind."""
        line = self.shipper.lines[0]
        return {
            "shard": self.spool.shard,
            **listing.counts(self.spool.database.read),
            **self.dispatch.status(),
            "ages": listing.ages(self.spool.database.read, self._clock.now()),
            "sending": len(self.spool.hands.sending),
            "refused_for_room": self.spool.room.refused,
            "set_apart": set_apart(self.ground.folder, self.spool.shard),
            "shipped": line.sent,
            "shipping_problem": line.problem,
        }

    def close(self) -> None:
        self.spool.close()

    async def _move(self) -> None:
        """What is done goes to its day: some of it at once, the more the less the shard has to do."""
        settings, forget_at = self.ground.settings, 0.0
        kept = max(KEPT, settings.budget.window)
        moving = Moving(self.spool.database, self.spool.shelves.days, settings.spool, kept=kept)
        while True:
            before = self.spool.database.works
            await self._clock.sleep(MOVE_S)
            busy = self.spool.database.works - before > MOVE_S  # more than one a second
            try:
                for _ in range(MOVE_BUSY if busy else MOVE_QUIET):
                    sending = {number for number, _ in self.spool.hands.sending}
                    if not await asyncio.to_thread(moving.step, self._clock.now(), sending):
                        break
                if self._clock.monotonic() >= forget_at:
                    forget_at = self._clock.monotonic() + FORGET_S
                    await asyncio.to_thread(moving.forget, self._clock.now())
            except Exception:  # it stays in the shard, and is tried again
                _log.exception("what is done was not moved to its day", shard=self.spool.shard)

    async def _trim(self) -> None:
        while True:
            await self._clock.sleep(TRIM_S)
            try:
                await asyncio.to_thread(self.journal.trim, self.cursor.position)
            except Exception:  # tried again in a minute
                _log.exception("the journal was not trimmed", shard=self.spool.shard)


def _leads(way: Hop | NoWay | None, hop: str) -> bool:
    if not isinstance(way, Hop):
        return False
    names = (way.name, way.entity, *(name for target in way.targets for name in (target.host, target.address)))
    return any(name.lower().startswith(hop) for name in names)


def serve(ground: Ground, shard: int) -> Served:
    """Take the shard and open it; ShardTaken while another process has it, DatabaseError where it cannot be used."""
    spool = open_spool(
        ground.folder,
        shard,
        node=ground.settings.node.name,
        key=ground.key,
        clock=ground.clock,
        limits=ground.settings.spool,
    )
    return Served(ground, spool)
