"""Opens everything that the console stands on, from the settings, and closes it again."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from cert.desk import Desk
from cert.opening import open_store
from console import session
from console.exempting import Exempting
from console.house import House
from console.person import LivePeople
from console.relay import Relay
from hudhud import log, tls
from hudhud.audit import Audit
from hudhud.clock import SYSTEM, Clock
from hudhud.database import Database
from hudhud.keys import SigningKey
from hudhud.live import Live
from hudhud.registry import parse_registry
from hudhud.release import ReleaseError, Trust
from hudhud.settings import Settings
from mail.exempt import parse_exemptions
from mail.grants import duty
from mail.grants.desk import Ground
from mail.grants.ledger import Ledger
from mail.policy import parse_policy
from rules.ruleset import compile_ruleset

_log = log.get(__name__)


@contextlib.asynccontextmanager
async def opened(settings: Settings, clock: Clock = SYSTEM) -> AsyncIterator[House]:
    """The house while the console runs. Raises what is wrong with files, keys or releases at the start."""
    async with contextlib.AsyncExitStack() as stack:
        folder = settings.path("console")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        audit = Audit(settings.path("audit", "console.chain"), _key(settings, "node"), "console", clock=clock)
        stack.callback(audit.close)
        database = Database(folder / "sessions.db", session.SCHEMA)
        stack.callback(database.close)
        store = open_store(settings, clock)
        stack.push_async_callback(store.close)
        await store.prepare()
        relay = Relay(settings.console.relay_control, _client_tls(settings))
        stack.push_async_callback(relay.close)
        releases = live_releases(settings)
        exempting = Exempting(
            Ledger(settings.path("desk", "exemptions.db")),
            settings.path(settings.releases.folder),
            _key(settings, "desk"),
            Ground(
                registry=lambda: releases["registry"].value,
                scheme=lambda: releases["policy"].value.scheme,
                roster=lambda: duty.load(settings.path(duty.FILE)),
            ),
        )
        stack.callback(exempting.close)
        await _catch_up(exempting, releases, clock)
        limits = settings.console
        house = House(
            settings=settings,
            clock=clock,
            people=LivePeople(settings.path("people.toml")),
            sessions=session.Sessions(database, clock, idle_s=limits.idle_s, absolute_s=limits.absolute_s),
            failures=session.Failures(clock, limits.login_failures_per_hour),
            audit=audit,
            store=store,
            desk=Desk(store, audit, clock),
            relay=relay,
            exempting=exempting,
            registry=releases["registry"],
            rules=releases["rules"],
            releases=releases,
        )
        keeper = asyncio.create_task(_keep_fresh(releases, settings.releases.refresh_s))
        stack.callback(keeper.cancel)
        yield house


def live_releases(settings: Settings) -> Mapping[str, Live[Any]]:
    """The four kinds, each verified by the keys that the settings trust. ReleaseError where one never was good."""
    folder, trust = settings.path(settings.releases.folder), Trust.of(settings.releases)
    return {
        "rules": Live(folder, "rules", trust, lambda one: compile_ruleset(one.files, one.digest)),
        "registry": Live(folder, "registry", trust, lambda one: parse_registry(one.files, version=one.digest)),
        "policy": Live(folder, "policy", trust, lambda one: parse_policy(one.files)),
        "exemptions": Live(folder, "exemptions", trust, lambda one: parse_exemptions(one.files)),
    }


async def _keep_fresh(releases: Mapping[str, Live[Any]], every_s: float) -> None:
    """Swap in what was published meanwhile; compiling rules takes a while, so in a thread."""
    while True:
        await asyncio.sleep(max(every_s, 0.5))
        for live in releases.values():
            await asyncio.to_thread(live.refresh)


async def _catch_up(exempting: Exempting, releases: Mapping[str, Live[Any]], clock: Clock) -> None:
    """Publish what was decided before a crash and never reached the nodes."""
    live = frozenset(one.id for one in releases["exemptions"].value)
    try:
        if await asyncio.to_thread(exempting.behind, live, clock.now()):
            await asyncio.to_thread(exempting.publish, "console", "caught up at start", clock.now())
    except (ReleaseError, OSError) as error:
        _log.error("exemptions could not be published", problem=str(error))


def _key(settings: Settings, name: str) -> SigningKey:
    return SigningKey.load(settings.path("keys", f"{name}.key"))


def _client_tls(settings: Settings) -> ssl.SSLContext:
    folder: Path = settings.path("tls")
    for name in ("ca.pem", "console.pem", "console.key"):
        (folder / name).open("rb").close()  # ssl does not name the file that it cannot read
    return tls.client_context(folder / "ca.pem", cert=folder / "console.pem", key=folder / "console.key")
