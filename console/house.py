"""What the console stands on: sessions, people, audit chain, store, the desk's acts, the relay, live releases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cert.desk import Desk
from cert.store import Store
from console.exempting import Exempting
from console.person import LivePeople
from console.relay import Relay
from console.session import Failures, Sessions
from hudhud.audit import Audit
from hudhud.clock import Clock
from hudhud.entity import Registry
from hudhud.live import Live
from hudhud.settings import Settings
from rules.ruleset import Ruleset


@dataclass(frozen=True, slots=True)
class House:
    """Handed to every page; made once by `console.opening.opened`."""

    settings: Settings
    clock: Clock
    people: LivePeople
    sessions: Sessions
    failures: Failures
    audit: Audit
    store: Store
    desk: Desk
    relay: Relay
    exempting: Exempting
    registry: Live[Registry]
    rules: Live[Ruleset]
    releases: Mapping[str, Live[Any]]  # all four kinds, the two above among them
