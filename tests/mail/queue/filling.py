"""Fills the trace of a shard with as many done messages as are asked for: `python -m tests.mail.queue.filling DIR N`.

Seeded; senders, recipients and subjects of a country's size; refusals among them; spread evenly over 90 days. As a
program it then times searches, each with connections of its own.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hudhud import codec
from hudhud.database import Database
from mail.attempt import Attempt
from mail.shelf import words
from mail.shelf.days import Batch, Days, day_of
from mail.shelf.search import Shelves, Wanted
from mail.shelf.stored import SCHEMA, number_at, pack_attempts

KEY = bytes(32)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SPAN = timedelta(days=89)
DOMAINS = [f"body{number}.saba.example" for number in range(300)]
WORDS = ["budget", "invoice", "meeting", "minutes", "تقرير", "اجتماع", "ميزانية", "عقد", "treaty", "visit", "permit"]


def rows(
    count: int, seed: int = 1, span: timedelta = SPAN
) -> Iterator[tuple[int, tuple[object, ...], list[tuple[object, ...]], bytes | None]]:
    """(number, message, recipients, refusal) in the order of time; message is () where it was refused."""
    random_of = random.Random(seed)
    start = NOW - span
    judgement = codec.encode(
        {"findings": [{"check": "national", "rule": "H-NAT-01", "version": "1", "disposition": "accept",
                       "reason": "national", "recipients": None, "facts": {}}],
         "verdicts": [], "took_ms": 2.5, "ruleset": "0" * 64, "policy": "1"}
    )  # fmt: skip
    for place in range(count):
        moment = start + span * (place / count)
        number = number_at(moment) + place % 1024
        sender = f"user{random_of.randrange(60_000)}@{random_of.choice(DOMAINS)}"
        to = [f"user{random_of.randrange(60_000)}@{random_of.choice(DOMAINS)}" for _ in range(1 + place % 2)]
        if place % 50 == 49:
            event = {
                "@timestamp": moment.isoformat(), "event": {"action": "refused", "reason": "foreign-recipient"},
                "email": {"from": {"address": [sender]}, "to": {"address": to}},
                "rule": {"id": ["H-NAT-02"]}, "hudhud": {"mail": {"queue_id": "", "reply": "550 5.7.1 no"}},
            }  # fmt: skip
            yield number, (), [], codec.encode(event)
            continue
        subject = " ".join((*random_of.sample(WORDS, 3), str(place)))
        envelope = codec.encode(
            (("192.0.2.50", 4711, "pc", "TLSv1.3", "submission"), "8BITMIME", False, None, None, False)
        )
        attempt = Attempt(
            True, False, "250 2.0.0 taken", "mx.body (192.0.2.65)", moment + timedelta(seconds=1), remote=True
        )
        message = (
            number, "mail", moment.timestamp(), sender.encode(), sender, "FIN", "submission", 1, 10_240,
            f"{place:064x}", f"{place}@{sender.partition('@')[2]}", "[]", envelope, judgement,
            b"Received: from pc by mx.relay.saba.example; now\r\n" * 2, b"[]", b"[]",
            words.hashed(subject, words.derived(KEY)), "",
        )  # fmt: skip
        recipients = [
            (number, at, one.encode(), one.partition("@")[2], None, None, "delivered", moment.timestamp(), 1, 0, 0,
             "[]", pack_attempts([attempt]))
            for at, one in enumerate(to)
        ]  # fmt: skip
        yield number, message, recipients, None


def fill(folder: Path, shard: int, count: int, seed: int = 1, span: timedelta = SPAN) -> Days:
    """The days of one shard with `count` messages and refusals."""
    days, batch, day = Days(folder, shard), Batch(), None
    for number, message, recipients, refusal in rows(count, seed, span):
        if (fresh := day_of(number)) != day or len(batch.messages) >= 5000:
            if day is not None:
                days.write(day, batch)
            batch, day = Batch(), fresh
        if refusal is not None:
            batch.refusals.append((number, refusal))
        else:
            batch.messages.append(message)
            batch.recipients += recipients
    if day is not None:
        days.write(day, batch)
    days.close()
    return days


def known(count: int, seed: int = 1, span: timedelta = SPAN) -> list[tuple[int, str, str, str]]:
    """(number, sender, recipient, Message-ID) of the stored ones."""
    return [
        (number, bytes(message[3]).decode(), bytes(to[0][2]).decode(), str(message[10]))  # type: ignore[arg-type]
        for number, message, to, refusal in rows(count, seed, span)
        if refusal is None
    ]


def main(folder: Path, count: int, shards: int = 2) -> None:
    """Fill and measure."""
    began = time.perf_counter()
    for shard in range(shards):
        if not (folder / "trace").glob(f"*/{shard}.db"):
            continue
        if not list((folder / "trace").glob(f"*/{shard}.db")):
            fill(folder, shard, count // shards, seed=shard + 1)
    print(f"filled in {time.perf_counter() - began:.0f} s")
    _, sender, recipient, message_id = known(count // shards, 1)[count // shards // 3]
    moment = NOW - timedelta(days=40)
    subject = words.each(words.hashed("treaty تقرير 12345", words.derived(KEY)))
    for name, wanted in {
        "sender": Wanted(sender=sender),
        "recipient": Wanted(recipient=recipient),
        "both": Wanted(sender=sender, recipient=recipient),
        "Message-ID": Wanted(message_id=message_id),
        "domain": Wanted(recipient="body7.saba.example"),
        "two domains": Wanted(sender="body7.saba.example", recipient="body9.saba.example"),
        "local part": Wanted(sender="user4242@"),
        "subject": Wanted(words=subject),
        "common words": Wanted(words=words.each(words.hashed("treaty visit permit", words.derived(KEY)))),
        "an hour": Wanted(since=moment, until=moment + timedelta(hours=1)),
        "nobody": Wanted(sender="nobody@body7.saba.example", recipient="body9.saba.example"),
    }.items():
        began, cpu, found = time.perf_counter(), time.process_time(), 0
        for shard in range(shards):
            database = Database(folder / f"shard-{shard}.db", SCHEMA)
            found += len(Shelves(database.read, Days(folder, shard), shard).find(wanted, 100))
            database.close()
        print(
            json.dumps(
                {
                    "search": name,
                    "found": found,
                    "ms": round((time.perf_counter() - began) * 1000),
                    "cpu_ms": round((time.process_time() - cpu) * 1000),
                }
            )
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
