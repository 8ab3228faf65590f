"""The spool's SQL: what one shard's tables are told and asked; each function works inside its caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from hudhud import codec
from hudhud.database import Connection
from mail.attempt import Attempt
from mail.envelope import Client
from mail.shelf.bodies import Body
from mail.shelf.due import Read
from mail.shelf.stored import (
    LIVE,
    NewRecipient,
    State,
    Stored,
    Waiting,
    pack_attempts,
    pack_edits,
    queue_id,
    time_of,
    unpack_attempts,
    unpack_edits,
)

AGAIN_S = 5.0  # seconds until what could not be judged is judged again for the first time

_MESSAGE = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, x'5b5d', ?, ?)"
_RECIPIENT = "INSERT INTO recipients VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, ?, x'5b5d')"
_BODY = "INSERT INTO bodies VALUES (?, ?, ?, ?)"
_STORED = """SELECT kind, received, sender, account, entity, listener, bounce, size, sha256, message_id, envelope,
    trace, edits, words, about FROM messages WHERE number = ?"""
_WAITING = """SELECT place, address, domain, notify, orcpt, tries, told, attempts FROM recipients
    WHERE number = ? AND state = 'queued'"""
_RECORD = """UPDATE recipients SET tries = tries + 1, attempts = ?, told = told OR ?,
    state = CASE WHEN state = 'queued' OR ?3 = 'delivered' THEN ?3 ELSE state END,
    next = CASE WHEN state = 'queued' THEN ? ELSE next END WHERE number = ? AND place = ?"""
_LIVE = f"SELECT 1 FROM recipients WHERE number = ? AND state IN ({', '.join(map(repr, LIVE))}) LIMIT 1"  # noqa: S608 - our words


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt makes of a recipient: its new state, when it is due again, whether it was told of a delay."""

    waiting: Waiting
    attempt: Attempt
    state: State
    next: datetime
    told: bool = False


def insert(
    connection: Connection,
    stored: Stored,
    recipients: Iterable[NewRecipient],
    body: Body,
    *,
    judgement: bytes = b"{}",
    held_by: Collection[str] = (),
) -> None:
    """A message with its recipients and its body."""
    client = stored.client
    who = (client.ip, client.port, client.helo, client.tls, client.listener) if client else None
    envelope = codec.encode((who, stored.body, stored.smtputf8, stored.ret, stored.envid, stored.requiretls))
    received = stored.received.timestamp()
    connection.execute(
        _MESSAGE,
        (
            *(stored.number, stored.kind, received, stored.sender, stored.account, stored.entity, stored.listener),
            *(stored.bounce, stored.size, stored.sha256, stored.message_id, _words(held_by), envelope, judgement),
            *(stored.trace, pack_edits(stored.edits), stored.words, stored.about),
        ),
    )
    for place, one in enumerate(recipients):
        connection.execute(
            _RECIPIENT,
            (
                *(stored.number, place, one.address, one.domain, one.notify, one.orcpt, one.state),
                received + (AGAIN_S if one.state == "unjudged" else 0.0),
                _words(one.held_by),
            ),
        )
    connection.execute(_BODY, (stored.number, body.data, body.file, body.key))


def _words(rules: Collection[str]) -> str:
    return codec.encode(sorted(rules)).decode() if rules else "[]"


def load(read: Read, shard: int, number: int, places: Collection[int] | None = None) -> Stored | None:
    """The message with those of its queued recipients that have one of `places` (None: all); None where it is gone."""
    found = read(_STORED, (number,))
    if not found:
        return None
    kind, received, sender, account, entity, listener, bounce, size, sha256, message_id, *rest = found[0]
    envelope, trace, edits, words, about = rest
    client, body, smtputf8, ret, envid, *more = codec.decode(envelope)  # rows of before RFC 8689 have five
    return Stored(
        number, queue_id(shard, number), kind, time_of(received), sender, account, entity, listener, bool(bounce), size,
        sha256, message_id, Client(*client) if client else None, body, smtputf8, ret, envid, trace, unpack_edits(edits),
        tuple(
            Waiting(place, address, domain, notify, orcpt, tries, bool(told), unpack_attempts(attempts))
            for place, address, domain, notify, orcpt, tries, told, attempts in read(_WAITING, (number,))
            if places is None or place in places
        ),
        requiretls=any(more), words=words, about=about,
    )  # fmt: skip


