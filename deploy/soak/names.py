"""The DNS is down: it fails, then it is silent. National mail flows, foreign mail waits, then all of it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from deploy import demo
from deploy.bench import lab, message, sink
from deploy.soak.hop import waited
from deploy.soak.place import accepted, all_there, loaded, refusals
from deploy.soak.restart import compiled
from deploy.soak.tally import Line, lines, tally
from hudhud import release
from hudhud.clock import SYSTEM

DOWN_S = 120.0
DELIVERED_S = 180.0
ABROAD = "noor@freemail.example"
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "relay": {"workers": 2},
    "dns": {"timeout_s": 1.0, "cache_max_ttl_s": 1},
    "delivery": {"first_retry_s": 2.0, "max_retry_s": 5.0},
    "node": {"log_level": "error"},
}


async def dns_down(folder: Path, down: float) -> list[Line]:
    """A lab in `folder` whose name server fails for half of the seconds and is silent for the rest."""
    made = lab.make(folder, changes=SETTINGS)
    _may_write_abroad(folder)
    async with compiled(folder), lab.relaying(folder, made, arrivals=True) as running:
        order = running.submission()
        orders = [
            msgspec.structs.replace(order, size="2k", sessions=2, per_session=20, rate=10.0),
            msgspec.structs.replace(order, size="2k", sessions=2, per_session=20, rate=5.0, recipients=(ABROAD,)),
        ]
        async with loaded(orders) as results:
            await asyncio.sleep(2.0)
            came: list[tuple[int, int]] = []
            for state in ("failing", "silent"):
                running.names.state = state
                await asyncio.sleep(1.5)  # what was asked before still counts
                begun = _came(running)
                await waited(f"the DNS is {state}", down / 2)
                now = _came(running)
                came.append((now[0] - begun[0], now[1] - begun[1]))
            running.names.state = "up"
            await asyncio.sleep(2.0)
        arrivals = await all_there(running, accepted(results), DELIVERED_S)
    national = [home for home, _ in came]
    return [
        Line("DNS failing, then silent", f"{down / 2:,.0f} s each"),
        Line("national mail that arrived meanwhile", " + ".join(map(str, national)), all(national)),
        Line("foreign mail that arrived meanwhile", " + ".join(f"{far:,}" for _, far in came)),
        refusals(results, ("451",)),
        Line("foreign messages that got 250", f"{len(results[1].accepted):,}", bool(results[1].accepted)),
        *lines(tally(accepted(results), arrivals, [])),
    ]


def _came(running: lab.RelayLab) -> tuple[int, int]:
    """How many of the national and of the foreign messages have arrived."""
    arrivals = sink.read_arrivals(running.data / "sink.arrivals")
    abroad = sum(one >= message.identity(1_000_000_000) for one in arrivals)
    return len(arrivals) - abroad, abroad


def _may_write_abroad(folder: Path) -> None:
    """A policy by which the lab's ministries may write to foreign addresses, as every country's do in the end."""
    text = demo.DEMO.joinpath("policy.toml").read_bytes().replace(b'foreign = "reply-only"', b'foreign = "allow"')
    key, now = release.SigningKey.load(folder / "keys" / "desk.key"), SYSTEM.now()
    files = {"policy.toml": text}
    digest = release.write(folder / "releases", "policy", files, author="soak", note="abroad", now=now, keys=[key])
    release.publish(folder / "releases", "policy", digest, now=now, keys=[key])
