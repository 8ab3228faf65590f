"""A message as the spool keeps it: its tables, its queue id, and the values that rows become. Pure."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from hudhud import codec, journal
from mail import threads
from mail.attempt import Attempt
from mail.envelope import Address, Client, Recipient
from mail.message import Message
from mail.shelf import refusals, uses

State = Literal["queued", "held", "unjudged", "delivered", "failed", "deleted"]
Kind = Literal["mail", "notice", "dsn"]

LIVE: tuple[State, ...] = ("queued", "held", "unjudged")  # states in which the body is still needed
KEPT_ATTEMPTS = 30  # of one recipient: the first and the last ones; `tries` counts all

TABLES = """
CREATE TABLE IF NOT EXISTS messages(
    number INTEGER PRIMARY KEY,   -- the queue id without its shard; grows with time
    kind TEXT NOT NULL, received REAL NOT NULL, sender BLOB NOT NULL,
    account TEXT NOT NULL, entity TEXT NOT NULL, listener TEXT NOT NULL, bounce INTEGER NOT NULL,
    size INTEGER NOT NULL, sha256 TEXT NOT NULL, message_id TEXT NOT NULL,
    held_by TEXT NOT NULL,        -- JSON list: rules that held it when it was judged, for the rules' budget
    envelope BLOB NOT NULL, judgement BLOB NOT NULL, trace BLOB NOT NULL, edits BLOB NOT NULL, acts BLOB NOT NULL,
    words BLOB NOT NULL DEFAULT x'',  -- keyed hashes of the subject's words (mail/shelf/words.py)
    about TEXT NOT NULL DEFAULT '');  -- of a notice or DSN: the queue id of the message that it tells of