def body(read: Read, number: int) -> Body | None:
    """Where the body lies; None where it is gone."""
    found = read("SELECT data, file, key FROM bodies WHERE number = ?", (number,))
    return Body(*found[0]) if found else None


def record(connection: Connection, number: int, outcomes: Iterable[Outcome]) -> str | None:
    """Write what attempts came to. When nobody waits any more the body goes; the name of its file, for the caller.

    A recipient that was held or deleted meanwhile stays so, unless it was delivered: that has happened.
    """
    final = False
    for one in outcomes:
        attempts = pack_attempts((*one.waiting.attempts, one.attempt))
        connection.execute(_RECORD, (attempts, one.told, one.state, one.next.timestamp(), number, one.waiting.place))
        final = final or one.state != "queued"
    return drop_if_done(connection, number) if final else None


def drop_if_done(connection: Connection, number: int) -> str | None:
    """Forget the body when no recipient needs it; the name of its file, for the caller to delete after the commit."""
    if connection.execute(_LIVE, (number,)).fetchone() is not None:
        return None
    found = connection.execute("SELECT file FROM bodies WHERE number = ?", (number,)).fetchone()
    connection.execute("DELETE FROM bodies WHERE number = ?", (number,))
    return found[0] if found else None


def recipients(read: Read, number: int, states: tuple[State, ...]) -> list[tuple[int, NewRecipient]]:
    """The recipients of a message that are in one of `states`, with their places."""
    found = read(_RECIPIENTS, (number,))
    return [
        (place, NewRecipient(address, domain, notify, orcpt, state, tuple(codec.decode(held_by))))
        for place, address, domain, notify, orcpt, state, held_by in found
        if state in states
    ]


_RECIPIENTS = """SELECT place, address, domain, notify, orcpt, state, held_by FROM recipients WHERE number = ?
    ORDER BY place"""


def move(
    connection: Connection, number: int, places: Iterable[int], to: State, now: datetime, *, states: Collection[State]
) -> None:
    """Move recipients that are still in one of `states` to another; due at once where that is `queued`."""
    literal = ", ".join(f"'{one}'" for one in states if one in LIVE)
    connection.executemany(
        "UPDATE recipients SET released = released OR (state = 'held' AND ? = 'queued'), state = ?, next = ?"  # noqa: S608 - our words
        f" WHERE number = ? AND place = ? AND state IN ({literal})",
        [(to, to, now.timestamp(), number, place) for place in places],
    )


def judged_again(connection: Connection, number: int, judgement: bytes, held_by: Mapping[int, Collection[str]]) -> None:
    """Put a newer judgement in the place of the old, with the rules that hold each of the places now."""
    rules = {rule for one in held_by.values() for rule in one}
    connection.execute(
        "UPDATE messages SET judgement = ?, held_by = ? WHERE number = ?", (judgement, _words(rules), number)
    )
    connection.executemany(
        "UPDATE recipients SET held_by = ? WHERE number = ? AND place = ?",
        [(_words(mine), number, place) for place, mine in held_by.items()],
    )


def replace_body(connection: Connection, number: int, body: Body) -> None:
    """The same bytes lie elsewhere now."""
    connection.execute(
        "UPDATE bodies SET data = ?, file = ?, key = ? WHERE number = ?", (body.data, body.file, body.key, number)
    )


def note_act(connection: Connection, number: int, act: Mapping[str, object]) -> None:
    """Add to the message's list of what people did with it."""
    found = connection.execute("SELECT acts FROM messages WHERE number = ?", (number,)).fetchone()
    if found:
        acts = codec.encode([*codec.decode(found[0]), act])
        connection.execute("UPDATE messages SET acts = ? WHERE number = ?", (acts, number))


def expire(connection: Connection, before: int, limit: int) -> int:
    """Forget at most `limit` messages with a number below `before` that nobody waits for; how many."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS gone(number INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM temp.gone")
    connection.execute(
        "INSERT INTO temp.gone SELECT number FROM messages m WHERE number < ? AND NOT EXISTS (SELECT 1 FROM recipients"
        " r WHERE r.number = m.number AND r.state IN ('queued', 'held', 'unjudged')) LIMIT ?",
        (before, limit),
    )
    gone = connection.changes()
    for table in ("recipients", "bodies", "messages"):
        connection.execute(f"DELETE FROM {table} WHERE number IN (SELECT number FROM temp.gone)")  # noqa: S608 - our words
    return gone
