"""Reads a batch of NDJSON as the intake takes it: events for the journal, dead letters with their reasons. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cert.deadletter import UNKNOWN, DeadLetter
from hudhud import codec
from hudhud.event import Event, EventError, event_id, flatten, format_time, parse_time
from hudhud.settings import Intake


class BatchError(ValueError):
    """A batch that is not taken at all: `limit` is the name of the setting that it passes, `value` what it allows."""

    def __init__(self, limit: str, value: int, found: int) -> None:
        super().__init__(f"{limit} is {value}, this batch has {found}: send smaller batches")
        self.limit, self.value, self.found = limit, value, found


@dataclass(frozen=True, slots=True)
class Batch:
    """`documents` go into the journal, in order; `dead` into the list of dead letters."""

    documents: tuple[bytes, ...]
    dead: tuple[DeadLetter, ...]


def read_batch(source: str, body: bytes, now: datetime, limits: Intake) -> Batch:
    """Every line becomes an event or a dead letter. BatchError where the batch passes a limit as a whole."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > limits.max_batch_events:
        raise BatchError("intake.max_batch_events", limits.max_batch_events, len(lines))
    documents, dead = [], []
    received = format_time(now)
    for line in lines:
        sequence = UNKNOWN
        try:
            if len(line) > limits.max_event_bytes:
                limit = limits.max_event_bytes
                raise EventError("line", f"has {len(line)} bytes, intake.max_event_bytes is {limit}")
            sequence, document = _line(line)
            documents.append(_journalled(source, sequence, document, received))
        except (EventError, codec.CodecError) as error:
            dead.append(DeadLetter(source, sequence, str(error), line, now))
    return Batch(tuple(documents), tuple(dead))


def _line(line: bytes) -> tuple[int, dict[str, object]]:
    value = codec.decode(line)
    if not isinstance(value, dict):
        raise EventError("line", "is no object with sequence and document")
    sequence, document = value.get("sequence"), value.get("document")
    if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence < 2**63:
        raise EventError("sequence", "is missing or no whole number from 0 up")
    if not isinstance(document, dict):
        raise EventError("document", "is missing or no object")
    return sequence, document


def _journalled(source: str, sequence: int, document: dict[str, object], received: str) -> bytes:
    """The event as the journal keeps it: its time checked, its fields flat, its id given."""
    stamp = document.pop("@timestamp", None)
    if not isinstance(stamp, str):
        raise EventError("@timestamp", "is missing or not a string")
    fields = flatten(document)
    fields["event.id"] = event_id(source, sequence)
    row = {
        "source": source, "sequence": sequence, "received": received, "timestamp": format_time(parse_time(stamp)),
        "fields": fields,
    }  # fmt: skip
    return codec.encode(row)


def journalled_event(row: bytes) -> Event:
    """The event of a line of the intake's journal, with when it came in; EventError, CodecError where it is damaged."""
    value = codec.decode(row)
    try:
        fields, moment = dict(value["fields"]), parse_time(value["timestamp"])
        received = parse_time(value["received"])
        fields["event.ingested"] = value["received"]
        fields.setdefault("event.created", value["timestamp"])
        created = fields["event.created"]
        if isinstance(created, str):
            fields["hudhud.clock_skew_ms"] = round((received - parse_time(created)).total_seconds() * 1000)
        fields["hudhud.source_id"] = value["source"]
        return Event(fields["event.id"], moment, fields)
    except (KeyError, TypeError) as error:
        raise EventError("journal", f"is no line of the intake's journal: {error!r}") from None