CREATE TABLE IF NOT EXISTS recipients(
    number INTEGER NOT NULL, place INTEGER NOT NULL, address BLOB NOT NULL, domain TEXT NOT NULL,
    notify TEXT, orcpt TEXT, state TEXT NOT NULL, next REAL NOT NULL, tries INTEGER NOT NULL,
    told INTEGER NOT NULL, released INTEGER NOT NULL, held_by TEXT NOT NULL, attempts BLOB NOT NULL,
    PRIMARY KEY (number, place)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS recipients_queued ON recipients(domain, next) WHERE state = 'queued';
CREATE INDEX IF NOT EXISTS recipients_unjudged ON recipients(next) WHERE state = 'unjudged';
CREATE INDEX IF NOT EXISTS recipients_held ON recipients(number) WHERE state = 'held';
CREATE INDEX IF NOT EXISTS messages_about ON messages(about) WHERE about != '';
CREATE TABLE IF NOT EXISTS bodies(number INTEGER PRIMARY KEY, data BLOB, file TEXT, key BLOB);
"""
SCHEMA = TABLES + journal.SCHEMA + threads.SCHEMA + refusals.SCHEMA + uses.SCHEMA
"""Everything of one shard: messages, recipients and bodies, the journal of events, the threads that may be answered."""

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no I, L, O, U, so that it can be read out
_EPOCH_MS = 1_704_067_200_000  # 2024-01-01; 40 bits of milliseconds last until 2058
_RANDOM_BITS = 10
_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Edit:
    """The bytes from `start` to `end` of the message as it came give way to `new` where it goes on (invariant 3)."""

    start: int
    end: int
    new: bytes = b""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A recipient that is still to be served. `next` is when, `tries` how often it was tried."""

    place: int
    address: bytes
    domain: str
    notify: str | None
    orcpt: str | None
    tries: int = 0
    told: bool = False  # of a delay
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A message and those of its recipients that are to be served now. `data` is None where it lies on disk only."""

    number: int
    queue_id: str
    kind: Kind
    received: datetime
    sender: bytes
    account: str
    entity: str
    listener: str
    bounce: bool  # whether a failure may be told to the sender
    size: int
    sha256: str
    message_id: str
    client: Client | None  # None: our own mail
    body: str
    smtputf8: bool
    ret: str | None
    envid: str | None
    trace: bytes
    edits: tuple[Edit, ...]
    waiting: tuple[Waiting, ...] = ()
    data: bytes | None = field(default=None, repr=False)
    requiretls: bool = False  # goes on by verified TLS only, to who offers the same (RFC 8689)
    words: bytes = b""  # keyed hashes of the subject's words
    about: str = ""  # of our own mail: the queue id of the message that it tells of


@dataclass(frozen=True, slots=True)
class NewRecipient:
    """A recipient's row at the beginning."""

    address: bytes
    domain: str
    notify: str | None
    orcpt: str | None
    state: State
    held_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Own:
    """A message of ours that is to be stored: a notice, or a DSN with its null sender."""

    kind: Kind
    sender: bytes
    recipients: tuple[Address, ...]
    data: bytes
    about: str = ""  # the queue id of the message that it tells of


class Numbers:
    """Gives each message of a shard a number of its own that grows with time, whatever the clock does."""

    def __init__(self, last: int = 0) -> None:
        self._last = last

    def next(self, now: datetime) -> int:
        moment = max(int(now.timestamp() * 1000) - _EPOCH_MS, 0) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        self._last = max(moment, self._last + 1)
        return self._last


def number_at(moment: datetime) -> int:
    """The least number that a message of that time may have."""
    return max(int(moment.timestamp() * 1000) - _EPOCH_MS, 0) << _RANDOM_BITS


def moment_of(number: int) -> datetime:
    """When the message of that number was received, to the millisecond."""
    return datetime.fromtimestamp(((number >> _RANDOM_BITS) + _EPOCH_MS) / 1000, UTC)


def queue_id(shard: int, number: int) -> str:
    """For people: "0-7H3K9QX2M4"."""
    text = "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))
    return f"{shard:x}-{text}"


def parse_queue_id(text: str) -> tuple[int, int] | None:
    """(shard, number); None for what is no queue id. Case, and O for 0 or I and L for 1, do not matter."""
    shard, dash, digits = text.strip().upper().translate(str.maketrans("OIL", "011")).partition("-")
    if not dash or len(digits) != _LENGTH or not set(digits) <= set(_DIGITS):
        return None
    if not 0 < len(shard) <= 4 or not set(shard) <= set("0123456789ABCDEF"):
        return None
    number = 0
    for digit in digits:
        number = number << 5 | _DIGITS.index(digit)
    return int(shard, 16), number


def stored_of(
    message: Message, number: int, *, trace: bytes, edits: Iterable[Edit], bounce: bool, words: bytes = b""
) -> Stored:
    """A message that was judged, as it is to be stored."""
    envelope, account = message.envelope, message.envelope.account
    return Stored(
        number=number,
        queue_id=message.queue_id,
        kind="mail",
        received=envelope.received,
        sender=envelope.sender.raw,
        account=account.acts if account else "",
        entity=account.entity if account else "",
        listener=envelope.client.listener,
        bounce=bounce and bool(envelope.sender.raw),
        size=len(message.data),
        sha256=message.sha256,
        message_id=message.message_id,
        client=envelope.client,
        body=envelope.body,
        smtputf8=envelope.smtputf8,
        ret=envelope.ret,
        envid=envelope.envid,
        requiretls=envelope.requiretls,
        trace=trace,
        edits=tuple(sorted(edits, key=lambda edit: edit.start)),
        words=words,
    )


def own_stored(own: Own, shard: int, number: int, now: datetime) -> Stored:
    """A message of ours, as it is to be stored."""
    return Stored(
        number=number,
        queue_id=queue_id(shard, number),
        kind=own.kind,
        received=now,
        sender=own.sender,
        account="",
        entity="",
        listener="own",
        bounce=False,
        size=len(own.data),
        sha256=hashlib.sha256(own.data).hexdigest(),
        message_id="",
        client=None,
        body="7BIT" if own.data.isascii() else "8BITMIME",
        smtputf8=not all(address.raw.isascii() for address in own.recipients),
        ret=None,
        envid=None,
        trace=b"",
        edits=(),
        about=own.about,
    )


def new_recipient(recipient: Recipient, state: State, held_by: tuple[str, ...]) -> NewRecipient:
    """A recipient as it is to be stored; rules count only where they hold."""
    to = recipient.address
    return NewRecipient(to.raw, to.domain, recipient.notify, recipient.orcpt, state, held_by if state == "held" else ())


def edited(data: bytes, edits: Iterable[Edit]) -> bytes:
    """The bytes that go on; edits are in order and do not overlap (ValueError)."""
    parts: list[bytes] = []
    at = 0
    for edit in edits:
        if not at <= edit.start <= edit.end <= len(data):
            raise ValueError(f"edit {edit.start}..{edit.end} of {len(data)} octets, after {at}")
        parts += (data[at : edit.start], edit.new)
        at = edit.end
    return b"".join((*parts, data[at:])) if parts else data


def pack_attempts(attempts: Sequence[Attempt]) -> bytes:
    """JSON for a recipient's row; of many, the first and the last KEPT_ATTEMPTS - 1."""
    kept = attempts if len(attempts) <= KEPT_ATTEMPTS else (attempts[0], *attempts[1 - KEPT_ATTEMPTS :])
    return codec.encode(
        [
            (a.when.timestamp(), a.delivered, a.permanent, a.reply, a.host, a.stage, a.remote, a.tls, a.handed, a.final)
            for a in kept
        ]
    )


def unpack_attempts(data: bytes) -> tuple[Attempt, ...]:
    """What pack_attempts wrote."""
    rows: list[list[Any]] = codec.decode(data)
    return tuple(
        Attempt(delivered, permanent, reply, host, time_of(when), *more)
        for when, delivered, permanent, reply, host, *more in rows
    )


def pack_edits(edits: Iterable[Edit]) -> bytes:
    """JSON for a message's row."""
    return codec.encode([(e.start, e.end, e.new.decode("latin-1")) for e in edits])


def unpack_edits(data: bytes) -> tuple[Edit, ...]:
    """What pack_edits wrote."""
    return tuple(Edit(start, end, new.encode("latin-1")) for start, end, new in codec.decode(data))


def time_of(seconds: float) -> datetime:
    """Seconds since 1970 as an aware time, UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def shown_address(raw: bytes) -> str:
    """A raw address as text."""
    return raw.decode("utf-8", "replace")


def plain(value: object) -> object:
    """Facts of any kind as what JSON holds."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return str(value)
