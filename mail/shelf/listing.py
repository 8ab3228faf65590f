"""The spool for people: lists, one message in full, and how rules held lately. Only reads; JSON-able dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hudhud import codec
from hudhud.database import open_reader
from hudhud.database import rows as read_rows
from hudhud.event import format_time
from mail.shelf.due import Read
from mail.shelf.filters import Filter, numbers
from mail.shelf.stored import LIVE, moment_of, parse_queue_id, queue_id, shown_address, time_of, unpack_attempts

MAX_LISTED = 10_000  # messages of one list

_COLUMNS = """m.number, m.kind, m.received, m.sender, m.account, m.entity, m.listener, m.size, m.sha256, m.message_id,
    m.held_by, m.envelope, m.judgement, m.trace, m.acts"""


def messages(read: Read, shard: int, wanted: Filter, now: float, limit: int = 100) -> list[dict[str, object]]:
    """The newest messages that fit, at most `limit`, without findings and trace."""
    chosen = numbers(read, wanted, now, min(max(limit, 0), MAX_LISTED))
    marks = ", ".join(map(str, chosen))  # integers of ours
    query = f"SELECT {_COLUMNS} FROM messages m WHERE m.number IN ({marks}) ORDER BY m.number DESC"  # noqa: S608
    return [_message(read, shard, row, full=False) for row in read(query)]


def message(read: Read, shard: int, text: str) -> dict[str, object] | None:
    """One message in full by its queue id; None where it is not known here."""
    number = parse_queue_id(text)
    if number is None or number[0] != shard:
        return None
    found = read(f"SELECT {_COLUMNS} FROM messages m WHERE m.number = ?", (number[1],))  # noqa: S608 - our words
    return _message(read, shard, found[0], full=True) if found else None


def counts(read: Read) -> dict[str, int]:
    """How many recipients wait and are held, and since when the oldest waits (seconds since 1970, 0 for none)."""
    queued = read("SELECT count(*), min(number) FROM recipients WHERE state = 'queued'")[0]
    held = read("SELECT count(*) FROM recipients WHERE state = 'held'")[0][0]
    unjudged = read("SELECT count(*) FROM recipients WHERE state = 'unjudged'")[0][0]
    oldest = read("SELECT received FROM messages WHERE number = ?", (queued[1],)) if queued[0] else []
    return {"queued": queued[0], "held": held, "unjudged": unjudged, "oldest": int(oldest[0][0]) if oldest else 0}


def ages(read: Read, now: datetime) -> dict[str, float]:
    """State -> seconds since the oldest message was received that has a recipient in it; 0 for none."""
    found: dict[str, float] = {}
    for state in LIVE:
        number = read(f"SELECT min(number) FROM recipients WHERE state = '{state}'")[0][0]  # noqa: S608 - our words
        found[state] = max((now - moment_of(number)).total_seconds(), 0.0) if number is not None else 0.0
    return found


def last_outcomes(shards: Iterable[Path], window: int) -> list[tuple[str, ...]]:
    """The rules that held each of the last `window` messages of all shards, newest first; () for a message not held."""
    found: list[tuple[int, str]] = []
    for path in shards:
        connection = open_reader(path)
        try:
            found += read_rows(connection, path, _OUTCOMES, (window,))
        finally:
            connection.close()
    return [tuple(codec.decode(held_by)) for _, held_by in sorted(found, reverse=True)[:window]]


_OUTCOMES = "SELECT number, held_by FROM messages WHERE kind = 'mail' ORDER BY number DESC LIMIT ?"


def held_by_rule(read: Read, shard: int, rule: str) -> list[str]:
    """Queue ids of the messages that are held by the rule now, oldest first."""
    query = "SELECT number, held_by FROM recipients WHERE state = 'held' ORDER BY number"
    numbers = {number: None for number, rules in read(query) if rule in codec.decode(rules)}
    return [queue_id(shard, number) for number in numbers]


def _message(read: Read, shard: int, row: Sequence[Any], *, full: bool) -> dict[str, object]:
    number, kind, received, sender, account, entity, listener, size, sha256, message_id, *rest = row
    held_by, envelope, judgement, trace, acts = rest
    recipients = [_recipient(one) for one in read(_RECIPIENTS, (number,))]
    who, body, smtputf8, ret, envid, *more = codec.decode(envelope)
    shown: dict[str, object] = {
        "id": queue_id(shard, number),
        "kind": kind,
        "state": _state([str(one["state"]) for one in recipients]),
        "sender": shown_address(sender),
        "recipients": recipients,
        "received": format_time(time_of(received)),
        "size": size,
        "account": account,
        "organization": entity,
        "listener": listener,
        "held_by": codec.decode(held_by),
        "sha256": sha256,
        "message_id": message_id,
    }
    judged: Mapping[str, object] = codec.decode(judgement)
    shown["findings"] = judged.get("findings", [])
    if full:
        client = dict(zip(("ip", "port", "helo", "tls", "listener"), who, strict=True)) if who else None
        shown |= {
            "client": client,
            "envelope": {"body": body, "smtputf8": smtputf8, "ret": ret, "envid": envid, "requiretls": any(more)},
            "verdicts": judged.get("verdicts", []),
            "took_ms": judged.get("took_ms"),
            "ruleset": judged.get("ruleset"),
            "policy": judged.get("policy"),
            "trace": trace.decode("utf-8", "replace"),
            "acts": codec.decode(acts),
        }
    return shown


_RECIPIENTS = """SELECT address, state, next, tries, told, released, held_by, attempts, notify FROM recipients
    WHERE number = ? ORDER BY place"""


def _recipient(row: Sequence[Any]) -> dict[str, object]:
    address, state, due, tries, told, released, held_by, packed, notify = row
    attempts = unpack_attempts(packed)
    return {
        "address": shown_address(address),
        "state": state,
        "next": format_time(time_of(due)) if state in ("queued", "unjudged") else None,
        "tries": tries,
        "told_of_delay": bool(told),
        "released": bool(released),
        "held_by": codec.decode(held_by),
        "notify": notify,
        "reply": attempts[-1].reply if attempts else "",
        "attempts": [
            {
                "when": format_time(a.when),
                "host": a.host,
                "reply": a.reply,
                "delivered": a.delivered,
                "permanent": a.permanent,
                "tls": a.tls,
            }
            for a in attempts
        ],
    }


def _state(states: Sequence[str]) -> str:
    """One word for the whole message: what still waits counts before what is done, failure before success."""
    order = ("held", "unjudged", "queued", "failed", "delivered", "deleted")
    return next((state for state in order if state in states), "deleted")
