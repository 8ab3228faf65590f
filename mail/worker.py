"""One worker of the relay: `python -m mail.worker`, started by the supervisor with its listening sockets.

It has a loop, a shard of the spool and the sessions that its sockets bring. When its life line closes, because the
supervisor is gone, it finishes and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import uvloop

from hudhud import config as configuration
from hudhud import log
from hudhud.audit import Audit
from hudhud.cli import Exit
from hudhud.clock import SYSTEM, Clock
from hudhud.keys import SigningKey
from hudhud.settings import Settings
from mail.again import Again
from mail.careful import Careful
from mail.carry.link import Link
from mail.content.examine import Examiner
from mail.control import Control
from mail.dialog import HEAVY, House
from mail.dns import LiveResolver
from mail.door import Door
from mail.envelope import Listener
from mail.judging import Judging
from mail.limits import Limits
from mail.live import LiveReleases, live_releases
from mail.nexthop import Offers
from mail.node.draining import Covers, Other, drain
from mail.node.orphans import wanted
from mail.node.served import Ground, Served, serve
from mail.node.watch import Watch
from mail.proof import ways
from mail.proof.used import Used, path_of
from mail.relay import Relay
from mail.session.live import LiveAccounts
from mail.session.login import Login
from mail.session.servers import Servers
from mail.session.shown import Asking
from mail.session.strikes import Strikes
from mail.session.telling import Telling
from mail.shelf.bodies import wrapping_key
from mail.shelf.shard import ShardTaken
from mail.threads import SpoolThreads

DRAIN_S: Final = 8.0  # seconds that sessions have to finish when the worker is told to stop
SHARD_WAIT_S: Final = 20.0  # seconds that the shard's last owner has to let it go
READY: Final = b"ready\n"
GARBAGE: Final = (10_000, 20, 50)  # thresholds of the collector: a message leaves next to nothing that only it can free

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """What the supervisor gives a worker: its number, everybody's listening sockets, its life line."""

    number: int
    sockets: tuple[Other, ...]
    life: int


async def run(settings: Settings, place: Place, clock: Clock = SYSTEM) -> None:
    """Serve until told to stop. Raises what made the worker unusable."""
    stop, orders = asyncio.Event(), asyncio.Queue[str]()
    life = _life_line(place.life, stop, orders)
    async with AsyncExitStack() as closing:
        folder = settings.path(settings.spool.folder)
        live = live_releases(settings)
        resolver = LiveResolver(settings.dns, clock)
        threads = SpoolThreads(folder)
        closing.callback(threads.close)
        key = wrapping_key(settings.path("keys", "node.key"))
        offers = closing.enter_context(
            contextlib.closing(Offers(folder / "offers.bin", ttl_s=settings.delivery.offers_s, clock=clock))
        )
        limits = closing.enter_context(Limits(folder / "limits.bin", settings.relay, worker=place.number, clock=clock))
        link = Link(folder, settings.delivery, clock)
        ground = Ground(settings, clock, resolver, lambda: live.policy.registry, key, folder, offers, limits, link)
        own = await _own_shard(ground, place.number, stop)
        strikes = closing.enter_context(contextlib.closing(Strikes(folder / f"strikes-{place.number}", limits)))
        chain, node_key = settings.path("audit", f"relay-{place.number}.chain"), settings.path("keys", "node.key")
        audit = Audit(chain, SigningKey.load(node_key), f"relay-{place.number}")
        closing.callback(audit.close)
        judging = Judging(live, resolver, threads, clock, settings, ahead=own.ahead)
        closing.push_async_callback(judging.close)
        careful = Careful(judging, strikes, limits, settings.relay)
        accounts = LiveAccounts(settings.path("accounts.toml"))
        telling = Telling(
            spool=own.spool,
            policy=lambda: live.policy,
            limits=limits,
            clock=clock,
            settings=settings.relay,
            node=settings.node.name,
        )
        again = Again(careful, telling, clock=clock, settings=settings)
        watch = Watch(ground, live=live, accounts=accounts, judging=judging, again=again, number=place.number, own=own)
        closing.push_async_callback(watch.close)
        closing.push_async_callback(telling.settle)
        relay = Relay(
            spool=own.spool,
            judge=careful,
            telling=telling,
            limits=limits,
            clock=clock,
            settings=settings.relay,
        )
        login = await closing.enter_async_context(_login(ground, place.number, live, accounts, limits))
        examiner = Examiner(settings.content)
        closing.push_async_callback(examiner.close)
        control = Control(watch.served, examiner, audit, clock, watch.status)
        control_path = folder / f"worker-{place.number}.sock"
        server = await control.open(control_path)
        closing.callback(control_path.unlink, missing_ok=True)
        closing.callback(server.close)
        servers = Servers(lambda: live.policy.registry)
        house = House(relay, login, limits, settings.relay, folder, asyncio.Semaphore(HEAVY), servers)
        context = _context(settings, servers)
        door = Door(house, context, settings.lab.proxy_from if settings.lab else (), settings.relay.proxy_from)
        await _serve(door, place, life, orders=orders, stop=stop, watch=watch, drain_s=settings.relay.drain_s)
        _log.info("worker ends", number=place.number)


