"""Acts on many messages of a worker's shards: first what they would touch, then exactly that, some at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Literal, cast, get_args

from hudhud import log
from hudhud.clock import Clock
from hudhud.event import format_time
from mail import meter
from mail.held import Act, Held
from mail.node import asked
from mail.node.asking import Refused, Request
from mail.node.served import Served
from mail.shelf import filters
from mail.shelf.bodies import BodyError
from mail.shelf.filters import Filter, Touched
from mail.shelf.stored import LIVE, State, moment_of, queue_id

Name = Literal["hold", "resume", "retry", "delete", "release"]
NAMES: Final = get_args(Name)

MAX_MESSAGES: Final = 100_000  # of one preview, per shard; what is more waits for the next one
STEP: Final = 100  # messages done in one request, so that progress can be shown
KEPT_S: Final = 600.0  # seconds that a preview stays good
MAX_PLANS: Final = 20  # previews kept at once, per worker
SHOWN: Final = 20  # queue ids and domains that a preview names

STATES: Final[Mapping[Name, tuple[State, ...]]] = {
    "hold": ("queued",),
    "resume": ("held",),
    "retry": ("queued", "unjudged"),
    "release": ("held",),
    "delete": LIVE,
}
"""In which states an act finds its recipients."""

Record = Callable[..., Awaitable[None]]
"""(request, act, subject, reason=, after=): into the audit chain, before the act."""

_log = log.get(__name__)


@dataclass(slots=True)
class Plan:
    """What was previewed, for whom; `left` are (shard, number), the oldest last."""

    actor: str
    act: Name
    made: float
    left: list[tuple[int, int]] = field(default_factory=list)


class Many:
    """One worker's. A plan is kept under the token that its asker made up, for one act of one actor."""

    def __init__(self, served: Callable[[], Iterable[Served]], clock: Clock, record: Record) -> None:
        self._served, self._clock, self._record = served, clock, record
        self._plans: dict[str, Plan] = {}

    async def preview(self, request: Request, wanted: Filter) -> Mapping[str, object]:
        """What `do` with the same token would touch."""
        act, token = _name(request), _token(request)
        states = STATES[act]
        if wanted.state not in ("", "all", *states):
            raise Refused(400, f"{act} is for {' and '.join(states)}, not for {wanted.state}")
        now, plan, sum_of = (
            self._clock.now().timestamp(),
            Plan(str(request["actor"]), act, self._clock.monotonic()),
            Touched(),
        )
        wanted = replace(wanted, by_person=act == "resume")
        for served in self._served():
            found = await asyncio.to_thread(
                filters.touched, served.spool.database.read, wanted, states, now, MAX_MESSAGES
            )
            plan.left += [(served.spool.shard, number) for number in found.numbers]
            sum_of += found
        plan.left.sort(key=lambda one: one[1], reverse=True)
        self._keep(token, plan)
        return told(plan.left, sum_of)

    async def do(self, request: Request) -> Mapping[str, object]:
        """The next messages of a plan: how many were done, which not and why, how many are left."""
        plan = self._plan(request)
        chosen = plan.left[-STEP:]
        if asked.flag(request, "check") or not chosen:
            return {"done": 0, "recipients": 0, "told": 0, "failed": {}, "left": len(plan.left)}
        reason = asked.text(request, "reason")
        if plan.act != "retry" and not reason:
            raise Refused(400, "say why: a reason is needed")
        names = [queue_id(*one) for one in reversed(chosen)]
        await self._record(request, f"mail.{plan.act}", f"{len(names)} messages", reason=reason, after={"ids": names})
        del plan.left[-STEP:]
        acts = await asyncio.gather(*(self._one(plan, *one, request, reason) for one in reversed(chosen)))
        failed = {act.queue_id: why for act, why in acts if why}
        done = [act for act, why in acts if not why]
        meter.count(meter.ACTS, plan.act, by=len(done))
        return {
            "done": len(done),
            "recipients": sum(len(act.recipients) for act in done),
            "told": sum(act.told for act in done),
            "failed": failed,
            "left": len(plan.left),
        }

    async def _one(self, plan: Plan, shard: int, number: int, request: Request, reason: str) -> tuple[Act, str]:
        name = queue_id(shard, number)
        held = next((served.held for served in self._served() if served.spool.shard == shard), None)
        if held is None:
            return Act(name, ()), "its shard is with another worker now: preview again"
        try:
            with log.bound(queue_id=name):
                act = await perform(held, plan.act, name, request, reason)
        except BodyError as error:
            return Act(name, ()), str(error)
        return act, why_not(act, plan.act)

    def _keep(self, token: str, plan: Plan) -> None:
        now = self._clock.monotonic()
        self._plans = {name: one for name, one in self._plans.items() if one.made + KEPT_S > now}
        while len(self._plans) >= MAX_PLANS:
            self._plans.pop(next(iter(self._plans)))
        self._plans[token] = plan

    def _plan(self, request: Request) -> Plan:
        plan = self._plans.get(_token(request))
        if plan is None or plan.made + KEPT_S <= self._clock.monotonic():
            raise Refused(410, "that preview is over or was never made: preview again")
        if (plan.actor, plan.act) != (request["actor"], _name(request)):
            raise Refused(409, "that preview was made by somebody else, or for another act")
        return plan


