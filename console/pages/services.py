"""The services behind the console: relay, store, intake, desk, sensors, releases; what is ill and since when."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from markupsafe import Markup
from starlette.responses import Response

from cert.store import Query, StoreDown
from console import text
from console.relay import RelayDown, RelayRefused
from console.visit import Visit
from console.words import _
from hudhud import codec

State = Literal["well", "ill", "down", "unknown"]
PROGRAMS = ("intake", "desk", "relay", "sensor")  # that write run/<program>.json where they run on this machine
SEEN_WITHIN = timedelta(days=7)  # an observer that told nothing for longer is not listed
MIN_SILENCE = timedelta(minutes=10)  # below it, silence says nothing
MAX_OBSERVERS = 200


@dataclass(frozen=True, slots=True)
class Service:
    """One line: its name, how it is, and what tells so."""

    name: Markup
    state: State
    told: Markup


async def show(visit: Visit) -> Response:
    """All of them; each is asked by itself, so that one that hangs or fails hides no other."""
    lines = [await _relay(visit), await _store(visit), *_programs(visit), *_releases(visit)]
    try:
        observers = await _observers(visit)
    except StoreDown:
        observers = None
    return visit.page("services.html", services=lines, observers=observers)


async def _relay(visit: Visit) -> Service:
    name = visit.say(_("Relay (control)"))
    try:
        status = await visit.house.relay.status(visit.person.login)
    except (RelayDown, RelayRefused) as error:
        return Service(name, "down", text.outside(error))
    workers = status.get("workers")
    figures = {
        key: value for key, value in status.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }
    told = visit.say(_(", ")).join(_figure(visit, key, value) for key, value in sorted(figures.items())) or Markup("–")
    if isinstance(workers, list):
        told = visit.say(_("{count} workers."), count=len(workers)) + " " + told
    return Service(name, "well", told)


def _figure(visit: Visit, key: str, value: float) -> Markup:
    """A figure that the relay tells of itself; one that has no words here is shown by its name."""
    words = {"held": _("held {count}"), "queued": _("queued {count}")}
    return visit.say(words[key], count=value) if key in words else text.outside(f"{key} {value}")


async def _store(visit: Visit) -> Service:
    name = visit.say(_("Store ({kind})"), kind=visit.house.settings.store.kind)
    try:
        problem = await visit.house.store.health()
    except StoreDown as error:
        return Service(name, "down", text.outside(error))
    return Service(
        name, "ill" if problem else "well", text.outside(problem) if problem else visit.say(_("It answers."))
    )


def _programs(visit: Visit) -> Iterable[Service]:
    """Programs of this machine, by the file that each writes when it is ready."""
    words = {
        "intake": _("Intake"),
        "desk": _("Desk (pipeline)"),
        "relay": _("Relay (process)"),
        "sensor": _("Sensor (process)"),
    }
    for program in PROGRAMS:
        found = _run_file(visit.house.settings.path("run", f"{program}.json"))
        if found is None and program in {"relay", "sensor"}:
            continue  # the relay answers for itself above, sensors by what they tell below
        if found is None:
            yield Service(
                visit.say(words[program]),
                "unknown",
                visit.say(_("It does not run on this machine, or has not started.")),
            )
            continue
        pid, ready = found
        alive = _alive(pid)
        state: State = "well" if alive and ready else "ill" if alive else "down"
        yield Service(visit.say(words[program]), state, visit.say(_("Process {pid}."), pid=pid))


def _releases(visit: Visit) -> Iterable[Service]:
    for kind, live in visit.house.releases.items():
        name = visit.say(
            _("Release: {kind}"),
            kind=visit.say(
                {"registry": _("Registry"), "policy": _("Policy"), "exemptions": _("Exemptions"), "rules": _("Rules")}[
                    kind
                ]
            ),
        )
        if live.problem:
            yield Service(
                name,
                "ill",
                visit.say(
                    _("The newest was refused, the one before stays in force: {why}"), why=text.outside(live.problem)
                ),
            )
        else:
            yield Service(
                name,
                "well",
                visit.say(
                    _("Serial {serial} of {when}."), serial=live.release.serial, when=text.moment(live.release.created)
                ),
            )


@dataclass(frozen=True, slots=True)
class Observer:
    """A relay or sensor, by what it told last."""

    name: str
    kind: str
    events: int
    last: datetime | None
    silent: timedelta | None
    state: State


async def _observers(visit: Visit) -> list[Observer]:
    store, now = visit.house.store, visit.house.clock.now()
    found = []
    for kind in ("sensor", "relay"):
        window = Query(f"observer.type:{kind}", now - SEEN_WITHIN, now + timedelta(minutes=5))
        for bucket in await store.counts(window, "observer.name", MAX_OBSERVERS):
            name = bucket.key.replace("\\", "\\\\").replace('"', '\\"')
            newest = await store.search(
                Query(f'observer.type:{kind} AND observer.name:"{name}"', window.start, window.end, limit=1)
            )
            last = newest.found[0].timestamp if newest.found else None
            silent = now - last if last else None
            found.append(Observer(bucket.key, kind, bucket.count, last, silent, _judged(visit, kind, silent)))
    return found


def _judged(visit: Visit, kind: str, silent: timedelta | None) -> State:
    """A sensor that is silent is ill; a relay may only have no mail."""
    allowed = max(MIN_SILENCE, timedelta(seconds=3 * visit.house.settings.sensor.heartbeat_s))
    if silent is None:
        return "unknown"
    return "well" if silent <= allowed else "ill" if kind == "sensor" else "unknown"


def _run_file(path: Path) -> tuple[int, bool] | None:
    """(pid, ready) as the program wrote them; None where there is no such file."""
    try:
        value = codec.decode(path.read_bytes())
    except (OSError, codec.CodecError):
        return None
    pid = value.get("pid") if isinstance(value, Mapping) else None
    return (pid, bool(value.get("ready"))) if isinstance(pid, int) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
