"""What goes on in a worker beside its sessions: shards at work, releases looked at, rules stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Final

from hudhud import journal, log
from hudhud.database import Connection
from hudhud.event import Value, format_time
from mail.accounts import Account
from mail.again import Again
from mail.judging import Judging
from mail.live import LiveReleases
from mail.message import Message
from mail.node.orphans import Orphans
from mail.node.reminding import LOOK_S, Reminding
from mail.node.served import Ground, Served
from mail.node.stopping import Stop, Stops, over_budget
from mail.session import servers
from mail.session.live import LiveAccounts, account_named
from mail.shelf import shard
from mail.suspend import Suspension
from mail.tell.events import Teller
from mail.verdict import Judgement

SWEEP_S: Final = 5.0  # seconds between looks for orphaned shards, and for mail that a stopped rule still holds
AGAIN_S: Final = 1.0  # seconds between looks for what is to be judged again after a fault of ours
ACTOR: Final = "hudhud"  # who acts when a rule stops itself
REASON: Final = "the rule stopped itself"

_log = log.get(__name__)


class Watch:
    """One worker's. `own` is its shard; shards past the last worker's are adopted, each by one worker."""

    def __init__(
        self,
        ground: Ground,
        *,
        live: LiveReleases,
        accounts: LiveAccounts,
        judging: Judging,
        again: Again,
        number: int,
        own: Served,
    ) -> None:
        self._ground, self._live, self._accounts, self._judging = ground, live, accounts, judging
        self._again, self._number, self._own = again, number, own
        self._shards: dict[int, Served] = {own.spool.shard: own}
        self._orphans = Orphans(ground, number, self._shards)
        self._stops = Stops(ground.folder)
        self._live.stop(frozenset(self._stops.stopped))
        self._told: dict[str, Suspension] = {}
        self._stop = asyncio.Event()
        self._shard_group = asyncio.TaskGroup()

    def served(self) -> Iterable[Served]:
        """The shards that this worker has now."""
        return tuple(self._shards.values())

    def status(self) -> Mapping[str, object]:
        """What the worker tells of itself."""
        problems = (self._live.problem, self._accounts.problem)
        return {
            "number": self._number,
            "pid": os.getpid(),
            "ruleset": self._live.ruleset.version,
            "policy": self._live.policy.version,
            "stopped": sorted(self._live.stopped),
            "suspended": [
                {"check": one.check, "id": one.id, "ends": format_time(one.ends)} for one in self._suspensions()
            ],
            "judging": {**self._judging.bench.status(), "judged_again": self._again.judged},
            "problems": [problem for problem in problems if problem],
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until a shard cannot be used any more: that is raised, in a group."""
        self._stop = stop
        async with self._shard_group as group:
            group.create_task(self._own.run(stop))
            group.create_task(self._every(self._ground.settings.releases.refresh_s, self._refresh))
            group.create_task(self._every(SWEEP_S, self._sweep))
            group.create_task(self._every(AGAIN_S, self._judge_unjudged))
            if self._number == 0:
                ground = self._ground
                reminding = Reminding(ground.settings, self._own.spool, ground.registry, ground.clock)
                group.create_task(self._every(LOOK_S, reminding.look))

    async def close(self) -> None:
        """Give every shard up."""
        for served in self._shards.values():
            await asyncio.to_thread(served.close)

    # inside

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while not self._stop.is_set():
            try:
                await work()
            except Exception:  # tried again in a moment; what made a shard unusable is raised by the shard itself
                _log.exception("a look failed", at=work.__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)

    async def _refresh(self) -> None:
        """Releases, accounts, and the node's list of stopped rules."""
        await asyncio.to_thread(self._judging.refresh)
        await asyncio.to_thread(self._accounts.refresh)
        versions = {rule.id: rule.version for rule in self._live.ruleset.yara.rules}
        for rule in self._stops.changed(versions):
            if self._stops.let_run(rule, self._ground.clock.now()):
                _log.info("a stopped rule runs again: its version changed", rule=rule)
        if self._number == 0:
            await self._stop_rules(versions)
            await self._tell_of_suspensions()
        self._stops.refresh()
        stopped = frozenset(self._stops.stopped)
        if stopped != self._live.stopped:
            fresh = stopped - self._live.stopped
            self._live.stop(stopped)
            await self._judge_again(fresh)

    async def _stop_rules(self, versions: Mapping[str, str]) -> None:
        """Stop the rules that hold more than their share, and tell of it."""
        ground, limits = self._ground, self._ground.settings.budget
        paths = [ground.folder / f"shard-{number}.db" for number in shard.shard_numbers(ground.folder)]
        over = await asyncio.to_thread(over_budget, paths, limits, versions, self._stops.since())
        for rule, held in over.items():
            now = ground.clock.now()
            stop = Stop(versions[rule], format_time(now), held, limits.window)
            if not self._stops.stop(rule, stop):
                continue
            _log.warning("a rule stopped itself", rule=rule, held=held, window=limits.window)
            fields: dict[str, Value] = {
                "event.kind": "alert",
                "event.reason": f"held {held} of the last {limits.window} messages",
                "rule.id": [rule],
                "rule.version": [versions[rule]],
                "hudhud.mail.held": held,
            }
            document = Teller(ground.settings.node.name, ground.registry()).act("rule-stopped", now, fields)
            await self._own.spool.commit(partial(_append, document))

    def _suspensions(self) -> list[Suspension]:
        """The checks that only tag now."""
        now = self._ground.clock.now()
        return [one for one in self._live.policy.suspensions if one.in_force(now)]

    async def _tell_of_suspensions(self) -> None:
        """An alert when a check begins to only tag, an event when it bites again."""
        live = {one.id: one for one in self._suspensions()}
        changed = [("check-suspended", live[key]) for key in live.keys() - self._told.keys()]
        changed += [("check-resumed", self._told[key]) for key in self._told.keys() - live.keys()]
        self._told = live
        for action, one in changed:
            _log.warning(action, check=one.check, suspension=one.id, ends=format_time(one.ends))
            fields: dict[str, Value] = {
                "event.kind": "alert" if action == "check-suspended" else "event",
                "event.reason": f"{one.check} until {format_time(one.ends)}: {one.reason}",
                "user.name": one.approver,
                "hudhud.mail.check": one.check,
            }
            teller = Teller(self._ground.settings.node.name, self._ground.registry())
            document = teller.act(action, self._ground.clock.now(), fields)
            await self._own.spool.commit(partial(_append, document))

    async def _sweep(self) -> None:
        """Take shards that nobody has any more; judge again what a stopped rule held while it was being stopped."""
        await self._orphans.sweep(self._shard_group, self._stop)
        await self._judge_again(self._live.stopped)

    async def _judge_unjudged(self) -> None:
        """What our own fault kept from being judged; adopted shards' too."""
        for served in self.served():
            await self._again.look(served.spool, self._account)

    async def _judge_again(self, rules: Iterable[str]) -> None:
        """What only these rules held goes out."""
        for rule in rules:
            for served in self.served():
                acts = await served.held.rejudge(rule, self._judge, self._account, actor=ACTOR, reason=REASON)
                released = [act.queue_id for act in acts if act.recipients]
                if released:
                    _log.info("judged again without a rule, released", rule=rule, messages=len(released))

    async def _judge(self, message: Message) -> Judgement:
        """The whole judgement anew, RCPT included."""
        recipients = message.envelope.recipients
        verdicts = [await self._judging.at_rcpt(message.envelope, recipient) for recipient in recipients]
        return await self._judging.at_data(message, verdicts)

    def _account(self, name: str) -> Account | None:
        if "/" in name:
            return servers.named(self._ground.registry(), name)
        return account_named(name, self._accounts.value, self._ground.registry(), self._ground.clock.now())


def _append(document: bytes, connection: Connection) -> None:
    journal.append(connection, [document])