async def perform(held: Held, act: Name, name: str, request: Request, reason: str) -> Act:
    """One act on one message."""
    actor, only = str(request["actor"]), _recipients(request)
    if act == "retry":
        return await held.retry(name)
    if act == "hold":
        return await held.hold(name, actor=actor, reason=reason)
    if act == "resume":
        return await held.resume(name, actor=actor, reason=reason)
    if act == "release":
        return await held.release(name, actor=actor, reason=reason, recipients=only)
    tell = not asked.flag(request, "silent")
    return await held.delete(name, actor=actor, reason=reason, recipients=only, tell=tell)


def why_not(act: Act, name: Name) -> str:
    """Why nothing was done; "" where something was."""
    if act.recipients:
        return ""
    if act.late:
        return f"it is being sent at this moment: {', '.join(act.late[:5])}; try again"
    return f"nothing was to be done: {_OTHERWISE[name]}"


_OTHERWISE: Final[Mapping[Name, str]] = {
    "hold": "no recipient waits",
    "resume": "nobody took it out of delivery; what a rule holds goes by `hudhud mail held release`",
    "release": "no recipient is held; what a person took out of delivery goes by `hudhud mail queue resume`",
    "retry": "no recipient waits",
    "delete": "no recipient waits or is held",
}


def told(chosen: list[tuple[int, int]], touched: Touched) -> dict[str, object]:
    """A preview for people and machines; `chosen` has the oldest last."""
    oldest = [queue_id(*one) for one in reversed(chosen[-SHOWN:])]
    return {
        "count": len(chosen),
        "recipients": touched.recipients,
        "oldest": format_time(moment_of(chosen[-1][1])) if chosen else None,
        "newest": format_time(moment_of(chosen[0][1])) if chosen else None,
        "domains": dict(touched.domains.most_common(SHOWN)),
        "ids": oldest,
    }


def together(answers: Iterable[Mapping[str, object]]) -> dict[str, object]:
    """The previews of several workers as one."""
    parts = [dict(one) for one in answers]
    domains: Counter[str] = Counter()
    for one in parts:
        domains.update(cast("dict[str, int]", one["domains"]))
    ids = [name for one in parts for name in cast("list[str]", one["ids"])]
    return {
        "count": sum(cast(int, one["count"]) for one in parts),
        "recipients": sum(cast(int, one["recipients"]) for one in parts),
        "oldest": min((str(one["oldest"]) for one in parts if one["oldest"]), default=None),
        "newest": max((str(one["newest"]) for one in parts if one["newest"]), default=None),
        "domains": dict(domains.most_common(SHOWN)),
        "ids": sorted(ids, key=lambda name: name.partition("-")[2])[:SHOWN],
    }


def until(seconds: float) -> str:
    """When a preview that is made now is over."""
    return format_time(datetime.fromtimestamp(seconds + KEPT_S, UTC))


def _name(request: Request) -> Name:
    name = asked.text(request, "do")
    if name not in NAMES:
        raise Refused(400, f"act {name!r} is none of {', '.join(NAMES)}")
    return cast(Name, name)


def _token(request: Request) -> str:
    token = asked.text(request, "token")
    if not token:
        raise Refused(400, "the token of a preview is needed")
    return token


def _recipients(request: Request) -> list[str] | None:
    value = request.get("recipients")
    if value in (None, []):
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Refused(400, "recipients is a list of addresses")
    return value
