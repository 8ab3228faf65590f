"""What an attempt makes of a recipient, and of whom the sender is told: pure, from the attempt and the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mail import dsn
from mail.attempt import Attempt
from mail.envelope import PathError, parse_path
from mail.queue import RUNNING, Pause, Schedule, delay_is_due, next_attempt
from mail.shelf.rows import Outcome
from mail.shelf.stored import Own, Stored, Waiting
from mail.tell import happened


@dataclass(frozen=True, slots=True)
class Settled:
    """A recipient's outcome, and what is to be told of it (None: nothing)."""

    outcome: Outcome
    told: dsn.Told | None


def settle(
    stored: Stored,
    waiting: Waiting,
    attempt: Attempt,
    now: datetime,
    schedule: Schedule,
    *,
    pause: Pause = RUNNING,
) -> Settled:
    """Delivered, failed for good or for age, or due again; with the notification that this calls for."""
    if attempt.delivered:
        action = dsn.success(waiting, attempt)
        return _settled(stored, Outcome(waiting, attempt, "delivered", now), action)
    due = None
    if not attempt.permanent:
        due = next_attempt(
            stored.received,
            (*waiting.attempts, attempt),
            seed=stored.queue_id,
            tries=waiting.tries + 1,
            schedule=schedule,
            pause=pause,
        )
    if due is None:
        return _settled(stored, Outcome(waiting, attempt, "failed", now), "failed")
    late = not waiting.told and delay_is_due(stored.received, now, schedule)
    outcome = Outcome(waiting, attempt, "queued", due, told=late)
    until = stored.received + schedule.life + pause.passed
    return _settled(stored, outcome, "delayed" if late else None, until, pause.since)


def _settled(
    stored: Stored,
    outcome: Outcome,
    action: dsn.Action | None,
    until: datetime | None = None,
    cut: datetime | None = None,
) -> Settled:
    if action is None or not stored.bounce or stored.kind != "mail" or not dsn.wants(outcome.waiting, action):
        return Settled(outcome, None)
    given_up = until if action == "delayed" else None
    return Settled(outcome, dsn.Told(outcome.waiting, action, outcome.attempt, given_up, cut))


def notifications(
    stored: Stored, told: Iterable[dsn.Told], content: bytes, relay: dsn.Relay, now: datetime
) -> list[Own]:
    """One DSN for each action, from the null sender to the sender."""
    groups: dict[dsn.Action, list[dsn.Told]] = {}
    for one in told:
        groups.setdefault(one.action, []).append(one)
    if not groups:
        return []
    try:
        sender = parse_path(stored.sender, smtputf8=True)
    except PathError:  # an address that was taken by another grammar than today's
        return []
    return [
        Own("dsn", b"", (sender,), dsn.compose(stored, group, content, relay, now), stored.queue_id)
        for group in groups.values()
    ]


def events(stored: Stored, settled: Sequence[Settled], node: str, now: datetime, *, entity: str) -> list[bytes]:
    """What the journal is told: of those delivered, of those given up, and of a delay when the sender hears of it."""
    ours = stored.account or stored.listener == "own"
    direction = ("internal" if entity else "outbound") if ours else "inbound"
    documents = []
    groups: tuple[tuple[happened.Action, list[Settled]], ...] = (
        ("delivered", [s for s in settled if s.outcome.state == "delivered"]),
        ("bounced", [s for s in settled if s.outcome.state == "failed"]),
        ("deferred", [s for s in settled if s.outcome.state == "queued" and s.outcome.told]),
    )
    for action, chosen in groups:
        if chosen:
            documents.append(
                happened.tell(
                    stored,
                    action,
                    node,
                    now,
                    recipients=[s.outcome.waiting.address for s in chosen],
                    organization=stored.entity or entity,
                    direction=direction,
                    failure=action != "delivered",
                    reason=chosen[0].outcome.attempt.status if action != "delivered" else "",
                    reply=chosen[0].outcome.attempt.reply,
                )
            )
    return documents