async def _serve(
    door: Door,
    place: Place,
    life: socket.socket,
    *,
    orders: asyncio.Queue[str],
    stop: asyncio.Event,
    watch: Watch,
    drain_s: float,
) -> None:
    """Take connections and deliver, until told to stop or replaced; raises what made a shard unusable."""
    working = asyncio.create_task(watch.run(stop))
    for number, listener, descriptor in place.sockets:
        if number == place.number:
            await door.open(listener, socket.socket(fileno=descriptor))
    gc.collect()
    gc.freeze()  # rules, registry and code stay for good: no collection looks at them again
    gc.set_threshold(*GARBAGE)
    life.send(READY)
    _log.info("worker ready", number=place.number)
    replaced = asyncio.create_task(_obey(orders, Covers(door, place.sockets)))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, replaced, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if replaced.done() and not stop.is_set():
            await drain(door, drain_s, lambda: stop.is_set() or working.done())
    finally:
        stop.set()
        replaced.cancel()
        await door.close(DRAIN_S)
        await working


def _context(settings: Settings, servers: Servers) -> Asking:
    """TLS of the listeners. Without the authority's file only fingerprints of certificates count."""
    authority = settings.path(settings.relay.client_ca) if settings.relay.client_ca else None
    if authority is not None and not authority.exists():
        _log.warning("no authority for client certificates: their names do not count", path=str(authority))
        authority = None
    return Asking(settings.path("tls", "relay.pem"), settings.path("tls", "relay.key"), authority, servers.asks)


@contextlib.asynccontextmanager
async def _login(
    ground: Ground, number: int, live: LiveReleases, accounts: LiveAccounts, limits: Limits
) -> AsyncIterator[Login]:
    settings, clock = ground.settings, ground.clock
    back_ends, used = ways.build(settings, clock), Used(path_of(ground.folder, number))
    login = Login(accounts, limits, settings, clock, ways=back_ends, policy=lambda: live.policy, used=used)
    looking = asyncio.create_task(login.look())
    try:
        yield login
    finally:
        looking.cancel()
        await login.close()


def _life_line(descriptor: int, stop: asyncio.Event, orders: asyncio.Queue[str]) -> socket.socket:
    """The supervisor's end closes when the supervisor dies; until then what it says comes by it, a line each."""
    life = socket.socket(fileno=descriptor)
    life.setblocking(False)
    loop = asyncio.get_running_loop()
    rest = b""

    def look() -> None:
        nonlocal rest
        try:
            came = life.recv(1024)
        except OSError:
            came = b""
        *lines, rest = (rest + came).split(b"\n")
        for line in lines:
            orders.put_nowait(line.decode("ascii", "replace"))
        if not came:
            loop.remove_reader(life)
            stop.set()

    loop.add_reader(life, look)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return life


async def _obey(orders: asyncio.Queue[str], covers: Covers) -> None:
    """What the supervisor says (mail/node/crew.py), until it says that this worker is replaced."""
    while (order := await orders.get()) != "drain":
        verb, _, number = order.partition(" ")
        if verb == "cover":
            await covers.cover(int(number))
        elif verb == "leave":
            covers.leave(int(number))


async def _own_shard(ground: Ground, number: int, stop: asyncio.Event) -> Served:
    """The worker's own shard, once its last owner has let it go."""
    until, asked = ground.clock.monotonic() + SHARD_WAIT_S, wanted(ground.folder, number)
    try:
        while True:
            try:
                return serve(ground, number)
            except ShardTaken:
                if stop.is_set() or ground.clock.monotonic() > until:
                    raise
                asked.touch()  # who has adopted it gives it back
                await ground.clock.sleep(0.1)
    finally:
        asked.unlink(missing_ok=True)


def _socket(text: str) -> Other:
    number, _, rest = text.partition("/")
    listener, _, descriptor = rest.partition(":")
    return int(number), cast(Listener, listener), int(descriptor)


def main(words: Sequence[str]) -> int:
    """The process: exit code DONE after a clean stop, UNAVAILABLE where it could not work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--life", type=int, required=True)
    parser.add_argument("--sockets", required=True, help="worker/listener:descriptor,…")
    asked = parser.parse_args(words)
    settings = configuration.load(asked.config).settings
    log.configure(settings.node.log_level, program=f"relay-{asked.number}")
    sockets = tuple(_socket(one) for one in asked.sockets.split(",") if one)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings, Place(asked.number, sockets, asked.life)))
    except Exception:
        _log.exception("the worker cannot go on", number=asked.number)
        return Exit.UNAVAILABLE
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
